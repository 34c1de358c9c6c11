// HOT
// The receive queue of a NIC that ringyard drives: frames that the device put into our buffers, and the buffers back to it.
//
//   used.idx ---acquire---> entries { id, length } ---checked---> batch frame i: segments in the device's buffers
//   release: every buffer taken goes into avail.ring, one publish, at most one kick
//
// A frame is one buffer [header | bytes], or with MRG_RXBUF `num_buffers` of them, the header in the first (5.1.6.4).
// The device is not trusted; books: a[k] is 1 while buffer k is the device's.
//
//   what it says                                                    answer
//   used.idx ahead of what it was given; an id that is none of       the queue breaks: FAULT_COMPLETION, until a reset
//     its buffers; a length beyond the buffer
//   num_buffers 0, or more than are used; an empty piece; a first    the frame is dropped: DROP_MALFORMED
//     piece too short for addresses while others follow
//   a frame too short, too long, a header that was not negotiated    DROP_RUNT, DROP_OVERSIZED, DROP_BAD_HEADER
//
// Bytes stay in DMA memory until they are copied: a device that changes them meanwhile spoils its own frames, as a guest.

import { acquire16 } from "../mem/access.ts";
import { type Batch, BURST, MAX_FRAME, MAX_SEGMENTS, MIN_FRAME } from "../mem/batch.ts";
import {
  DROP_BAD_HEADER,
  DROP_MALFORMED,
  DROP_OVERSIZED,
  DROP_RUNT,
  FAULT_COMPLETION,
  RX_BYTES,
  RX_FRAMES,
} from "../mem/counters.ts";
import { FETCH_STATUS, RING_BROKEN } from "../mem/lane-state.ts";
import type { WindowTable } from "../mem/window.ts";
import { VRING_DESC_F_WRITE } from "../uapi/virtio_ring.ts";
import { publishAvail } from "./driver-notify.ts";
import { BROKEN, type Doorbell, type DriverQueue, LAST_USED, NEXT_AVAIL } from "./driver-queue.ts";
import { NET_HEADER_SIZE, readNetHeader } from "./net-header.ts";

const IDX = 1;
/** Where num_buffers stands in the header. */
const NUM_BUFFERS = 10;
const MIN_USED = NET_HEADER_SIZE + MIN_FRAME;
const MAX_USED = NET_HEADER_SIZE + MAX_FRAME;

/** What a lane needs to receive from one queue; made once, its fields never change shape. */
export class Receiver {
  /** Buffers taken and not given back, in order. */
  readonly heads: Int32Array;
  taken = 0;

  constructor(
    readonly queue: DriverQueue,
    readonly windows: WindowTable,
    /** Window of the queue's buffers; buffer 0 is at its start. */
    readonly window: number,
    readonly state: Int32Array,
    readonly counters: Float64Array,
    readonly doorbell: Doorbell,
    /** OFFLOAD_* forms that the device may hand us: the GUEST_* side of the negotiation. */
    readonly sender: number,
    /** GUEST_CSUM was negotiated: DATA_VALID has a meaning. */
    readonly dataValid: boolean,
    /** MRG_RXBUF was negotiated: a frame may span several buffers. */
    readonly mergeable: boolean,
  ) {
    this.heads = new Int32Array(queue.size);
  }
}

/** Makes every buffer the device's, without showing it the index yet: `showBuffers` does. Control thread. Cold. */
export function prepareReceive(queue: DriverQueue): void {
  for (let k = 0; k < queue.size; k++) {
    queue.describe(k, queue.chunk, VRING_DESC_F_WRITE);
    queue.ring.avail[2 + k] = k;
    queue.a[k] = 1;
  }
  queue.books[NEXT_AVAIL] = queue.size;
}

/** Shows the device what `prepareReceive` made: from here on it receives. Control thread. Cold. */
export function showBuffers(queue: DriverQueue, doorbell: Doorbell): void {
  publishAvail(queue.ring, 0, queue.books[NEXT_AVAIL]);
  // Whatever it wished for: it is told once that there are buffers.
  doorbell.write16(queue.notifyOffset, queue.index);
}

/**
 * Takes up to BURST frames into the empty `batch`. Returns how many. The common frame (one buffer) is handled in the loop
 * itself, as in fetch.ts.
 */
