// The memory that rules need beside their plan, and that outlives plans: made with the first rules, kept until the switch ends.
//
//   buckets of meters (meter.ts)  |  per worker: rows of rules | rows of meters | ring (event-ring.ts)
//
// A rule has a row for as long as its id is in a plan, a meter a bucket (and the row of the same number) for as long as its
// name and figures are; the control thread gives them out, and back when no worker runs the plan that had them. Room is for
// two plans, since a replaced one is still counted in while workers change over. Pages that no row uses are never touched,
// so all of it costs address space only. Control thread; workers make their own views by `memoryLayout`.

import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import { RULES_MAX } from "./compile-layout.ts";
import { EventRing, ringBytes } from "./event-ring.ts";
import { BUCKET_SIZE } from "./meter.ts";
import { ROW_LENGTH } from "./plan-layout.ts";

/** Meters of one plan. */
export const METERS_MAX = 1024;
const ROWS = 2 * RULES_MAX;
const BUCKETS = 2 * METERS_MAX;
const ROW_SIZE = ROW_LENGTH * 8;
/** A thousand logged frames, or a few hundred whole ones of a capture, between two looks of the control thread. */
const RING_SIZE = 1 << 18;
const LINE = 64;

interface Place {
  at: number;
  size: number;
}

/** Where one worker's parts are in the memory of a switch with so many workers. `ring.size` is the ring's capacity. */
export interface MemoryLayout {
  size: number;
  buckets: Place;
  rules: Place;
  meters: Place;
  ring: Place;
}

export function memoryLayout(workers: number, worker: number): MemoryLayout {
  const buckets = { at: 0, size: BUCKETS * BUCKET_SIZE };
  const rules = ROWS * ROW_SIZE;
  const meters = BUCKETS * ROW_SIZE;
  const own = Math.ceil((rules + meters + ringBytes(RING_SIZE)) / LINE) * LINE;
  const start = buckets.size + worker * own;
  return {
    size: buckets.size + workers * own,
    buckets,
    rules: { at: start, size: rules },
    meters: { at: start + rules, size: meters },
    ring: { at: start + rules + meters, size: RING_SIZE },
  };
}

/** Numbers 0, 1, 2, ... given out lowest first and taken back. */
class Numbers {
  private readonly free: number[] = [];
  private next = 0;

  take(): number {
    return this.free.pop() ?? this.next++;
  }

  give(number: number): void {
    this.free.push(number);
  }
}

export class RuleMemory {
  readonly address: number;
  readonly rings: EventRing[];
  private readonly rows = new Numbers();
  private readonly buckets = new Numbers();
  private readonly layouts: MemoryLayout[];
  private readonly buffer: ArrayBuffer;
  private readonly doubles: Float64Array;
  private readonly words: Int32Array;

  constructor(readonly workers: number) {
    this.layouts = Array.from({ length: workers }, (_, worker) => memoryLayout(workers, worker));
    const { size } = this.layouts[0];
    this.address = mapAnonymous(size);
    this.buffer = viewOf(this.address, 0, size);
    this.doubles = new Float64Array(this.buffer);
    this.words = new Int32Array(this.buffer);
    this.rings = this.layouts.map(({ ring }) => new EventRing(this.buffer, ring.at, ring.size));
  }

  /** What every worker has in a number of a row, as it is now. */
  rule(row: number, column: number): number[] {
    return this.layouts.map(({ rules }) => this.doubles[(rules.at >> 3) + row * ROW_LENGTH + column]);
  }

  meter(bucket: number, column: number): number[] {
    return this.layouts.map(({ meters }) => this.doubles[(meters.at >> 3) + bucket * ROW_LENGTH + column]);
  }

  /** A row for a new rule, with zeroes. */
  takeRow(): number {
    const row = this.rows.take();
    for (const { rules } of this.layouts) this.clear(rules, row);
    return row;
  }

  /** A full bucket for a new meter, and a row with zeroes. */
  takeBucket(tokens: number): number {
    const bucket = this.buckets.take();
    for (const { meters } of this.layouts) this.clear(meters, bucket);
    const first = (bucket * BUCKET_SIZE) >> 2;
    this.words.fill(0, first, first + (BUCKET_SIZE >> 2));
    this.words[first] = tokens;
    return bucket;
  }

  giveRow(row: number): void {
    this.rows.give(row);
  }

  giveBucket(bucket: number): void {
    this.buckets.give(bucket);
  }

  private clear({ at }: Place, row: number): void {
    const first = (at >> 3) + row * ROW_LENGTH;
    this.doubles.fill(0, first, first + ROW_LENGTH);
  }

  /** The workers have stopped. */
  close(): void {
    unmap(this.address, this.layouts[0].size);
  }
}
