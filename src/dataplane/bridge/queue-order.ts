// HOT
// In which order waiting frames leave: eight queues, one for each priority, first in, first out each.
//
//   strict    the highest priority that has frames
//   DRR       by turns; a queue gets its quantum of bytes when its turn comes, and sends while its head fits into what it has
//             saved (Shreedhar and Varghese, 1995): over time, bytes in proportion to the weights
//
//   queue q   first[q] -> after[] -> after[] -> last[q]      blocks[q] of the store (queue-store.ts)
//
// How much may wait is bounded for all together; a queue may take as much as is still free then (dynamic thresholds, Choudhury and
// Hahne, 1998), so one alone gets half, and n that overflow 1/(n + 1) each: none takes all. One that is empty always takes a frame.

import { PRIORITIES } from "./priority.ts";
import { FRAME_BLOCKS_MAX, type QueueStore, storedLength } from "./queue-store.ts";

/** What the store must have beyond the bound, for one frame of each queue that was empty. */
export const RESERVE_BLOCKS = PRIORITIES * FRAME_BLOCKS_MAX;
/** Bytes a turn for the least weight: a frame of MTU 1500. */
export const QUANTUM_LEAST = 1514;

export class QueueOrder {
  /** Frames in all queues, and the blocks they take. */
  waiting = 0;
  used = 0;
  /** Bound of `used`, in blocks. */
  limit = 0;
  readonly first = new Int32Array(PRIORITIES).fill(-1);
  readonly last = new Int32Array(PRIORITIES);
  readonly blocks = new Int32Array(PRIORITIES);
  /** The frame behind each frame. */
  readonly after: Int32Array;
  isStrict = 1;
  /** Whose turn it is. */
  turn = 0;
  readonly quantum = new Int32Array(PRIORITIES);
  readonly saved = new Int32Array(PRIORITIES);

  constructor(blocks: number) {
    this.after = new Int32Array(blocks);
  }

  /** Strict, or eight weights above 0, that of priority 0 first. What waits, waits on by the new order. Cold. */
  schedule(scheduler: "strict" | readonly number[]): void {
    this.isStrict = scheduler === "strict" ? 1 : 0;
    if (scheduler === "strict") return;
    const least = Math.min(...scheduler);
    this.quantum.set(scheduler.map((weight) => Math.round((weight / least) * QUANTUM_LEAST)));
    this.saved.fill(0);
  }
}

/** Whether a frame of so many blocks may wait in queue `q`. */
export function hasRoom({ blocks, limit, used }: QueueOrder, q: number, needed: number): boolean {
  return blocks[q] === 0 || blocks[q] + needed <= limit - used;
}

/** Appends a frame, which takes so many blocks of the store, to queue `q`. */
export function pushFrame(order: QueueOrder, q: number, frame: number, needed: number): void {
  const { after, blocks, first, last } = order;
  if (first[q] < 0) first[q] = frame;
  else after[last[q]] = frame;
  last[q] = frame;
  after[frame] = -1;
  blocks[q] += needed;
  order.used += needed;
  order.waiting++;
}

/** The queue whose head leaves next, of queues where a frame waits. Asked again, it is the same until a frame comes or leaves. */
export function nextQueue(order: QueueOrder, store: QueueStore): number {
  const { first, quantum, saved } = order;
  if (order.isStrict !== 0) {
    let q = PRIORITIES - 1;
    while (q > 0 && first[q] < 0) q--;
    return q;
  }
  let q = order.turn;
  // Each round, every queue that has frames saves a quantum more: the longest frame is reached after some forty.
  while (first[q] < 0 || saved[q] < storedLength(store, first[q])) {
    q = (q + 1) & (PRIORITIES - 1);
    if (first[q] >= 0) saved[q] += quantum[q];
  }
  order.turn = q;
  return q;
}

/** Takes the head of queue `q`, a frame of `length` bytes and so many blocks, out of it. Returns it. */
export function shiftFrame(order: QueueOrder, q: number, length: number, needed: number): number {
  const { after, blocks, first, saved } = order;
  const frame = first[q];
  first[q] = after[frame];
  blocks[q] -= needed;
  order.used -= needed;
  order.waiting--;
  if (order.isStrict === 0) saved[q] = first[q] < 0 ? 0 : saved[q] - length;
  return frame;
}