export function receiveBurst(receiver: Receiver, batch: Batch): number {
  const { counters, heads, mergeable, queue, sender, dataValid, window } = receiver;
  const { a: owned, books, chunk, ring, size } = queue;
  const last = books[LAST_USED];
  const pending = (acquire16(ring.used, IDX) - last) & 0xffff;
  if (pending === 0 || receiver.state[FETCH_STATUS] === RING_BROKEN) return 0;
  if (pending > ((books[NEXT_AVAIL] - last) & 0xffff)) return breakQueue(receiver);
  const { mask, usedRing } = ring;
  const { first, length, pool, segments } = batch;
  const view = receiver.windows.view[window];
  let frames = 0;
  let bytes = 0;
  let taken = 0;
  for (; frames < BURST && taken < pending; frames++) {
    const entry = ((last + taken) & mask) << 1;
    const head = usedRing[entry];
    const used = usedRing[entry + 1];
    if (head >>> 0 >= size || owned[head] === 0 || used >>> 0 > chunk) {
      breakQueue(receiver);
      break;
    }
    const offset = head * chunk;
    const s = pool.count;
    const single = !mergeable || view.getUint16(offset + NUM_BUFFERS, true) === 1;
    if (single && used >= MIN_USED && used <= MAX_USED && s < MAX_SEGMENTS) {
      owned[head] = 0;
      heads[taken++] = head;
      const i = batch.count;
      const frame = used - NET_HEADER_SIZE;
      length[i] = frame;
      first[i] = s;
      segments[i] = 1;
      pool.window[s] = window;
      pool.offset[s] = offset + NET_HEADER_SIZE;
      pool.length[s] = frame;
      if (readNetHeader(view, offset, batch, i, sender, dataValid)) {
        pool.count = s + 1;
        batch.count = i + 1;
        bytes += frame;
      } else {
        counters[DROP_BAD_HEADER]++;
      }
    } else {
      const before = batch.count;
      const count = receiveMerged(receiver, batch, last, taken, pending);
      if (count <= 0) break;
      taken += count;
      if (batch.count > before) bytes += length[before];
    }
  }
  receiver.taken = taken;
  books[LAST_USED] = (last + taken) & 0xffff;
  counters[RX_FRAMES] += frames;
  counters[RX_BYTES] += bytes;
  return batch.count;
}

function breakQueue(receiver: Receiver): number {
  receiver.queue.books[BROKEN] = 1;
  receiver.state[FETCH_STATUS] = RING_BROKEN;
  receiver.counters[FAULT_COMPLETION]++;
  return 0;
}

/**
 * Any frame, from used entry `last + taken` on, into slot batch.count; one that is dropped is counted. Returns how many
 * buffers it took; 0 where it has to wait for the next burst; -1 where the queue broke.
 */
function receiveMerged(receiver: Receiver, batch: Batch, last: number, taken: number, pending: number): number {
  const { counters, heads, queue, windows } = receiver;
  const { a: owned, chunk, size } = queue;
  const { mask, usedRing } = queue.ring;
  const view = windows.view[receiver.window];
  const pool = batch.pool;
  const start = pool.count;
  const wanted = receiver.mergeable
    ? view.getUint16(usedRing[((last + taken) & mask) << 1] * chunk + NUM_BUFFERS, true)
    : 1;
  const rest = pending - taken;
  // A frame's buffers are shown together; one that is not whole behind others gets a second look, alone it is malformed.
  // So does one that finds the segments used up.
  if ((wanted > rest || start + wanted > MAX_SEGMENTS) && taken > 0) return 0;
  let fault = wanted === 0 || wanted > rest || wanted > MAX_SEGMENTS ? DROP_MALFORMED : 0;
  const count = Math.min(Math.max(wanted, 1), rest);
  let total = 0;
  for (let k = 0; k < count; k++) {
    const entry = ((last + taken + k) & mask) << 1;
    const head = usedRing[entry];
    const used = usedRing[entry + 1];
    if (head >>> 0 >= size || owned[head] === 0 || used >>> 0 > chunk) {
      breakQueue(receiver);
      return -1;
    }
    owned[head] = 0;
    heads[taken + k] = head;
    total += used;
    if (used === 0 || (k === 0 && used < MIN_USED && count > 1)) fault = DROP_MALFORMED;
    if (fault !== 0) continue;
    const skip = k === 0 ? NET_HEADER_SIZE : 0;
    const s = start + k;
    pool.window[s] = receiver.window;
    pool.offset[s] = head * chunk + skip;
    pool.length[s] = used - skip;
  }
  if (fault === 0) fault = total < MIN_USED ? DROP_RUNT : total > MAX_USED ? DROP_OVERSIZED : 0;
  if (fault === 0) {
    const i = batch.count;
    batch.length[i] = total - NET_HEADER_SIZE;
    batch.first[i] = start;
    batch.segments[i] = count;
    const header = heads[taken] * chunk;
    if (readNetHeader(view, header, batch, i, receiver.sender, receiver.dataValid)) {
      pool.count = start + count;
      batch.count = i + 1;
      return count;
    }
    fault = DROP_BAD_HEADER;
  }
  counters[fault]++;
  return count;
}

/** Gives every buffer taken back to the device: the frames are no longer read. */
export function releaseReceived(receiver: Receiver): void {
  const taken = receiver.taken;
  if (taken === 0) return;
  receiver.taken = 0;
  const { heads, queue } = receiver;
  const { a: owned, books } = queue;
  const { avail, mask } = queue.ring;
  const previous = books[NEXT_AVAIL];
  let next = previous;
  for (let index = 0; index < taken; index++) {
    const head = heads[index];
    owned[head] = 1;
    avail[2 + (next & mask)] = head;
    next = (next + 1) & 0xffff;
  }
  books[NEXT_AVAIL] = next;
  if (publishAvail(queue.ring, previous, next)) receiver.doorbell.write16(queue.notifyOffset, queue.index);
}
