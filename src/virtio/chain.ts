// HOT
// Walking one descriptor chain of a split ring (virtio 1.2, 2.7.5) into segments of windows. The driver is hostile:
//
//   rule                                                        broken: outcome
//   a chain has at most `size` descriptors (2.7.5.3.1)          DROP_DESC_LOOP
//   next < table length                                         DROP_DESC_INDEX
//   a buffer lies in shared memory, below 2^53                  DROP_DESC_ADDRESS
//   no length is zero (as QEMU has it: empty buffers would     DROP_DESC_LENGTH
//     make a chain cost time that no byte pays for), and all
//     lengths together are at most MAX_CHAIN_BYTES
//   a transmit buffer is device-readable, a receive one         DROP_DESC_DIRECTION
//     device-writable (5.1.6)
//   an indirect table is not nested (2.7.5.3.1)                 DROP_DESC_NESTED
//   an indirect table has whole descriptors, at least one,      DROP_DESC_INDIRECT
//     and is not followed by NEXT (2.7.5.3.1)
//
// A descriptor is read once, into locals: the driver may change it while we look. Returns 0 or the counter to count under.

import type { SegmentList } from "../mem/batch.ts";
import {
  DROP_DESC_ADDRESS,
  DROP_DESC_DIRECTION,
  DROP_DESC_INDEX,
  DROP_DESC_INDIRECT,
  DROP_DESC_LENGTH,
  DROP_DESC_LOOP,
  DROP_DESC_NESTED,
} from "../mem/counters.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import {
  VIRTQUEUE_MAX_SIZE,
  VRING_DESC_F_INDIRECT,
  VRING_DESC_F_NEXT,
  VRING_DESC_F_WRITE,
} from "../uapi/virtio_ring.ts";
import type { SplitRing } from "./split-ring.ts";

/** The flags that decide how a chain goes on; other bits have no meaning and are ignored. */
export const CHAIN_FLAGS = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;
/** Above a 64 KiB frame with its header, and above the 68 KiB of 17 pages that Linux posts where buffers are not merged. */
export const MAX_CHAIN_BYTES = 1 << 20;

/**
 * Appends the segments of the chain at `head` (below ring.size) to `out`; `direction` is the WRITE flag every descriptor
 * must have (0: the device reads). On failure `out.count` is as before.
 */
export function walkChain(
  ring: SplitRing,
  memory: GuestMemory,
  head: number,
  direction: number,
  out: SegmentList,
): number {
  const desc = ring.desc;
  const entry = head << 2;
  const lo = desc[entry];
  const hi = desc[entry + 1];
  const length = desc[entry + 2];
  const flagsNext = desc[entry + 3];
  if ((flagsNext & CHAIN_FLAGS) === direction && length > 0) {
    // The common chain: one descriptor, in one window.
    if (length > MAX_CHAIN_BYTES) return DROP_DESC_LENGTH;
    const s = out.count;
    if (s < out.window.length && memory.find(lo, hi, length) === length) {
      out.window[s] = memory.foundWindow;
      out.offset[s] = memory.foundOffset;
      out.length[s] = length;
      out.count = s + 1;
      out.bytes = length;
      return 0;
    }
  }
  const start = out.count;
  out.bytes = 0;
  const outcome = walkLong(ring, memory, head, direction, out);
  if (outcome !== 0) out.count = start;
  return outcome;
}

/** Chains of several descriptors, direct ones first, at the end perhaps one indirect table. */
function walkLong(ring: SplitRing, memory: GuestMemory, head: number, direction: number, out: SegmentList): number {
  const desc = ring.desc;
  const size = ring.size;
  let index = head;
  for (let ttl = size; ttl > 0; ttl--) {
    const entry = index << 2;
    const lo = desc[entry];
    const hi = desc[entry + 1];
    const length = desc[entry + 2];
    const flagsNext = desc[entry + 3];
    if ((flagsNext & VRING_DESC_F_INDIRECT) !== 0) {
      if ((flagsNext & VRING_DESC_F_NEXT) !== 0) return DROP_DESC_INDIRECT;
      return walkIndirect(memory, lo, hi, length, direction, out);
    }
    if ((flagsNext & VRING_DESC_F_WRITE) !== direction) return DROP_DESC_DIRECTION;
    const outcome = appendBuffer(memory, lo, hi, length, out);
    if (outcome !== 0) return outcome;
    if ((flagsNext & VRING_DESC_F_NEXT) === 0) return 0;
    index = flagsNext >>> 16;
    if (index >= size) return DROP_DESC_INDEX;
  }
  return DROP_DESC_LOOP;
}

function walkIndirect(
  memory: GuestMemory,
  lo: number,
  hi: number,
  bytes: number,
  direction: number,
  out: SegmentList,
): number {
  // The Linux driver's tables are no larger than the queue; the specification's limit is the largest queue.
  if (bytes <= 0 || (bytes & 15) !== 0 || bytes > VIRTQUEUE_MAX_SIZE * 16) return DROP_DESC_INDIRECT;
  if (memory.find(lo, hi, bytes) !== bytes) return DROP_DESC_ADDRESS;
  const view = memory.windows.view[memory.foundWindow];
  const table = memory.foundOffset;
  const count = bytes >> 4;
  let index = 0;
  for (let ttl = count; ttl > 0; ttl--) {
    const entry = table + (index << 4);
    const flagsNext = view.getInt32(entry + 12, true);
    if ((flagsNext & VRING_DESC_F_INDIRECT) !== 0) return DROP_DESC_NESTED;
    if ((flagsNext & VRING_DESC_F_WRITE) !== direction) return DROP_DESC_DIRECTION;
    const outcome = appendBuffer(
      memory,
      view.getInt32(entry, true),
      view.getInt32(entry + 4, true),
      view.getInt32(entry + 8, true),
      out,
    );
    if (outcome !== 0) return outcome;
    if ((flagsNext & VRING_DESC_F_NEXT) === 0) return 0;
    index = flagsNext >>> 16;
    if (index >= count) return DROP_DESC_INDEX;
  }
  return DROP_DESC_LOOP;
}

/** Appends one buffer, in pieces where it crosses regions. Each piece advances, so the loop ends with the length. */
function appendBuffer(memory: GuestMemory, lo: number, hi: number, length: number, out: SegmentList): number {
  if (length <= 0 || out.bytes + length > MAX_CHAIN_BYTES) return DROP_DESC_LENGTH;
  out.bytes += length;
  let low = lo >>> 0;
  let high = hi >>> 0;
  let left = length;
  while (left > 0) {
    const s = out.count;
    if (s >= out.window.length) return DROP_DESC_LOOP;
    const found = memory.find(low, high, left);
    if (found === 0) return DROP_DESC_ADDRESS;
    out.window[s] = memory.foundWindow;
    out.offset[s] = memory.foundOffset;
    out.length[s] = found;
    out.count = s + 1;
    left -= found;
    low += found;
    if (low >= 4294967296) {
      low -= 4294967296;
      high++;
    }
  }
  return 0;
}
