// HOT
// Receiving: done descriptors become frames of a batch, and their buffers are posted again when the batch was released.
//
//   |....| taken, not posted |    to look at: DD?  ......  |  the device's
//        RX_POSTED           RX_NEXT                       RX_TAIL (what the device was told)
//
// A frame is one descriptor, or several of which the last has EOP. The device is not trusted: a length beyond the buffer, a
// frame that never ends and an empty one are counted and dropped, and it cannot name a buffer at all (layout.ts).
// Owner's thread only, so there is no lock.

import { acquire32, publish32 } from "../../../mem/access.ts";
import { type Batch, BURST, MIN_FRAME } from "../../../mem/batch.ts";
import {
  DROP_DESC_LENGTH,
  DROP_MALFORMED,
  DROP_OVERSIZED,
  DROP_RUNT,
  RX_BYTES,
  RX_FRAMES,
} from "../../../mem/counters.ts";
import { VIRTIO_NET_HDR_F_DATA_VALID, VIRTIO_NET_HDR_GSO_NONE } from "../../../uapi/virtio_net.ts";
import type { Registers } from "../registers.ts";
import {
  DESC_SHIFT,
  E1000_RXD_STAT_DD,
  E1000_RXD_STAT_EOP,
  E1000_RXD_STAT_IXSM,
  E1000_RXD_STAT_TCPCS,
  E1000_RXD_STAT_UDPCS,
  E1000_RXDEXT_ERR_FRAME_ERR_MASK,
  E1000_RXDEXT_STATERR_IPE,
  E1000_RXDEXT_STATERR_TCPE,
} from "./descriptors.ts";
import { RX_NEXT, RX_POSTED, RX_SKIP, RX_TAIL } from "./layout.ts";

/** Descriptors of one frame: 16 KiB in buffers of 2048, which is more than either device receives, and twice that. */
const MAX_PIECES = 16;
/** The device is told of buffers by the dozen: a register write costs as much as some frames. */
const POST_BATCH = 32;
const CHECKSUM_DONE = E1000_RXD_STAT_TCPCS | E1000_RXD_STAT_UDPCS;
const CHECKSUM_BAD = E1000_RXDEXT_STATERR_TCPE | E1000_RXDEXT_STATERR_IPE | E1000_RXD_STAT_IXSM;

/** What a lane needs to receive; made once, its fields never change shape. */
export class Receiver {
  readonly mask: number;
  /** Descriptors taken at a time: never the whole ring, which would look like none. */
  readonly most: number;
  readonly postBatch: number;

  constructor(
    /** The DMA memory, whose descriptors begin at word 0, and its window. */
    readonly words: Int32Array,
    readonly window: number,
    /** The lane's own words (layout.ts). */
    readonly own: Int32Array,
    readonly counters: Float64Array,
    readonly registers: Registers,
    /** Offset of the tail register. */
    readonly tail: number,
    count: number,
    readonly buffersAt: number,
    readonly bufferSize: number,
    /** Two words for each buffer: its IOVA. */
    readonly addresses: Int32Array,
    readonly maxFrame: number,
  ) {
    this.mask = count - 1;
    this.most = Math.min(BURST, count - 1);
    this.postBatch = Math.min(POST_BATCH, count >> 3);
  }
}

/** Whether a descriptor is done that nobody took. */
export function hasReceived(rx: Receiver): boolean {
  return (acquire32(rx.words, (rx.own[RX_NEXT] << DESC_SHIFT) + 2) & E1000_RXD_STAT_DD) !== 0;
}

/** Done descriptors from `start` on, up to a burst. What they say may be read plainly after this. */
function countDone(rx: Receiver, start: number): number {
  const words = rx.words;
  const { mask, most } = rx;
  if ((acquire32(words, (start << DESC_SHIFT) + 2) & E1000_RXD_STAT_DD) === 0) return 0;
  let done = 1;
  while (done < most && (words[(((start + done) & mask) << DESC_SHIFT) + 2] & E1000_RXD_STAT_DD) !== 0) done++;
  // The device writes them in order: what comes before the last one is as fresh as that.
  if (done > 1) acquire32(words, (((start + done - 1) & mask) << DESC_SHIFT) + 2);
  return done;
}

