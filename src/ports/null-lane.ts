// HOT
// A lane that takes every frame and sends none: nothing is read, so its memory is nobody's.

import { type Batch, OFFLOAD_ALL } from "../mem/batch.ts";
import { TX_BYTES, TX_FRAMES } from "../mem/counters.ts";
import type { Lane } from "./port.ts";

export class NullLane implements Lane {
  readonly accepts = OFFLOAD_ALL;
  readonly delivers = true;
  readonly wakeFd = -1;
  readonly wakeEdge = false;

  constructor(readonly counters: Float64Array) {}

  fetch(_batch: Batch): number {
    return 0;
  }

  release(_batch: Batch): void {}

  deliver(batch: Batch, list: Int32Array, count: number): number {
    let bytes = 0;
    for (let k = 0; k < count; k++) bytes += batch.length[list[k]];
    this.counters[TX_FRAMES] += count;
    this.counters[TX_BYTES] += bytes;
    return count;
  }

  arm(): boolean {
    return false;
  }

  disarm(): void {}

  close(): void {}
}
