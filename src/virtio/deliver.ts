// HOT
// Copying frames into a driver's receive queue: the one copy a frame meets on its way.
//
//   frame segments ----copy----> buffer 1 [header | bytes]  buffer 2 [bytes] ...   (several only with MRG_RXBUF)
//   per buffer: used.ring entry { head, bytes written }; per burst: one publish, at most one call
//
// A delivery completes the buffers it takes before it ends, so one index serves for avail and used. A frame that finds no
// buffer is dropped: the switch never waits for a receiver. A buffer that breaks a rule is given back empty and counted
// as `bad_buffer` (the driver harmed only itself), and the next one is tried, up to a burst of them.

import { acquire16 } from "../mem/access.ts";
import { type Batch, BURST, SegmentList } from "../mem/batch.ts";
import { copyBytes } from "../mem/copy.ts";
import {
  DROP_BUFFER_TOO_SMALL,
  DROP_NO_BUFFER,
  FAULT_AVAIL_HEAD,
  FAULT_AVAIL_INDEX,
  FAULT_BUFFER,
  TX_BYTES,
  TX_FRAMES,
} from "../mem/counters.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import { DELIVER_CALL, DELIVER_NEXT, DELIVER_STATUS, RING_BROKEN } from "../mem/lane-state.ts";
import { enterStage, STAGE_COPY, STAGE_PUBLISH } from "../mem/stages.ts";
import { VRING_DESC_F_WRITE } from "../uapi/virtio_ring.ts";
import { walkChain } from "./chain.ts";
import { NET_HEADER_SIZE, writeNetHeader } from "./net-header.ts";
import { publishUsed } from "./notify.ts";
import { placeFrames, placeHead, placeOffset, placeWindow } from "./places.ts";
import type { SplitRing } from "./split-ring.ts";

/** Segments of the buffers of one frame: 64 KiB in merged 1526-byte buffers is 43; in single pages 18 each. */
const BUFFER_SEGMENTS = 1024;

/** What a lane needs to deliver into one ring; made once, its fields never change shape. */
export class Deliverer {
  readonly buffers = new SegmentList(BUFFER_SEGMENTS);
  /** Where the copy of a scattered frame stands: segment of `buffers` and byte in it. */
  toSegment = 0;
  toByte = 0;

  constructor(
    readonly ring: SplitRing,
    readonly memory: GuestMemory,
    readonly state: Int32Array,
    readonly counters: Float64Array,
    /** MRG_RXBUF was negotiated: a frame may span several buffers. */
    readonly mergeable: boolean,
    /** GUEST_CSUM was negotiated: the driver may be told DATA_VALID. */
    readonly dataValid: boolean,
    /** The lane's private window; its first bytes take a header that must be scattered. */
    readonly scratch: number,
  ) {}
}

/**
 * Copies frames `list[0..count)` of the batch, BURST at most, into the ring. Returns how many were delivered; the rest is counted. Common
 * buffers (one descriptor, in one window, room for the frame) are taken in runs, any other by itself.
 */
export function deliverBurst(deliverer: Deliverer, batch: Batch, list: Int32Array, count: number): number {
  const { ring, state, counters, memory } = deliverer;
  const { length } = batch;
  const start = state[DELIVER_NEXT];
  let free = buffersWaiting(deliverer, start);
  let next = start;
  let delivered = 0;
  let bytes = 0;
  let bad = 0;
  for (let k = 0; k < count; ) {
    const placed = placeFrames(ring, memory, next, length, list, k, Math.min(count - k, free));
    if (placed > 0) {
      bytes += copyPlaced(deliverer, batch, list, k, placed, next);
      k += placed;
      delivered += placed;
      next = (next + placed) & 0xffff;
      free -= placed;
      continue;
    }
    const i = list[k];
    let taken = free === 0 ? 0 : deliverChain(deliverer, batch, i, next, free);
    if (taken > 0) {
      k++;
      delivered++;
      bytes += length[i];
    } else {
      taken = refuse(deliverer, taken, next);
      // A buffer that is of no use is out of the way now: the same frame tries the next one. But a ring full of them
      // may not hold up the ports served after this one, so the rest waits for the next burst.
      if (taken === 0) k++;
      else if (++bad === BURST) free = taken;
    }
    next = (next + taken) & 0xffff;
    free = state[DELIVER_STATUS] === RING_BROKEN ? 0 : free - taken;
  }
  if (next !== start) publish(deliverer, start, next);
  // Last, so that whoever reads that a frame was delivered finds it with its driver.
  counters[TX_FRAMES] += delivered;
  counters[TX_BYTES] += bytes;
  return delivered;
}