/** Appends the frames of up to a burst of descriptors to the batch. Returns how many are in it. */
export function receiveBurst(rx: Receiver, batch: Batch): number {
  const { own, words, mask, counters, window, buffersAt, bufferSize } = rx;
  const start = own[RX_NEXT];
  const done = countDone(rx, start);
  if (done === 0) return 0;
  const pool = batch.pool;
  let used = 0;
  let taken = 0;
  let total = 0;
  // Of the frame at hand.
  let first = pool.count;
  let pieces = 0;
  let bytes = 0;
  let fault = 0;
  for (let k = 0; k < done; k++) {
    const slot = (start + k) & mask;
    const status = words[(slot << DESC_SHIFT) + 2];
    const length = words[(slot << DESC_SHIFT) + 3] & 0xffff;
    bytes += length;
    // The last piece is empty where only the stripped FCS would have been in it.
    if (length > bufferSize || (length === 0 && pieces === 0)) fault = DROP_DESC_LENGTH;
    else if (length > 0) {
      const s = pool.count++;
      pool.window[s] = window;
      pool.offset[s] = buffersAt + slot * bufferSize;
      pool.length[s] = length;
    }
    const last = (status & E1000_RXD_STAT_EOP) !== 0;
    if (++pieces < MAX_PIECES && !last) continue;
    used = k + 1;
    if (own[RX_SKIP] !== 0) {
      own[RX_SKIP] = last ? 0 : 1;
      pool.count = first;
    } else {
      taken++;
      total += bytes;
      if (!last) {
        own[RX_SKIP] = 1;
        fault = DROP_OVERSIZED;
      }
      if (fault === 0) fault = judge(rx, status, bytes);
      if (fault === 0) {
        appendFrame(batch, first, bytes, status);
      } else {
        counters[fault]++;
        pool.count = first;
      }
    }
    first = pool.count;
    pieces = 0;
    bytes = 0;
    fault = 0;
  }
  // The rest is a frame whose end is still to come: it is looked at again.
  pool.count = first;
  own[RX_NEXT] = (start + used) & mask;
  counters[RX_FRAMES] += taken;
  counters[RX_BYTES] += total;
  return batch.count;
}

/** 0, or why a frame whose descriptors are sound is dropped. */
function judge(rx: Receiver, status: number, bytes: number): number {
  if ((status & E1000_RXDEXT_ERR_FRAME_ERR_MASK) !== 0) return DROP_MALFORMED;
  if (bytes < MIN_FRAME) return DROP_RUNT;
  return bytes > rx.maxFrame ? DROP_OVERSIZED : 0;
}

/** Makes a frame of the segments from `first` on. */
function appendFrame(batch: Batch, first: number, bytes: number, status: number): void {
  const i = batch.count++;
  batch.first[i] = first;
  batch.segments[i] = batch.pool.count - first;
  batch.length[i] = bytes;
  batch.needs[i] = 0;
  batch.gsoType[i] = VIRTIO_NET_HDR_GSO_NONE;
  batch.flags[i] = (status & CHECKSUM_DONE) !== 0 && (status & CHECKSUM_BAD) === 0 ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
}

/** The frames taken so far are no longer read: their descriptors are posted again, the device told now and then. */
export function repost(rx: Receiver): void {
  const { own, words, mask, addresses } = rx;
  const next = own[RX_NEXT];
  let slot = own[RX_POSTED];
  if (slot === next) return;
  while (slot !== next) {
    const word = slot << DESC_SHIFT;
    words[word] = addresses[slot << 1];
    words[word + 1] = addresses[(slot << 1) + 1];
    words[word + 2] = 0;
    words[word + 3] = 0;
    slot = (slot + 1) & mask;
  }
  own[RX_POSTED] = next;
  if (((next - 1 - own[RX_TAIL]) & mask) >= rx.postBatch) tellTail(rx);
}

/** Tells the device of every buffer that is posted: before a sleep, and when enough of them came together. */
export function tellTail(rx: Receiver): void {
  const { own, words, mask } = rx;
  // One descriptor stays ours: head and tail alike means that the ring is empty.
  const tail = (own[RX_POSTED] - 1) & mask;
  if (tail === own[RX_TAIL]) return;
  own[RX_TAIL] = tail;
  publish32(words, (tail << DESC_SHIFT) + 3, 0);
  rx.registers.write32(rx.tail, tail);
}
