// HOT
// Sending without a copy (mem/held.ts): the device reads a frame where its sender wrote it. Only the virtio-net header is ours,
// since the sender could change its own after we looked.
//
//   own buffer [header] -> segment (its window's IOVA + offset) -> segment ...     1 + segments descriptors
//
// Every such frame has a ticket, counting up. The device may finish in any order, TX_REAPED passes tickets in order; books:
// d[k] is 1 + (ticket & mask) for the head of such a chain, else 0; e[ticket & mask] is 1 while the device reads the frame.
// At most `size` tickets are under way: where the oldest stands still so long, further frames are copied.
//
// All under the lane's lock. driver-transmit.ts calls it.

import { publish32 } from "../mem/access.ts";
import type { Batch } from "../mem/batch.ts";
import { TX_POSTED, TX_REAPED } from "../mem/lane-state.ts";
import { VRING_DESC_F_NEXT } from "../uapi/virtio_ring.ts";
import { type DriverQueue, FREE } from "./driver-queue.ts";
import type { Transmitter } from "./driver-transmit.ts";
import { NET_HEADER_SIZE, writeNetHeader } from "./net-header.ts";

/** Linux's frames have up to 18 pieces (MAX_SKB_FRAGS and the head); of more, copying them is less work for the device. */
const MAX_PIECES = 32;

/** Whether the device may read frame `i` where it lies: every byte, and nobody else holds it. */
export function reaches(transmitter: Transmitter, batch: Batch, i: number): boolean {
  const { iova, posted, queue, state, windows } = transmitter;
  const { pool } = batch;
  const first = batch.first[i];
  // The quick way out: undefined without zero copy, -1 for memory that no device reaches.
  if (!(iova[pool.window[first]] >= 0)) return false;
  const segments = batch.segments[i];
  if (batch.heldBy[i] !== 0 || segments > MAX_PIECES || segments >= queue.size) return false;
  if (((posted - state[TX_REAPED]) | 0) >= queue.size) return false;
  let length = 0;
  for (let s = first; s < first + segments; s++) {
    const window = pool.window[s];
    const offset = pool.offset[s];
    const piece = pool.length[s];
    // Addresses go to the device raw. A frame that breaks this is found malformed where it is copied.
    if (!(iova[window] >= 0) || offset < 0 || piece <= 0 || !(offset + piece <= windows.size[window])) return false;
    length += piece;
  }
  return length === batch.length[i];
}

/** Sends frame `i`, which `reaches` and for which there is room. Returns the head of its chain. */
export function sendDirect(transmitter: Transmitter, batch: Batch, i: number): number {
  const { high, iova, low, queue, windows } = transmitter;
  const { a: stack, b: chain, books, c: behind, chunk, d: ticketOf, e: underWay } = queue;
  const { desc, mask } = queue.ring;
  const { pool } = batch;
  const first = batch.first[i];
  const segments = batch.segments[i];
  let top = books[FREE] - 1;
  const head = stack[top];
  writeNetHeader(windows.view[transmitter.window], head * chunk, batch, i, false, 0);
  let entry = head << 2;
  desc[entry] = low[head];
  desc[entry + 1] = high[head];
  desc[entry + 2] = NET_HEADER_SIZE;
  let last = head;
  for (let s = first; s < first + segments; s++) {
    const index = stack[--top];
    desc[entry + 3] = VRING_DESC_F_NEXT | (index << 16);
    behind[last] = index;
    last = index;
    entry = index << 2;
    const address = iova[pool.window[s]] + pool.offset[s];
    desc[entry] = address | 0;
    desc[entry + 1] = (address / 4294967296) | 0;
    desc[entry + 2] = pool.length[s];
  }
  desc[entry + 3] = 0;
  chain[head] = 1 + segments;
  books[FREE] = top;
  const ticket = (transmitter.posted + 1) | 0;
  transmitter.posted = ticket;
  transmitter.direct++;
  ticketOf[head] = 1 + (ticket & mask);
  underWay[ticket & mask] = 1;
  batch.heldBy[i] = transmitter.self;
  batch.ticket[i] = ticket;
  batch.anyHeld = 1;
  return head;
}

/** Shows whoever waits which tickets were given out; before the device is shown the frames. */
export function publishPosted(transmitter: Transmitter): void {
  if (transmitter.direct > 0) publish32(transmitter.state, TX_POSTED, transmitter.posted);
}

/** The device is done with the chain of `head`. */
export function finishDirect(queue: DriverQueue, head: number): void {
  const slot = queue.d[head];
  if (slot === 0) return;
  queue.d[head] = 0;
  queue.e[slot - 1] = 0;
}

/** Passes every ticket up to the first that is under way. */
export function publishReaped(transmitter: Transmitter): void {
  const { queue, state } = transmitter;
  const posted = state[TX_POSTED];
  const before = state[TX_REAPED];
  const { mask } = queue.ring;
  let reaped = before;
  while (reaped !== posted && queue.e[(reaped + 1) & mask] === 0) reaped = (reaped + 1) | 0;
  if (reaped !== before) publish32(state, TX_REAPED, reaped);
}