/** Copies the `count` frames from `list[from]` on to their places (places.ts), the buffers from `next` on. Returns their bytes. */
function copyPlaced(
  deliverer: Deliverer,
  batch: Batch,
  list: Int32Array,
  from: number,
  count: number,
  next: number,
): number {
  const { ring, memory, dataValid } = deliverer;
  const { mask, usedRing } = ring;
  const { windows } = memory;
  const views = windows.view;
  const { first, length: frameLength, pool, segments } = batch;
  const { length: segmentLength, offset: segmentOffset, window: segmentWindow } = pool;
  let bytes = 0;
  for (let k = 0; k < count; k++) {
    const i = list[from + k];
    const length = frameLength[i];
    const window = placeWindow[k];
    const offset = placeOffset[k];
    let to = offset + NET_HEADER_SIZE;
    let s = first[i];
    // Mostly the whole frame; else the private header of one that rules judge, and what follows it.
    const piece = segments[i] === 1 ? length : segmentLength[s];
    copyBytes(windows, window, to, segmentWindow[s], segmentOffset[s], piece);
    for (let left = segments[i]; left > 1; left--) {
      to += segmentLength[s++];
      copyBytes(windows, window, to, segmentWindow[s], segmentOffset[s], segmentLength[s]);
    }
    writeNetHeader(views[window], offset, batch, i, dataValid, 1);
    const used = ((next + k) & mask) << 1;
    usedRing[used] = placeHead[k];
    usedRing[used + 1] = NET_HEADER_SIZE + length;
    bytes += length;
  }
  return bytes;
}

/** Buffers that the driver has given, and that hold no frame yet; none in a ring that is broken. */
function buffersWaiting(deliverer: Deliverer, next: number): number {
  const { ring, state } = deliverer;
  const free = (acquire16(ring.avail, 1) - next) & 0xffff;
  if (free > ring.size && state[DELIVER_STATUS] !== RING_BROKEN) breakRing(deliverer, FAULT_AVAIL_INDEX);
  return state[DELIVER_STATUS] === RING_BROKEN ? 0 : free;
}

/** Whether a buffer waits that holds no frame yet. Without the lane's lock: where others deliver meanwhile, as it was a moment ago. */
export function hasBuffer({ ring, state }: Deliverer): boolean {
  return ((acquire16(ring.avail, 1) - state[DELIVER_NEXT]) & 0xffff) !== 0 && state[DELIVER_STATUS] !== RING_BROKEN;
}

/** Shows the driver the buffers [start, next) as used. */
function publish({ ring, state, counters }: Deliverer, start: number, next: number): void {
  enterStage(STAGE_PUBLISH);
  state[DELIVER_NEXT] = next;
  publishUsed(ring, start, next, state, DELIVER_CALL, counters);
  enterStage(STAGE_COPY);
}

// Outcomes of deliverChain about the buffer at hand.
const TOO_SMALL = -1;
const BAD_BUFFER = -2;
const BAD_HEAD = -3;

