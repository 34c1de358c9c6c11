// The policies in force at one worker: what its hot code reads, made between two bursts from plain data (policy.ts). Replaced whole
// with the plan that it belongs to; what has to last longer lies in shared memory (bridge-memory.ts).
//
//   BridgePolicy --JSON in the plan's image--> PlanRunner.open() -> Bridge -> plan.bridge -> forward-bridged.ts
//
// Cold to make; worker threads.

import { viewOf } from "../../sys/memory.ts";
import { bridgeMemoryLayout } from "./bridge-memory.ts";
import { Buckets } from "./buckets.ts";
import { Guards } from "./guards.ts";
import type { BridgePolicy } from "./policy.ts";
import { Reach } from "./reach.ts";
import { Vlans } from "./vlans.ts";

/** Where BridgeMemory is. Plain data: it crosses the mailbox. */
export interface BridgeMemoryConfig {
  address: number;
  workers: number;
}

export class Bridge {
  readonly vlans: Vlans;
  readonly guards: Guards;
  readonly reach: Reach;
  /** Policing and storm control. */
  readonly buckets: Buckets;
  // Within a burst: the source that was learned last and in which VLAN; the destination that was looked up last, and what was found.
  sourceLo = 0;
  sourceHi = 0;
  sourceVid = -1;
  /** 0, or the DROP_* counter of frames from that source. */
  sourceRefused = 0;
  lo = 0;
  hi = -1;
  vid = -1;
  toward = -1;

  constructor(
    readonly policy: BridgePolicy,
    memory: BridgeMemoryConfig,
    worker: number,
  ) {
    const layout = bridgeMemoryLayout(memory.workers, worker);
    const buffer = viewOf(memory.address, 0, layout.size);
    this.vlans = new Vlans(policy);
    this.guards = new Guards(policy);
    this.reach = new Reach(policy);
    this.buckets = new Buckets(policy, buffer, layout);
  }
}
