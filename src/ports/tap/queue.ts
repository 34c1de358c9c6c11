// HOT
// One queue of a TAP device: read(2) takes one frame behind its virtio-net header, writev(2) gives one. The system call is
// the copy, so frames are written straight from the sender's memory, by address.
//
//   arena, one private window:  header out (12) | iovecs (IOV_SLOTS x 16) | frames read, one behind the other, 64-aligned
//
// Whatever the kernel refuses is counted by its errno; nothing blocks. Addresses go to the kernel raw, so each piece is
// checked against its window first. Several workers may write to one queue: the kernel takes whole frames, so there is no
// lock, and each has an arena of its own. Built by lane.ts.

import { type Batch, BURST, BURST_BYTES, MAX_FRAME, MIN_FRAME, OFFLOAD_ALL, OFFLOAD_CSUM } from "../../mem/batch.ts";
import {
  DROP_BAD_HEADER,
  DROP_LINK_DOWN,
  DROP_MALFORMED,
  DROP_NO_BUFFER,
  DROP_OVERSIZED,
  DROP_RUNT,
  RX_BYTES,
  RX_FRAMES,
  TX_BYTES,
  TX_FRAMES,
} from "../../mem/counters.ts";
import { DELIVER_STATUS, FETCH_STATUS, RING_STOPPED } from "../../mem/lane-state.ts";
import type { WindowTable } from "../../mem/window.ts";
import { EAGAIN, EBADFD, EIO, ENOBUFS, ENOMEM, errno } from "../../sys/errno.ts";
import { readAt, writevAt } from "../../sys/fd.ts";
import { unmap } from "../../sys/memory.ts";
import { NET_HEADER_SIZE, readNetHeader, writeNetHeader } from "../../virtio/net-header.ts";
import type { Lane } from "../port.ts";

/** UIO_MAXIOV is 1024 (uapi/linux/uio.h); the header takes one. */
export const IOV_SLOTS = 1024;
const HEADER_AT = 0;
const IOV_AT = 64;
const FRAMES_AT = IOV_AT + IOV_SLOTS * 16;
/** Room for the longest frame, and some to see that one is longer. */
const FRAME_ROOM = (NET_HEADER_SIZE + MAX_FRAME + 64) & ~63;

/** Bytes of the arena of a worker that only delivers, and of one that fetches too (address space: pages come with use). */
export const DELIVER_ARENA_SIZE = FRAMES_AT;
export const OWNER_ARENA_SIZE = FRAMES_AT + BURST * FRAME_ROOM;

export class TapQueue implements Lane {
  readonly delivers = true;
  /** A tap's descriptor stays readable while frames wait. */
  readonly wakeEdge = false;
  /** Frames that the next fetch asks for. A read that finds none takes 0.35 us, for which the frame before it would wait. */
  wanted = 1;

  constructor(
    readonly accepts: number,
    readonly wakeFd: number,
    readonly fd: number,
    readonly windows: WindowTable,
    readonly counters: Float64Array,
    readonly state: Int32Array,
    /** The arena's window, address and size. */
    readonly arena: number,
    readonly address: number,
    readonly size: number,
  ) {}

  fetch(batch: Batch): number {
    return this.size === OWNER_ARENA_SIZE ? fetchFrames(this, batch) : 0;
  }

  /** The frames are copies: there is nothing to give back. */
  release(_batch: Batch): void {}

  deliver(batch: Batch, list: Int32Array, count: number): number {
    const counters = this.counters;
    let delivered = 0;
    let bytes = 0;
    for (let k = 0; k < count; k++) {
      const i = list[k];
      const outcome = writeFrame(this, batch, i);
      if (outcome === 0) {
        delivered++;
        bytes += batch.length[i];
      } else {
        counters[outcome]++;
      }
    }
    counters[TX_FRAMES] += delivered;
    counters[TX_BYTES] += bytes;
    return delivered;
  }

  /** epoll itself looks whether a frame waits. */
  arm(): boolean {
    return false;
  }

