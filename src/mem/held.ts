// HOT
// Zero copy: frames that a NIC reads in their sender's memory, after `deliver` has returned. Their buffers go back to the
// sender in the order in which they were taken, each when the NIC is done with it.
//
//   NIC lane      gives every such frame a ticket, counting up     TX_POSTED ... 900 901 902
//                 and says how far the device has read             TX_REAPED ... 900
//   source lane   buffer, holder, ticket, in order                 [7, -, -] [3, NIC, 901] [4, NIC, 902] [9, -, -]
//                 given back: up to the first that is not reaped    ^
//
// A ticket may count slots of the NIC's ring or frames, as its driver likes, as long as TX_REAPED passes tickets in order.
// Tickets are compared as (reaped - ticket) | 0, so they may run over; a ring has far less than 2^31 of them outstanding.
//
// What a NIC lane does in `deliver`, under its lock: for a frame with heldBy 0 whose segments' windows all have an IOVA
// (`iova[window] >= 0`; no other way to ask), descriptors with iova[window] + offset; then heldBy, ticket, anyHeld, TX_POSTED.
// Everything else is copied. `reap`, by any worker, takes the lock and raises TX_REAPED.

import { acquire32, publish32 } from "./access.ts";
import { FETCH_AVAIL, FETCH_USED, HELD, LANE_STATE_LENGTH, TX_REAPED } from "./lane-state.ts";

/** A NIC's lane as whoever waits for it sees it. */
export interface Transmitter {
  /** Looks which transmissions are done and publishes TX_REAPED. Cheap where none is. */
  reap?(): void;
}

/** The NIC lanes of a switch, as one worker reaches them. */
export class Transmitters {
  /** This worker's lanes by index, as far as they are open. */
  readonly lanes: (Transmitter | undefined)[] = [];
  /** Queues of this worker's own lanes, which outlive a lane that is rebuilt. */
  readonly queues: (HeldQueue | undefined)[] = [];

  /** `words`: the states of all lanes, one behind the other (lane-state.ts). */
  constructor(readonly words: Int32Array) {}
}

/** What a worker gives a lane that sends without a copy, or has its frames sent so. */
export interface ZeroCopy {
  /** What the lane writes into `Batch.heldBy`: 1 + its index. */
  readonly self: number;
  /** IOVA of each window for the lane's device: `iova[window] >= 0` where it reaches the window. */
  readonly iova: Float64Array;
  readonly transmitters: Transmitters;
}

/** Buffers taken from a ring and not given back yet, first in, first out. */
export class HeldQueue {
  count = 0;
  first = 0;
  readonly mask: number;
  readonly buffer: Int32Array;
  readonly holder: Int32Array;
  readonly ticket: Int32Array;

  /** `size`: a power of two, as many as the ring has. */
  constructor(size: number) {
    this.mask = size - 1;
    this.buffer = new Int32Array(size);
    this.holder = new Int32Array(size);
    this.ticket = new Int32Array(size);
  }
}

/**
 * The queue of a lane that is opened with a ring of `size`: its predecessor's, where that ring goes on, else an empty one. Cold.
 */
export function continueQueue(transmitters: Transmitters, lane: number, size: number, state: Int32Array): HeldQueue {
  const before = transmitters.queues[lane];
  if (before !== undefined && before.mask === size - 1 && before.count === missing(state)) return before;
  abandonQueue(transmitters, lane, state);
  const queue = before?.mask === size - 1 ? before : new HeldQueue(size);
  transmitters.queues[lane] = queue;
  return queue;
}

/**
 * A lane ends with buffers held: they are not given back, and its ring goes on at used.idx, so that their frames are fetched
 * once more, as after a restart of the switch. Cold.
 */
export function abandonQueue(transmitters: Transmitters, lane: number, state: Int32Array): void {
  const queue = transmitters.queues[lane];
  if (queue === undefined || queue.count === 0) return;
  if (queue.count === missing(state)) state[FETCH_AVAIL] = state[FETCH_USED];
  queue.count = 0;
  publish32(state, HELD, 0);
}

/** Buffers taken from a ring and not given back: none where its driver has started it anew. */
function missing(state: Int32Array): number {
  return (state[FETCH_AVAIL] - state[FETCH_USED]) & 0xffff;
}

/** Appends a buffer; `holder` as in `Batch.heldBy`. There is room: nobody takes more buffers than the ring has. */
export function hold(queue: HeldQueue, buffer: number, holder: number, ticket: number): void {
  const at = (queue.first + queue.count++) & queue.mask;
  queue.buffer[at] = buffer;
  queue.holder[at] = holder;
  queue.ticket[at] = ticket;
}

/** How many buffers from the first on nobody reads any more. The caller gives them back and calls `forget`. */
export function countFree(queue: HeldQueue, transmitters: Transmitters): number {
  const { count, first, holder, mask, ticket } = queue;
  for (let n = 0; n < count; n++) {
    const at = (first + n) & mask;
    const by = holder[at];
    if (by !== 0 && !isReaped(transmitters, by - 1, ticket[at])) return n;
  }
  return count;
}

/** The first `count` buffers were given back. */
export function forget(queue: HeldQueue, count: number): void {
  queue.first = (queue.first + count) & queue.mask;
  queue.count -= count;
}

/** The NIC is asked to look only where its word of before does not do. */
function isReaped(transmitters: Transmitters, lane: number, ticket: number): boolean {
  const word = lane * LANE_STATE_LENGTH + TX_REAPED;
  if (((acquire32(transmitters.words, word) - ticket) | 0) >= 0) return true;
  const transmitter = transmitters.lanes[lane];
  if (transmitter === undefined || transmitter.reap === undefined) return false;
  transmitter.reap();
  return ((acquire32(transmitters.words, word) - ticket) | 0) >= 0;
}
