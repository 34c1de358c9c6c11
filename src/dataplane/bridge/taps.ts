// Captures at one worker: what tap.ts looks for in frames that pass, and the rings that it writes to. A new plan makes new taps over the
// same rings, which know by themselves how far they are.
//
//   CapturePolicy --in the plan's image--> Tap { port, direction | drops | rule,  filter,  ring }
//
// A filter is a rule's match, compiled as one: a program of one rule that it meets or does not. Cold to make; worker threads.

import { COUNTER_COUNT } from "../../mem/counters.ts";
import { viewOf } from "../../sys/memory.ts";
import { EventRing } from "../rules/event-ring.ts";
import { RuleProgram } from "../rules/program.ts";
import { MAX_PORTS } from "../shared.ts";
import { DIRECTION_BITS } from "./mirrors.ts";
import type { CapturePolicy } from "./policy.ts";
import { tapLayout } from "./tap-memory.ts";

export class Tap {
  readonly port: number;
  /** DIRECTION_* bits; 0 where it is no port that is captured. */
  readonly directions: number;
  readonly drops: boolean;
  /** Id of the rule whose frames it wants, or 0. */
  readonly rule: number;
  readonly snap: number;
  readonly filter: RuleProgram | null;
  readonly ring: EventRing;
  /** Where the ring's bytes begin. */
  readonly address: number;
  readonly met: Float64Array;

  constructor({ what, snap, filter, memory }: CapturePolicy, workers: number, worker: number) {
    this.port = what.of === "port" ? what.port : -1;
    this.directions = what.of === "port" ? DIRECTION_BITS[what.direction] : 0;
    this.drops = what.of === "drops";
    this.rule = what.of === "rule" ? what.id : 0;
    this.snap = snap;
    this.filter = filter === undefined ? null : new RuleProgram(Int32Array.from(filter.tables), filter.source);
    const { size, ring, met } = tapLayout(workers, worker);
    const buffer = viewOf(memory, 0, size);
    this.ring = new EventRing(buffer, ring.at, ring.size);
    this.address = memory + ring.at;
    this.met = new Float64Array(buffer, met.at, COUNTER_COUNT);
  }
}

export class Taps {
  readonly all: readonly Tap[];
  readonly count: number;
  /** DIRECTION_* bits of all taps of a port, or-ed. */
  readonly ports = new Uint8Array(MAX_PORTS);
  readonly drops: boolean;
  readonly rules: boolean;
  // When the burst came in.
  seconds = 0;
  microseconds = 0;

  constructor(captures: readonly CapturePolicy[], workers: number, worker: number) {
    this.all = captures.map((capture) => new Tap(capture, workers, worker));
    this.count = captures.length;
    for (const { port, directions } of this.all) if (port >= 0) this.ports[port] |= directions;
    this.drops = this.all.some(({ drops }) => drops);
    this.rules = this.all.some(({ rule }) => rule !== 0);
  }

  /** Whether frames have to be kept as they were received. */
  get keeps(): boolean {
    return this.drops || this.rules;
  }
}
