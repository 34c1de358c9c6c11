// HOT
// The one place where a frame that rules or the bridge refuse ends: counted at the lane that it came from, and captured.

import type { Plan } from "../rules/plan.ts";
import { tapDrop } from "./tap.ts";

/** Counts frame `i` under a DROP_* counter. */
export function dropFrame(plan: Plan, i: number, counter: number): void {
  plan.laneCounters[counter]++;
  if (plan.bridge !== null && plan.bridge.taps !== null) tapDrop(plan, plan.bridge.taps, i, counter);
}
