// HOT
// The way out of the bridge, port by port: frames get the tags that the port wants (vlans.ts), and are delivered. A frame that goes to
// several ports lies in the arena once: what one port makes of it, the next one changes again, since deliveries copy.

import { BURST } from "../../mem/batch.ts";
import type { Fallback } from "../fallback.ts";
import { deliverTo } from "../forward.ts";
import type { Plan } from "../rules/plan.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { mirrorDepartures } from "./mirror.ts";
import { queueFrames } from "./queue-drain.ts";
import { tapDepartures } from "./tap.ts";
import { leaveVlan } from "./vlans.ts";

/** Entries of one port's list: frames of the burst, and copies of them that rules mirror to it. */
const MAX_LISTED = 2 * BURST;

/** Delivers what is listed for each port, and empties the lists. */
export function sendLists(tables: Tables, fallback: Fallback, plan: Plan, bridge: Bridge): void {
  const { floodPorts, listCount, lists } = tables;
  for (let k = 0; k < tables.floodCount; k++) {
    const out = floodPorts[k];
    const count = listCount[out];
    if (count === 0) continue;
    listCount[out] = 0;
    const list = lists[out];
    for (let at = 0; at < count && at < MAX_LISTED; at += BURST) {
      if (at > 0) list.copyWithin(0, at, count);
      sendList(tables, fallback, plan, bridge, out, list, Math.min(count - at, BURST));
    }
  }
}

function sendList(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  out: number,
  list: Int32Array,
  count: number,
): void {
  const left = leaveVlan(bridge.vlans, tables, plan, out, list, count);
  if (left === 0) return;
  if (bridge.mirrors !== null) mirrorDepartures(tables, fallback, plan, bridge, bridge.mirrors, out, list, left);
  sendForms(tables, fallback, plan, bridge, out, list, left);
}

/** Sends forms `list[0..count)`, a burst at most, by port `out` as they are now: at once, or through its queues. */
export function sendForms(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  out: number,
  list: Int32Array,
  count: number,
): void {
  const { queues, taps } = bridge;
  if (taps !== null) tapDepartures(tables, plan, taps, out, list, count);
  const queued = queues === null ? null : queues.of[out];
  if (queues === null || queued === null) deliverTo(tables, fallback, plan.arena.judged, out, list, count);
  else queueFrames(tables, fallback, queues, queued, bridge.priorities, plan.arena.judged, list, count);
}
