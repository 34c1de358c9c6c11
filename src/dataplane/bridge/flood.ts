// HOT
// Where frames go that one port does not take alone: broadcasts, multicasts, and what is addressed to an unknown station.
//
//   a request for a known address -> to its owner alone (suppress.ts)
//   storm control -> to all ports that are up, but the one it came from, that
//                    belong to the VLAN, take floods of this class, and may be reached from there

import { COPIES, DROP_NO_DESTINATION, DROP_STORM } from "../../mem/counters.ts";
import type { Plan } from "../rules/plan.ts";
import { KIND_FLOOD, KIND_TERMINAL } from "../rules/plan-layout.ts";
import { PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { BUCKET_STORM_BROADCAST, BUCKET_STORM_MULTICAST, BUCKET_STORM_UNKNOWN } from "./bridge-memory.ts";
import { withinLimit } from "./buckets.ts";
import { dropFrame } from "./drop.ts";
import { FLOOD_BROADCAST, FLOOD_MULTICAST, FLOOD_UNKNOWN, reaches } from "./reach.ts";
import { directRequest } from "./suppress.ts";
import { isMember } from "./vlans.ts";

/** FLOOD_* of a destination that is no known station. */
export function floodClass(lo: number, hi: number): number {
  if ((lo & 1) === 0) return FLOOD_UNKNOWN;
  return lo === -1 && hi === 0xffff ? FLOOD_BROADCAST : FLOOD_MULTICAST;
}

function stormBucket(kind: number): number {
  if (kind === FLOOD_BROADCAST) return BUCKET_STORM_BROADCAST;
  return kind === FLOOD_MULTICAST ? BUCKET_STORM_MULTICAST : BUCKET_STORM_UNKNOWN;
}

/** Lists frame `i` of VLAN `vid` for every port that a flood of its class reaches. */
export function floodFrame(tables: Tables, plan: Plan, bridge: Bridge, i: number, vid: number, kind: number): void {
  const { arena, laneCounters, port } = plan;
  const { reach, vlans } = bridge;
  const { control, floodPorts, listCount, lists } = tables;
  const mayDirect = kind !== FLOOD_UNKNOWN && (plan.kinds & KIND_TERMINAL) !== KIND_FLOOD;
  if (mayDirect && directRequest(tables, plan, bridge, i, vid)) return;
  if (!withinLimit(bridge.buckets, port, stormBucket(kind), arena.judged.length[i])) {
    dropFrame(plan, i, DROP_STORM);
    return;
  }
  let copies = -1;
  for (let k = 0; k < tables.floodCount; k++) {
    const out = floodPorts[k];
    if (out === port || control[SharedState.portWord(out, PORT_UP)] === 0) continue;
    if ((reach.flood[out] & kind) === 0 || !reaches(reach, port, out) || !isMember(vlans, vid, out)) continue;
    lists[out][listCount[out]++] = i;
    copies++;
  }
  if (copies < 0) dropFrame(plan, i, DROP_NO_DESTINATION);
  else laneCounters[COPIES] += copies;
}
