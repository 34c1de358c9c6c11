// What a worker gives a lane, for tests that drive one directly: windows, state, counters, a batch, and frames put into
// memory of the test's own. `give` frees all of it.

import { Batch } from "../../src/mem/batch.ts";
import { COUNTER_COUNT, COUNTER_NAMES, FIRST_DROP } from "../../src/mem/counters.ts";
import { LANE_STATE_LENGTH } from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { LaneContext } from "../../src/ports/port.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { plainNetHeader } from "../../src/virtio/net-header.ts";

const FRAME_MEMORY_SIZE = 1 << 20;

export class LaneBench {
  readonly batch = new Batch();
  readonly windows = new WindowTable();
  readonly counters = new Float64Array(COUNTER_COUNT);
  readonly state = new Int32Array(new SharedArrayBuffer(LANE_STATE_LENGTH * 4));
  /** The memory that `put` fills, and its window. */
  readonly address: number;
  readonly window: number;
  #used = 0;

  constructor(readonly memorySize: number = FRAME_MEMORY_SIZE) {
    this.address = mapAnonymous(memorySize);
    this.window = this.windows.add(this.address, memorySize);
  }

  context(changes: Partial<LaneContext> = {}): LaneContext {
    const { windows, state, counters } = this;
    return { windows, state, counters, shared: false, owner: true, ...changes };
  }

  /** Where the next piece is put: a test may choose how it lies. */
  seek(offset: number): void {
    this.#used = offset;
  }

  /** Puts bytes behind those of before, which may still be read; at the start again where the memory ends. Returns where. */
  place(bytes: Uint8Array): number {
    const offset = this.#used + bytes.length > this.memorySize ? 0 : this.#used;
    this.windows.u8[this.window].set(bytes, offset);
    this.#used = offset + bytes.length;
    return offset;
  }

  /** Appends a plain frame to the batch, each piece in a place of its own; returns its index. */
  put(...pieces: Uint8Array[]): number {
    const { batch } = this;
    const i = batch.count++;
    batch.first[i] = batch.pool.count;
    batch.segments[i] = pieces.length;
    batch.length[i] = pieces.reduce((sum, piece) => sum + piece.length, 0);
    plainNetHeader(batch, i);
    for (const piece of pieces) {
      const s = batch.pool.count++;
      batch.pool.window[s] = this.window;
      batch.pool.offset[s] = this.place(piece);
      batch.pool.length[s] = piece.length;
    }
    return i;
  }

  /** Indices 0 to batch.count - 1. */
  get all(): Int32Array {
    return Int32Array.from({ length: this.batch.count }, (_, i) => i);
  }

  /** Bytes of frame `i` of the batch. */
  frame(i: number): Uint8Array<ArrayBuffer> {
    const { batch, windows } = this;
    const pieces: Uint8Array[] = [];
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      const start = batch.pool.offset[s];
      pieces.push(windows.u8[batch.pool.window[s]].slice(start, start + batch.pool.length[s]));
    }
    return new Uint8Array(Buffer.concat(pieces));
  }

  /** Drops and faults by name; those that never happened are absent. */
  get drops(): Record<string, number> {
    const found: Record<string, number> = {};
    for (let index = FIRST_DROP; index < COUNTER_COUNT; index++) {
      const name = COUNTER_NAMES[index];
      if (name !== undefined && this.counters[index] > 0) found[name] = this.counters[index];
    }
    return found;
  }

  /** Gives the memory back; the views are of no use then. */
  give(): void {
    this.windows.remove(this.window);
    unmap(this.address, this.memorySize);
  }
}

/** `size` bytes that differ from place to place. */
export function pattern(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, index) => (index * 31 + seed * 7 + (index >> 8)) & 0xff);
}
