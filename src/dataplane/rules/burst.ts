// HOT
// What every burst begins with, whichever code judges it: forward-planned.ts, or bridge/forward-bridged.ts.

import { CLOCK_S } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { beginTurn } from "./meter.ts";
import type { Plan } from "./plan.ts";

/** A burst comes in on `port`; `counters` are the in-lane's. */
export function beginBurst(tables: Tables, plan: Plan, port: number, counters: Float64Array): void {
  plan.port = port;
  plan.nowS = tables.control[CLOCK_S];
  plan.laneCounters = counters;
  plan.sourceLo = 0;
  plan.sourceHi = 0;
  plan.hi = -1;
  beginTurn(plan.meters);
}

/** Whether a source, whose words those are in the arena, is a group address or zero. */
export function isBadSource(word1: number, word2: number): boolean {
  return (word1 & 0x10000) !== 0 || ((word1 >>> 16) | word2) === 0;
}
