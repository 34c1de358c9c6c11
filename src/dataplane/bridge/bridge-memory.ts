// The memory that policies need beside their plan, and that outlives plans: made with the first policy, kept until the switch ends.
//
//   token buckets (rules/meter.ts), BUCKETS_PER_PORT for each port, shared | per worker: a row of counters for each bucket
//
// A bucket's place is fixed by its port and purpose, so nothing is given out or taken back; an empty one fills itself when it is met
// first. Pages that nobody uses are never touched. Control thread; workers make their own views by `bridgeMemoryLayout`.

import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import { BUCKET_SIZE } from "../rules/meter.ts";
import { ROW_LENGTH } from "../rules/plan-layout.ts";
import { MAX_PORTS } from "../shared.ts";

// Purposes of a port's buckets.
export const BUCKET_POLICE = 0;
export const BUCKET_SHAPE = 1;
export const BUCKET_STORM_BROADCAST = 2;
export const BUCKET_STORM_MULTICAST = 3;
export const BUCKET_STORM_UNKNOWN = 4;
export const BUCKETS_PER_PORT = 8;

const BUCKETS = MAX_PORTS * BUCKETS_PER_PORT;
const ROW_SIZE = ROW_LENGTH * 8;

/** Bytes from the start of the mapping, and how many. */
interface Place {
  at: number;
  size: number;
}

/** Where one worker's parts are in the memory of a switch with so many workers. */
export interface BridgeMemoryLayout {
  size: number;
  buckets: Place;
  counters: Place;
}

export function bridgeMemoryLayout(workers: number, worker: number): BridgeMemoryLayout {
  const buckets = { at: 0, size: BUCKETS * BUCKET_SIZE };
  const own = BUCKETS * ROW_SIZE;
  return { size: buckets.size + workers * own, buckets, counters: { at: buckets.size + worker * own, size: own } };
}

/** The bucket of a port for a purpose; its row of counters has the same number. */
export function bucketOf(port: number, purpose: number): number {
  return port * BUCKETS_PER_PORT + purpose;
}

export class BridgeMemory {
  readonly address: number;
  private readonly layouts: BridgeMemoryLayout[];
  private readonly doubles: Float64Array;

  constructor(workers: number) {
    this.layouts = Array.from({ length: workers }, (_, worker) => bridgeMemoryLayout(workers, worker));
    const { size } = this.layouts[0];
    this.address = mapAnonymous(size);
    this.doubles = new Float64Array(viewOf(this.address, 0, size));
  }

  /** Sum over workers of a column (rules/plan-layout.ts: ROW_FRAMES, ROW_BYTES, ROW_DROPPED) of a bucket's counters. */
  counted(bucket: number, column: number): number {
    const at = bucket * ROW_LENGTH + column;
    return this.layouts.reduce((sum, { counters }) => sum + this.doubles[(counters.at >> 3) + at], 0);
  }

  /** Another port has this index now. */
  clear(port: number): void {
    const first = bucketOf(port, 0);
    this.doubles.fill(0, (first * BUCKET_SIZE) >> 3, ((first + BUCKETS_PER_PORT) * BUCKET_SIZE) >> 3);
    for (const { counters } of this.layouts) {
      const start = (counters.at >> 3) + first * ROW_LENGTH;
      this.doubles.fill(0, start, start + BUCKETS_PER_PORT * ROW_LENGTH);
    }
  }

  /** The workers have stopped. */
  close(): void {
    unmap(this.address, this.layouts[0].size);
  }
}
