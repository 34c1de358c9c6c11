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
import { Learning } from "./learning.ts";
import { Probes } from "./loop-guard.ts";
import { DIRECTION_IN, Mirrors } from "./mirrors.ts";
import type { BridgePolicy } from "./policy.ts";
import { Priorities } from "./priority.ts";
import { Shares } from "./queue-shares.ts";
import type { EgressQueues } from "./queues.ts";
import { Reach } from "./reach.ts";
import { Suppression } from "./suppress.ts";
import { Taps } from "./taps.ts";
import { Vlans } from "./vlans.ts";

/** Where BridgeMemory is. Plain data: it crosses the mailbox. */
export interface BridgeMemoryConfig {
  address: number;
  workers: number;
}

export class Bridge {
  readonly vlans: Vlans;
  readonly learning: Learning;
  readonly guards: Guards;
  readonly reach: Reach;
  /** Policing, storm control and shaping. */
  readonly buckets: Buckets;
  /** Of shaped ports' tokens. */
  readonly shares: Shares;
  readonly suppression: Suppression;
  readonly priorities: Priorities;
  /** Null where frames leave all ports at once. */
  queues: EgressQueues | null = null;
  /** Of the loop guard. */
  readonly probes: Probes;
  /** Null where there are none. */
  readonly mirrors: Mirrors | null;
  readonly taps: Taps | null;
  /** Whether each frame is kept as it was received until the burst is done. */
  readonly keeps: boolean;
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
    this.learning = new Learning(policy);
    this.guards = new Guards(policy);
    this.reach = new Reach(policy);
    this.buckets = new Buckets(policy, buffer, layout);
    const { shares } = layout;
    this.shares = new Shares(new Int32Array(buffer, shares.at, shares.size >> 2), memory.workers, worker);
    this.suppression = new Suppression(policy, buffer, layout);
    this.priorities = new Priorities(policy);
    this.probes = new Probes(buffer, layout.probes.at);
    this.mirrors = policy.mirrors.length === 0 ? null : new Mirrors(policy.mirrors);
    const { captures = [] } = policy;
    this.taps = captures.length === 0 ? null : new Taps(captures, memory.workers, worker);
    this.keeps = ((this.mirrors?.vlans ?? 0) & DIRECTION_IN) !== 0 || (this.taps?.keeps ?? false);
  }
}