/** Counts why a frame was not delivered. Returns how many buffers were given back empty (0 or 1). */
function refuse(deliverer: Deliverer, outcome: number, next: number): number {
  const { counters, ring } = deliverer;
  if (outcome === BAD_BUFFER) {
    counters[FAULT_BUFFER]++;
    const slot = next & ring.mask;
    ring.usedRing[slot << 1] = ring.avail[2 + slot];
    ring.usedRing[(slot << 1) + 1] = 0;
    return 1;
  }
  if (outcome === BAD_HEAD) breakRing(deliverer, FAULT_AVAIL_HEAD);
  counters[outcome === TOO_SMALL ? DROP_BUFFER_TOO_SMALL : DROP_NO_BUFFER]++;
  return 0;
}

function breakRing(deliverer: Deliverer, fault: number): void {
  deliverer.state[DELIVER_STATUS] = RING_BROKEN;
  deliverer.counters[fault]++;
}

/** Any buffer and any frame. Returns the buffers used (>= 1), 0 for too few, or TOO_SMALL, BAD_BUFFER, BAD_HEAD. */
function deliverChain(deliverer: Deliverer, batch: Batch, i: number, next: number, free: number): number {
  const { buffers, ring } = deliverer;
  const head = ring.avail[2 + (next & ring.mask)];
  buffers.count = 0;
  if (head >= ring.size) return BAD_HEAD;
  if (walkChain(ring, deliverer.memory, head, VRING_DESC_F_WRITE, buffers) !== 0) return BAD_BUFFER;
  return deliverScattered(deliverer, batch, i, next, free, head);
}

/** The general case: several descriptors or buffers, several windows. `buffers` holds the first chain. */
function deliverScattered(
  deliverer: Deliverer,
  batch: Batch,
  i: number,
  next: number,
  free: number,
  firstHead: number,
): number {
  const ring = deliverer.ring;
  const buffers = deliverer.buffers;
  const usedRing = ring.usedRing;
  const needed = NET_HEADER_SIZE + batch.length[i];
  let taken = 0;
  let room = 0;
  let head = firstHead;
  // Gather buffers until the frame fits; used entries beyond the published index are ours to write.
  for (;;) {
    const piece = Math.min(buffers.bytes, needed - room);
    const entry = ((next + taken) & ring.mask) << 1;
    usedRing[entry] = head;
    usedRing[entry + 1] = piece;
    taken++;
    room += piece;
    if (room === needed) break;
    if (!deliverer.mergeable) return TOO_SMALL;
    if (taken === free) return 0;
    head = ring.avail[2 + ((next + taken) & ring.mask)];
    // A bad buffer further on: the frame has no buffer now, and the bad one is dealt with when it comes first.
    if (head >= ring.size) return 0;
    if (walkChain(ring, deliverer.memory, head, VRING_DESC_F_WRITE, buffers) !== 0) return 0;
  }
  const windows = deliverer.memory.windows;
  const scratch = deliverer.scratch;
  writeNetHeader(windows.view[scratch], 0, batch, i, deliverer.dataValid, taken);
  deliverer.toSegment = 0;
  deliverer.toByte = 0;
  scatter(deliverer, scratch, 0, NET_HEADER_SIZE);
  const end = batch.first[i] + batch.segments[i];
  for (let s = batch.first[i]; s < end; s++) {
    scatter(deliverer, batch.pool.window[s], batch.pool.offset[s], batch.pool.length[s]);
  }
  return taken;
}

/** Copies one piece to where the copy stands in `buffers`, which have room for it. */
function scatter(deliverer: Deliverer, window: number, offset: number, length: number): void {
  const buffers = deliverer.buffers;
  const windows = deliverer.memory.windows;
  let s = deliverer.toSegment;
  let byte = deliverer.toByte;
  let left = length;
  while (left > 0) {
    const room = buffers.length[s] - byte;
    const piece = Math.min(room, left);
    copyBytes(windows, buffers.window[s], buffers.offset[s] + byte, window, offset + length - left, piece);
    left -= piece;
    byte += piece;
    if (byte === buffers.length[s]) {
      s++;
      byte = 0;
    }
  }
  deliverer.toSegment = s;
  deliverer.toByte = byte;
}
