// HOT
// Mirrors at work: copies of frames that come in or go out, for the port that watches.
//
//   burst -> mirrorArrivals: frames of mirrored ports, as received, before anybody refuses one
//         -> judged, VLAN known: noteEntered -> mirrorEntered: frames of mirrored VLANs, as received
//         -> listed for ports: noteDepartures -> tags of an output port are on: mirrorDepartures: frames as that port sends them
//
// A mirror makes one copy of a frame when it comes in, and one for each mirrored port that it goes out of; of a VLAN's frame that goes
// out of none of those one, as the first port sends it. None is made of frames that the watching port sent, nor of copies. No VLAN, group or flood
// setting holds copies back. Whole copies are the forms that lie in the arena; shorter ones are forms of their own over the same
// bytes, and ask nothing of their receiver. Copies are delivered at once, so that nothing has to be kept for them.

import { type Batch, BURST } from "../../mem/batch.ts";
import { COPIES } from "../../mem/counters.ts";
import { plainNetHeader } from "../../virtio/net-header.ts";
import type { Fallback } from "../fallback.ts";
import { MIRRORED_ALL, type Plan } from "../rules/plan.ts";
import { MAX_PORTS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { sendForms } from "./egress.ts";
import { DIRECTION_IN, DIRECTION_OUT, type Mirrors, VIDS } from "./mirrors.ts";

/** The first form that is cut from another: that of frame 0. */
const FIRST_CUT = 2 * BURST;

/** Copies the burst's frames for mirrors of the port that it came in on. */
export function mirrorArrivals(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  mirrors: Mirrors,
  count: number,
): void {
  const { arena, port } = plan;
  if (mirrors.vlans !== 0) mirrors.left.fill(0);
  if ((mirrors.port[port] & DIRECTION_IN) === 0) return;
  const { length } = arena.judged;
  // Their own are not decided yet.
  bridge.priorities.of.fill(bridge.priorities.otherwise[port]);
  tables.longest = 0;
  for (let i = 0; i < count; i++) tables.longest = Math.max(tables.longest, length[i]);
  for (let m = 0; m < mirrors.count; m++) {
    if ((mirrors.ports[m * MAX_PORTS + port] & DIRECTION_IN) === 0) continue;
    sendCopies(tables, fallback, plan, bridge, mirrors, m, tables.everyFrame, count);
    if (mirrors.truncate[m] !== 0) continue;
    // Rules that mirror to the same port do it no second time.
    plan.mirrored[mirrors.to[m]] = MIRRORED_ALL;
    plan.anyMirrored = 1;
  }
}

/** Frame `i`, of which form BURST + `i` is kept, came into a VLAN. */
export function noteEntered(plan: Plan, mirrors: Mirrors, i: number, vid: number): void {
  const { entered, enteredCount, ports, vids } = mirrors;
  mirrors.vid[i] = vid;
  if ((mirrors.vlans & DIRECTION_IN) === 0) return;
  for (let m = 0; m < mirrors.count; m++) {
    if ((vids[m * VIDS + vid] & DIRECTION_IN) === 0) continue;
    if ((ports[m * MAX_PORTS + plan.port] & DIRECTION_IN) !== 0) continue;
    entered[m * BURST + enteredCount[m]++] = BURST + i;
  }
}

/** Copies what was noted; all frames are judged. */
export function mirrorEntered(tables: Tables, fallback: Fallback, plan: Plan, bridge: Bridge, mirrors: Mirrors): void {
  const { entered, enteredCount, picked } = mirrors;
  for (let m = 0; m < mirrors.count; m++) {
    const count = enteredCount[m];
    if (count === 0) continue;
    enteredCount[m] = 0;
    for (let k = 0; k < count; k++) picked[k] = entered[m * BURST + k];
    sendCopies(tables, fallback, plan, bridge, mirrors, m, picked, count);
  }
}

/**
 * Notes the frames that mirrors copy where they leave by a port of theirs: for their VLAN they are not copied again. All lists are complete;
 * what such a port drops then, since it is too long with its tag, has no copy.
 */
export function noteDepartures(tables: Tables, mirrors: Mirrors): void {
  if (!mirrors.leaveTwice) return;
  const { left, port, ports, to } = mirrors;
  const { floodPorts, listCount, lists } = tables;
  for (let f = 0; f < tables.floodCount; f++) {
    const out = floodPorts[f];
    const count = listCount[out];
    if (count === 0 || (port[out] & DIRECTION_OUT) === 0) continue;
    if (tables.control[SharedState.portWord(out, PORT_UP)] === 0) continue;
    const list = lists[out];
    for (let m = 0; m < mirrors.count; m++) {
      if (to[m] === out || (ports[m * MAX_PORTS + out] & DIRECTION_OUT) === 0) continue;
      for (let k = 0; k < count; k++) if (list[k] < BURST) left[m * BURST + list[k]] = 1;
    }
  }
}

/** Copies frames `list[0..count)`, which `out` is about to send as they are now. */
export function mirrorDepartures(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  mirrors: Mirrors,
  out: number,
  list: Int32Array,
  count: number,
): void {
  if (((mirrors.port[out] | mirrors.vlans) & DIRECTION_OUT) === 0) return;
  if (tables.control[SharedState.portWord(out, PORT_UP)] === 0) return;
  const { picked, ports } = mirrors;
  for (let m = 0; m < mirrors.count; m++) {
    if (mirrors.to[m] === out) continue;
    const ofPort = (ports[m * MAX_PORTS + out] & DIRECTION_OUT) !== 0;
    let n = 0;
    for (let k = 0; k < count; k++) if (leaves(mirrors, m, list[k], ofPort)) picked[n++] = list[k];
    if (n > 0) sendCopies(tables, fallback, plan, bridge, mirrors, m, picked, n);
  }
}

/** Whether mirror `m` has a copy of form `i`, which leaves by a port of the mirror's or by another one. */
function leaves(mirrors: Mirrors, m: number, i: number, ofPort: boolean): boolean {
  // A copy that a rule made.
  if (i >= BURST) return false;
  if (ofPort || (mirrors.vlans & DIRECTION_OUT) === 0) return ofPort;
  const at = m * BURST + i;
  const mirrored = mirrors.left[at] === 0 && (mirrors.vids[m * VIDS + mirrors.vid[i]] & DIRECTION_OUT) !== 0;
  if (mirrored) mirrors.left[at] = 1;
  return mirrored;
}

/** Delivers forms `list[0..count)` to where mirror `m` leads, unless they came from there or nobody is there. */
function sendCopies(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  bridge: Bridge,
  mirrors: Mirrors,
  m: number,
  list: Int32Array,
  count: number,
): void {
  const to = mirrors.to[m];
  if (to === plan.port || tables.outCount[to] === 0) return;
  if (tables.control[SharedState.portWord(to, PORT_UP)] === 0) return;
  const { judged } = plan.arena;
  const { cut } = mirrors;
  const size = mirrors.truncate[m];
  const segments = judged.pool.count;
  plan.laneCounters[COPIES] += count;
  if (size !== 0) for (let k = 0; k < count; k++) cut[k] = cutForm(judged, list[k], size);
  mirrors.copying = 1;
  sendForms(tables, fallback, plan, bridge, to, size === 0 ? list : cut, count);
  mirrors.copying = 0;
  judged.pool.count = segments;
}

/** Makes another form of the first `size` bytes of form `i`, where that is longer, as a plain frame. Returns the form to deliver. */
function cutForm(judged: Batch, i: number, size: number): number {
  if (judged.length[i] <= size) return i;
  const to = FIRST_CUT + (i & (BURST - 1));
  const { pool } = judged;
  judged.length[to] = size;
  judged.first[to] = pool.count;
  plainNetHeader(judged, to);
  let left = size;
  let s = judged.first[i];
  for (; left > 0; s++) {
    const length = Math.min(left, pool.length[s]);
    pool.window[pool.count] = pool.window[s];
    pool.offset[pool.count] = pool.offset[s];
    pool.length[pool.count] = length;
    pool.count++;
    left -= length;
  }
  judged.segments[to] = pool.count - judged.first[to];
  return to;
}
