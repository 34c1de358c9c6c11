// HOT
// The transmit queue of a NIC that ringyard drives: frames copied behind a header into buffers of our own, and the buffers
// back when the device is done with them.
//
//   frame segments ----copy----> buffer j [header | bytes] -> buffer k [bytes] ...   (a chain where it is longer than one)
//   one publish and at most one kick per burst; used entries are looked at when buffers run low
//
// The device may finish frames in any order and is not trusted; books: a[0..free) the stack of free descriptors, b[k] how
// many descriptors the chain that begins with k has while the device has it (0: none does), c[k] the one behind k; d and e
// are driver-direct.ts's, which sends frames without the copy. A used entry that names no such chain breaks the queue
// (FAULT_COMPLETION) until a reset, and frames for it are dropped.
//
// Several workers may share a queue: the lane's lock makes each burst exclusive, and all that lasts is in the books.

import { acquire16 } from "../mem/access.ts";
import type { Batch } from "../mem/batch.ts";
import { copyBytes } from "../mem/copy.ts";
import {
  DROP_MALFORMED,
  DROP_NO_BUFFER,
  DROP_OVERSIZED,
  FAULT_COMPLETION,
  TX_BYTES,
  TX_COPIED,
  TX_FRAMES,
  TX_ZERO_COPY,
} from "../mem/counters.ts";
import { DELIVER_STATUS, RING_BROKEN, TX_POSTED } from "../mem/lane-state.ts";
import { enterStage, STAGE_COPY, STAGE_PUBLISH } from "../mem/stages.ts";
import type { WindowTable } from "../mem/window.ts";
import { VIRTIO_NET_HDR_GSO_NONE } from "../uapi/virtio_net.ts";
import { VRING_DESC_F_NEXT } from "../uapi/virtio_ring.ts";
import { finishDirect, publishPosted, publishReaped, reaches, sendDirect } from "./driver-direct.ts";
import { publishAvail, silenceCalls } from "./driver-notify.ts";
import { BROKEN, type Doorbell, type DriverQueue, FREE, LAST_USED, NEXT_AVAIL } from "./driver-queue.ts";
import { NET_HEADER_SIZE, writeNetHeader } from "./net-header.ts";

const IDX = 1;

/** What a lane needs to send through one queue; made once, its fields never change shape. */
export class Transmitter {
  /** With fewer free descriptors a burst begins with a look at what is used. */
  readonly reapBelow: number;
  /** Address words of each descriptor's own buffer. */
  readonly low: Int32Array;
  readonly high: Int32Array;
  /** Within a burst: the ticket given out last, and frames that the device reads in their sender's memory. */
  posted = 0;
  direct = 0;

  constructor(
    readonly queue: DriverQueue,
    readonly windows: WindowTable,
    /** Window of the queue's buffers; buffer 0 is at its start. */
    readonly window: number,
    readonly state: Int32Array,
    readonly counters: Float64Array,
    readonly doorbell: Doorbell,
    /** Longest frame that is no super-frame: the MTU that was negotiated, and a header (5.1.4.2). */
    readonly maxFrame: number,
    /** What the lane writes into `Batch.heldBy`, and where the device reaches each window (mem/held.ts). */
    readonly self: number,
    readonly iova: Float64Array,
  ) {
    this.reapBelow = queue.size >> 1;
    this.low = new Int32Array(queue.size);
    this.high = new Int32Array(queue.size);
    for (let k = 0; k < queue.size; k++) {
      const address = queue.buffersIova + k * queue.chunk;
      this.low[k] = address | 0;
      this.high[k] = (address / 4294967296) | 0;
    }
  }
}

/** Makes every descriptor free and asks for no calls. Control thread. Cold. */
export function prepareTransmit(queue: DriverQueue): void {
  for (let k = 0; k < queue.size; k++) {
    queue.a[k] = queue.size - 1 - k;
  }
  queue.books[FREE] = queue.size;
  silenceCalls(queue.ring, 0);
}

/** Sends frames `list[0..count)` of the batch. Returns how many; the rest is counted. */
export function transmitBurst(transmitter: Transmitter, batch: Batch, list: Int32Array, count: number): number {
  const { counters, maxFrame, queue, state } = transmitter;
  const { books, chunk, ring } = queue;
  if (books[FREE] < transmitter.reapBelow) reap(transmitter);
  if (state[DELIVER_STATUS] === RING_BROKEN) {
    counters[DROP_NO_BUFFER] += count;
    return 0;
  }
  const { avail, mask } = ring;
  const previous = books[NEXT_AVAIL];
  transmitter.posted = state[TX_POSTED];
  transmitter.direct = 0;
  let next = previous;
  let reaped = false;
  let bytes = 0;
  let delivered = 0;
  for (let k = 0; k < count; k++) {
    const i = list[k];
    const length = batch.length[i];
    if (length > maxFrame && batch.gsoType[i] === VIRTIO_NET_HDR_GSO_NONE) {
      counters[DROP_OVERSIZED]++;
      continue;
    }
    const direct = reaches(transmitter, batch, i);
    const needed = direct ? 1 + batch.segments[i] : buffersFor(length, chunk);
    if (needed > books[FREE] && !reaped) {
      reap(transmitter);
      reaped = true;
    }
    if (needed > books[FREE]) {
      counters[DROP_NO_BUFFER]++;
      continue;
    }
    const head = direct ? sendDirect(transmitter, batch, i) : sendFrame(transmitter, batch, i, needed);
    if (head < 0) {
      counters[DROP_MALFORMED]++;
      continue;
    }
    avail[2 + (next & mask)] = head;
    next = (next + 1) & 0xffff;
    delivered++;
    bytes += length;
  }
  if (next !== previous) {
    enterStage(STAGE_PUBLISH);
    books[NEXT_AVAIL] = next;
    publishPosted(transmitter);
    if (publishAvail(ring, previous, next)) transmitter.doorbell.write16(queue.notifyOffset, queue.index);
    enterStage(STAGE_COPY);
  }
  counters[TX_FRAMES] += delivered;
  counters[TX_BYTES] += bytes;
  counters[TX_ZERO_COPY] += transmitter.direct;
  counters[TX_COPIED] += delivered - transmitter.direct;
  return delivered;
}

