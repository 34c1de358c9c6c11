// HOT
// Who may send what into a port, judged by the flow key of a frame as it was received, before any rule.

import type { Plan } from "../rules/plan.ts";
import type { BridgePolicy } from "./policy.ts";

export class Guards {
  constructor(readonly policy: BridgePolicy) {}
}

/** 0 where the frame of `plan.program.key`, whose header is form `i` of the arena, may come in; else the DROP_* counter that says why not. */
export function refusedAtEntry(_guards: Guards, _plan: Plan, _i: number): number {
  return 0;
}
