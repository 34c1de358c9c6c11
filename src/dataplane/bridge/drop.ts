// HOT
// The one place where a frame that the bridge refuses ends: counted at the lane that it came from.

import type { Plan } from "../rules/plan.ts";

/** Counts frame `i` under a DROP_* counter. */
export function dropFrame(plan: Plan, _i: number, counter: number): void {
  plan.laneCounters[counter]++;
}
