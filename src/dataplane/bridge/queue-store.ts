// HOT
// The memory in which frames wait to leave by one port, in one worker: whole frames, copied, with what their net headers say.
//
//   blocks    | frame 0 ........| frame 1 |  free  | frame 0, on |  free  ...      BLOCK_SIZE bytes each
//   more        ------------------------------------^                              -1: the frame ends here
//   facts     FACTS words of each frame, at its first block, whose number is the frame's: length, offloads
//
// A block takes any frame of MTU 1500, and one is what most frames take. Free blocks are taken last in, first out: memory that was
// never needed at once is never touched. Nobody else reads it, no NIC either: it has no IOVA, so frames are copied out of it.

import { type Batch, MAX_FRAME } from "../../mem/batch.ts";
import { copyBytes } from "../../mem/copy.ts";
import type { WindowTable } from "../../mem/window.ts";
import { mapAnonymous, unmap } from "../../sys/memory.ts";

const BLOCK_SIZE_LOG2 = 11;
export const BLOCK_SIZE = 1 << BLOCK_SIZE_LOG2;
/** A tag more than the longest frame that comes in. */
export const FRAME_BLOCKS_MAX = (MAX_FRAME + 4 + BLOCK_SIZE - 1) >> BLOCK_SIZE_LOG2;

const FACTS = 8;
const FACT_LENGTH = 0;
const FACT_NEEDS = 1;
const FACT_FLAGS = 2;
const FACT_GSO_TYPE = 3;
const FACT_GSO_SIZE = 4;
const FACT_CSUM_START = 5;
const FACT_CSUM_OFFSET = 6;

export class QueueStore {
  readonly window: number;
  readonly more: Int32Array;
  readonly facts: Int32Array;
  /** A stack of free blocks. */
  readonly free: Int32Array;
  freeCount: number;
  private readonly address: number;
  private readonly size: number;

  /** Maps and registers room for so many blocks. Throws SysError, or RingyardError LIMIT. */
  constructor(
    readonly windows: WindowTable,
    blocks: number,
  ) {
    this.size = blocks << BLOCK_SIZE_LOG2;
    this.address = mapAnonymous(this.size);
    this.window = windows.add(this.address, this.size);
    this.more = new Int32Array(blocks);
    this.facts = new Int32Array(blocks * FACTS);
    this.free = Int32Array.from({ length: blocks }, (_, k) => blocks - 1 - k);
    this.freeCount = blocks;
  }

  /** Unmaps the blocks; what is in them is gone. Cold. */
  close(): void {
    this.windows.remove(this.window);
    unmap(this.address, this.size);
  }
}

/** Blocks that a frame of `length` bytes takes. */
export function blocksFor(length: number): number {
  return (length + BLOCK_SIZE - 1) >> BLOCK_SIZE_LOG2;
}

export function storedLength({ facts }: QueueStore, frame: number): number {
  return facts[frame * FACTS + FACT_LENGTH];
}

/**
 * Copies frame `i` of a batch into free blocks, of which there have to be enough (blocksFor). Returns the frame's number here, or -1
 * where its bytes are out of reach: nothing is stored then.
 */
export function storeFrame(store: QueueStore, batch: Batch, i: number): number {
  const { facts, free, more, windows } = store;
  const { pool } = batch;
  const frame = free[store.freeCount - 1];
  const end = batch.first[i] + batch.segments[i];
  let block = -1;
  let room = 0;
  for (let s = batch.first[i]; s < end; s++) {
    let from = pool.offset[s];
    let left = pool.length[s];
    while (left > 0) {
      if (room === 0) {
        const next = free[--store.freeCount];
        if (block >= 0) more[block] = next;
        block = next;
        more[block] = -1;
        room = BLOCK_SIZE;
      }
      const size = Math.min(left, room);
      const to = ((block + 1) << BLOCK_SIZE_LOG2) - room;
      if (!copyBytes(windows, store.window, to, pool.window[s], from, size)) {
        freeFrame(store, frame);
        return -1;
      }
      from += size;
      left -= size;
      room -= size;
    }
  }
  const at = frame * FACTS;
  facts[at + FACT_LENGTH] = batch.length[i];
  facts[at + FACT_NEEDS] = batch.needs[i];
  facts[at + FACT_FLAGS] = batch.flags[i];
  facts[at + FACT_GSO_TYPE] = batch.gsoType[i];
  facts[at + FACT_GSO_SIZE] = batch.gsoSize[i];
  facts[at + FACT_CSUM_START] = batch.csumStart[i];
  facts[at + FACT_CSUM_OFFSET] = batch.csumOffset[i];
  return frame;
}

/** Appends a stored frame to a batch with room for it; its blocks stay until freeFrame. */
export function batchFrame(store: QueueStore, frame: number, batch: Batch): void {
  const { facts, more, window } = store;
  const { pool } = batch;
  const i = batch.count++;
  const at = frame * FACTS;
  const length = facts[at + FACT_LENGTH];
  batch.length[i] = length;
  batch.needs[i] = facts[at + FACT_NEEDS];
  batch.flags[i] = facts[at + FACT_FLAGS];
  batch.gsoType[i] = facts[at + FACT_GSO_TYPE];
  batch.gsoSize[i] = facts[at + FACT_GSO_SIZE];
  batch.csumStart[i] = facts[at + FACT_CSUM_START];
  batch.csumOffset[i] = facts[at + FACT_CSUM_OFFSET];
  batch.anyNeeds |= batch.needs[i];
  batch.first[i] = pool.count;
  let left = length;
  let s = pool.count;
  for (let block = frame; block >= 0; block = more[block]) {
    pool.window[s] = window;
    pool.offset[s] = block << BLOCK_SIZE_LOG2;
    pool.length[s] = Math.min(left, BLOCK_SIZE);
    left -= BLOCK_SIZE;
    s++;
  }
  batch.segments[i] = s - pool.count;
  pool.count = s;
}

/** Gives a frame's blocks back. */
export function freeFrame(store: QueueStore, frame: number): void {
  const { free, more } = store;
  for (let block = frame; block >= 0; block = more[block]) free[store.freeCount++] = block;
}
