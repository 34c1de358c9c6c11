// Whether what waits for a port in its queues may leave it when policies change. What waits was judged by the policy before, and has the
// tags of then: where its port carries less than it did, or by other tags, those frames are of a VLAN that the port left, or would be
// taken for frames of another one.
//
//   carries all that it did, with the same tags, and is kept apart from nobody else   waits on
//   else                                                                              is dropped, all of it: a frame does not say its VLAN
//
// It is the port's own settings that count. What other ports are told says nothing of frames that they sent before. Worker threads,
// between two bursts. Cold.

import { DROP_ISOLATED, DROP_VLAN } from "../../mem/counters.ts";
import type { Bridge } from "./bridge.ts";
import { NO_POLICY, PORT_DEFAULTS, type PortPolicy, VID_MAX } from "./policy.ts";
import { isMember, Vlans } from "./vlans.ts";

const NO_VLANS = new Vlans(NO_POLICY);

/** Returns 0, or the DROP_* counter of what waits for `port` when `now` comes after `before`. Null: no port has a policy. */
export function refusalOfWaiting(before: Bridge | null, now: Bridge | null, port: number): number {
  const was = settingsOf(before, port);
  const is = settingsOf(now, port);
  const [old, vlans] = [before?.vlans ?? NO_VLANS, now?.vlans ?? NO_VLANS];
  if (old.table.any !== vlans.table.any) return DROP_VLAN;
  // First, since a look at thousands of VLANs for each port takes a while, and most changes are of something else.
  if (!Bun.deepEquals(was.vlan, is.vlan) && !carriesAll(vlans, old, port)) return DROP_VLAN;
  const isKeptApart = (is.isolated && !was.isolated) || is.groups.some((group) => !was.groups.includes(group));
  return isKeptApart ? DROP_ISOLATED : 0;
}

function settingsOf(bridge: Bridge | null, port: number): Omit<PortPolicy, "port"> {
  return bridge?.policy.ports.find((it) => it.port === port) ?? PORT_DEFAULTS;
}

/** Whether the port carries each VLAN that it carried by `old`, in the same form. */
function carriesAll(vlans: Vlans, old: Vlans, port: number): boolean {
  const [table, was] = [vlans.table, old.table];
  if (was.tpid[port] !== table.tpid[port] || was.bare[port] !== table.bare[port]) return false;
  // Only before they leave by a trunk are native frames looked at for tags inside.
  if (was.trunk[port] !== table.trunk[port]) return false;
  for (let vid = 1; vid <= VID_MAX; vid++) {
    if (!isMember(old, vid, port)) continue;
    if (!isMember(vlans, vid, port) || was.outward[port][vid] !== table.outward[port][vid]) return false;
  }
  return true;
}