  disarm(): void {}

  /** The descriptor is the control thread's to close. */
  close(): void {
    if (this.wakeFd >= 0) {
      this.state[FETCH_STATUS] = RING_STOPPED;
      this.state[DELIVER_STATUS] = RING_STOPPED;
    }
    this.windows.remove(this.arena);
    unmap(this.address, this.size);
  }
}

/** Reads as many frames as waited the last time, and twice as many where that was not all. Returns how many are in the batch. */
function fetchFrames(lane: TapQueue, batch: Batch): number {
  const fd = lane.fd;
  const arena = lane.arena;
  const address = lane.address;
  const counters = lane.counters;
  const view = lane.windows.view[arena];
  const pool = batch.pool;
  let at = FRAMES_AT;
  let taken = 0;
  let bytes = 0;
  const wanted = lane.wanted;
  for (; taken < wanted && bytes < BURST_BYTES; taken++) {
    const size = readAt(fd, address + at, FRAME_ROOM);
    if (size <= 0) break;
    const length = size - NET_HEADER_SIZE;
    if (length < MIN_FRAME) {
      counters[DROP_RUNT]++;
      continue;
    }
    bytes += length;
    if (length > MAX_FRAME) {
      counters[DROP_OVERSIZED]++;
      continue;
    }
    const i = batch.count;
    batch.length[i] = length;
    if (!readNetHeader(view, at, batch, i, OFFLOAD_ALL, true)) {
      counters[DROP_BAD_HEADER]++;
      continue;
    }
    const s = pool.count;
    batch.first[i] = s;
    batch.segments[i] = 1;
    pool.window[s] = arena;
    pool.offset[s] = at + NET_HEADER_SIZE;
    pool.length[s] = length;
    pool.count = s + 1;
    batch.count = i + 1;
    at += (size + 63) & ~63;
  }
  const isFull = taken === wanted || bytes >= BURST_BYTES;
  lane.wanted = isFull ? Math.min(BURST, wanted * 2) : Math.max(1, taken);
  counters[RX_FRAMES] += taken;
  counters[RX_BYTES] += bytes;
  return batch.count;
}

/** Writes frame `i` with its header; returns 0 or the DROP_* counter of why not. */
function writeFrame(lane: TapQueue, batch: Batch, i: number): number {
  const windows = lane.windows;
  const pool = batch.pool;
  const first = batch.first[i];
  const segments = batch.segments[i];
  if (segments >= IOV_SLOTS) return DROP_MALFORMED;
  const words = windows.i32[lane.arena];
  writeNetHeader(windows.view[lane.arena], HEADER_AT, batch, i, (lane.accepts & OFFLOAD_CSUM) !== 0, 1);
  let word = IOV_AT >> 2;
  putIov(words, word, lane.address + HEADER_AT, NET_HEADER_SIZE);
  for (let s = first; s < first + segments; s++) {
    const window = pool.window[s];
    const offset = pool.offset[s];
    const length = pool.length[s];
    if (offset < 0 || length < 0 || offset + length > windows.size[window]) return DROP_MALFORMED;
    word += 4;
    putIov(words, word, windows.address[window] + offset, length);
  }
  if (writevAt(lane.fd, lane.address + IOV_AT, segments + 1) >= 0) return 0;
  return refusal(errno());
}

/** struct iovec { base u64, len u64 }, as words; addresses stay below 2^53. */
function putIov(words: Int32Array, word: number, address: number, length: number): void {
  words[word] = address | 0;
  words[word + 1] = (address / 4294967296) | 0;
  words[word + 2] = length;
  words[word + 3] = 0;
}

function refusal(code: number): number {
  // EIO: the device is down (tun_get_user); EBADFD: it was deleted.
  if (code === EIO || code === EBADFD) return DROP_LINK_DOWN;
  if (code === EAGAIN || code === ENOBUFS || code === ENOMEM) return DROP_NO_BUFFER;
  return DROP_MALFORMED;
}