function buffersFor(length: number, chunk: number): number {
  const room = NET_HEADER_SIZE + length;
  return room <= chunk ? 1 : Math.ceil(room / chunk);
}

/** Copies frame `i` into `needed` free buffers. Returns the head of their chain, or -1 where a piece is nowhere. */
function sendFrame(transmitter: Transmitter, batch: Batch, i: number, needed: number): number {
  const { queue, window, windows } = transmitter;
  const { a: stack, b: chain, books, chunk } = queue;
  const { pool } = batch;
  const s = batch.first[i];
  const head = stack[books[FREE] - 1];
  const offset = head * chunk;
  if (needed > 1 || batch.segments[i] !== 1) {
    if (!gather(transmitter, batch, i, needed)) return -1;
  } else {
    const length = pool.length[s];
    if (length !== batch.length[i]) return -1;
    if (!copyBytes(windows, window, offset + NET_HEADER_SIZE, pool.window[s], pool.offset[s], length)) return -1;
    describe(transmitter, head, NET_HEADER_SIZE + length, 0);
  }
  // 5.1.6.2.1: a driver sets neither DATA_VALID nor num_buffers.
  writeNetHeader(windows.view[window], offset, batch, i, false, 0);
  chain[head] = needed;
  books[FREE] -= needed;
  return head;
}

/** Writes descriptor `k` with its own buffer: it may have pointed elsewhere. */
function describe(transmitter: Transmitter, k: number, length: number, flagsNext: number): void {
  const { desc } = transmitter.queue.ring;
  const entry = k << 2;
  desc[entry] = transmitter.low[k];
  desc[entry + 1] = transmitter.high[k];
  desc[entry + 2] = length;
  desc[entry + 3] = flagsNext;
}

/** The general case: several pieces, or several buffers, which are the top of the stack. False: nothing is sent. */
function gather(transmitter: Transmitter, batch: Batch, i: number, needed: number): boolean {
  const { queue, window, windows } = transmitter;
  const { a: stack, books, chunk, c: behind } = queue;
  const { pool } = batch;
  const end = batch.first[i] + batch.segments[i];
  let top = books[FREE] - 1;
  let left = needed;
  let head = stack[top];
  let at = NET_HEADER_SIZE;
  for (let s = batch.first[i]; s < end; s++) {
    const length = pool.length[s];
    for (let done = 0; done < length; ) {
      if (at === chunk) {
        if (--left === 0) return false;
        const next = stack[--top];
        describe(transmitter, head, chunk, VRING_DESC_F_NEXT | (next << 16));
        behind[head] = next;
        head = next;
        at = 0;
      }
      const piece = Math.min(length - done, chunk - at);
      if (!copyBytes(windows, window, head * chunk + at, pool.window[s], pool.offset[s] + done, piece)) return false;
      at += piece;
      done += piece;
    }
  }
  describe(transmitter, head, at, 0);
  // The pieces make up the length that the batch says.
  return left === 1 && (needed - 1) * chunk + at === NET_HEADER_SIZE + batch.length[i];
}

/** Takes back what the device is done with. */
export function reap(transmitter: Transmitter): void {
  const { queue } = transmitter;
  const { a: stack, b: chain, books, c: behind, ring, size } = queue;
  const { mask, usedRing } = ring;
  const last = books[LAST_USED];
  const pending = (acquire16(ring.used, IDX) - last) & 0xffff;
  if (pending === 0) return;
  if (pending > ((books[NEXT_AVAIL] - last) & 0xffff)) {
    breakQueue(transmitter);
    return;
  }
  let free = books[FREE];
  for (let k = 0; k < pending; k++) {
    // A length is of no interest: the device wrote nothing.
    let head = usedRing[((last + k) & mask) << 1];
    const descriptors = head >>> 0 < size ? chain[head] : 0;
    if (descriptors === 0) {
      breakQueue(transmitter);
      return;
    }
    chain[head] = 0;
    finishDirect(queue, head);
    for (let n = 0; n < descriptors; n++) {
      stack[free++] = head;
      head = behind[head];
    }
  }
  books[FREE] = free;
  books[LAST_USED] = (last + pending) & 0xffff;
  publishReaped(transmitter);
}

function breakQueue(transmitter: Transmitter): void {
  if (transmitter.state[DELIVER_STATUS] !== RING_BROKEN) transmitter.counters[FAULT_COMPLETION]++;
  transmitter.queue.books[BROKEN] = 1;
  transmitter.state[DELIVER_STATUS] = RING_BROKEN;
}
