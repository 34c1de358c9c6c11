// HOT
// Captures at work: frames that pass a tapped place are copied, cut to the capture's snap length, into the worker's ring.
//
//   tapArrivals     a burst that came in at a tapped port, as received      tapDrop   where a frame is dropped, as it was received
//   tapDepartures   what a port is about to send, copies of mirrors too     tapRule   where a frame meets a tapped rule, as received
//
// A ring that is full costs its capture frames, which are counted there (tap-memory.ts), and the worker nothing. A filter is asked about
// the frame as it is at its place, with the port where it came in. What receivers refuse (no_buffer, oversized and the like), what meets
// a port that is down when it comes in, and what is malformed is not at hand here: the control thread knows how many those are.

import { BURST } from "../../mem/batch.ts";
import { copyOut } from "../../mem/copy.ts";
import { DROP_LINK_DOWN } from "../../mem/counters.ts";
import { publishEvent, reserveEvent } from "../rules/event-ring.ts";
import { parseKey } from "../rules/parse.ts";
import type { Plan } from "../rules/plan.ts";
import { decide } from "../rules/program.ts";
import { PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { DIRECTION_IN, DIRECTION_OUT } from "./mirrors.ts";
import { EVENT_TAPPED, TAP_HEADER_SIZE, TAPPED_DROP, TAPPED_IN, TAPPED_OUT, TAPPED_RULE } from "./tap-memory.ts";
import type { Tap, Taps } from "./taps.ts";

const ORIGIN_MS = performance.timeOrigin;

/** The burst's frames come in on `plan.port`. */
export function tapArrivals(plan: Plan, taps: Taps, count: number): void {
  const nowMs = ORIGIN_MS + performance.now();
  taps.seconds = Math.floor(nowMs / 1000);
  taps.microseconds = Math.floor((nowMs - taps.seconds * 1000) * 1000);
  if ((taps.ports[plan.port] & DIRECTION_IN) === 0) return;
  for (let t = 0; t < taps.count; t++) {
    const tap = taps.all[t];
    if (tap.port !== plan.port || (tap.directions & DIRECTION_IN) === 0) continue;
    for (let i = 0; i < count; i++) record(plan, taps, tap, i, TAPPED_IN, plan.port, 0);
  }
}

/** Port `out` is about to send forms `list[0..count)`, or to drop them, where it is down. */
export function tapDepartures(
  tables: Tables,
  plan: Plan,
  taps: Taps,
  out: number,
  list: Int32Array,
  count: number,
): void {
  if (tables.control[SharedState.portWord(out, PORT_UP)] === 0) {
    for (let k = 0; k < count; k++) tapDrop(plan, taps, list[k], DROP_LINK_DOWN);
    return;
  }
  if ((taps.ports[out] & DIRECTION_OUT) === 0) return;
  for (let t = 0; t < taps.count; t++) {
    const tap = taps.all[t];
    if (tap.port !== out || (tap.directions & DIRECTION_OUT) === 0) continue;
    for (let k = 0; k < count; k++) record(plan, taps, tap, list[k], TAPPED_OUT, out, 0);
  }
}

/** Frame `i` is dropped and counted under a DROP_* counter. */
export function tapDrop(plan: Plan, taps: Taps, i: number, counter: number): void {
  if (!taps.drops) return;
  // Frames are kept as they are judged, unless they are dropped before; what is dropped later was kept.
  const received = i <= plan.arena.kept ? BURST + i : i;
  for (let t = 0; t < taps.count; t++) {
    const tap = taps.all[t];
    if (!tap.drops) continue;
    tap.met[counter]++;
    record(plan, taps, tap, received, TAPPED_DROP, plan.port, counter);
  }
}

/** Form `received` meets the rule of this id. */
export function tapRule(plan: Plan, taps: Taps, received: number, id: number): void {
  for (let t = 0; t < taps.count; t++) {
    const tap = taps.all[t];
    if (tap.rule === id) record(plan, taps, tap, received, TAPPED_RULE, plan.port, id);
  }
}

function record(plan: Plan, taps: Taps, tap: Tap, i: number, what: number, port: number, reason: number): void {
  const { arena } = plan;
  const { judged } = arena;
  const { pool } = judged;
  const length = judged.length[i];
  const first = judged.first[i];
  const { filter, ring } = tap;
  if (filter !== null) {
    parseKey(arena.view, pool.offset[first], length, plan.port, filter.key);
    if (filter.flows[decide(filter)] === 0) return;
  }
  const size = Math.min(length, tap.snap);
  const to = reserveEvent(ring, EVENT_TAPPED, TAP_HEADER_SIZE + size);
  if (to < 0) return;
  const { words } = ring;
  const word = to >> 2;
  words[word] = what;
  words[word + 1] = port;
  words[word + 2] = reason;
  words[word + 3] = length;
  words[word + 4] = size;
  words[word + 5] = taps.microseconds;
  words[word + 6] = taps.seconds;
  words[word + 7] = 0;
  let at = tap.address + to + TAP_HEADER_SIZE;
  let left = size;
  for (let s = first; left > 0; s++) {
    const taken = Math.min(left, pool.length[s]);
    copyOut(arena.windows, at, pool.window[s], pool.offset[s], taken);
    at += taken;
    left -= taken;
  }
  publishEvent(ring);
}
