// HOT
// Zero copy (mem/held.ts): a frame whose segments the device reaches goes out of its sender's memory. The frame is held until the
// device reports the burst that it is in.
//
//   plain, checksum    segment, cut at pages -> data data data(EOP)      looked at in place, nothing is changed
//   super-frame        head, copied and changed -> data | the rest -> data ... data(EOP)
//
// Pieces end at pages of the IOVA: emulated devices drop a piece that is not contiguous in their physical memory.

import type { Batch } from "../../../mem/batch.ts";
import { copyBytes } from "../../../mem/copy.ts";
import { PAGE_SIZE } from "../../../sys/memory.ts";
import { MAX_HEADER_SIZE } from "./descriptors.ts";
import { TX_BUFFER, TX_BUFFER_SHIFT } from "./layout.ts";
import { prepareOffload } from "./offload.ts";
import { beginFrame, contextKnown, LEAST_SIZE, putContext, putData } from "./put.ts";
import type { Transmitter } from "./transmitter.ts";

/** Of a super-frame, at least its headers: the rest stays where it is. */
const HEAD_SIZE = MAX_HEADER_SIZE + 1;
/** Pieces of one frame; QEMU's devices take 64. A frame in more of them is copied. */
const MAX_PIECES = 48;
const TWO_32 = 4294967296;

/** Not enough descriptors are free. */
export const NO_ROOM = -1;

/**
 * Writes the descriptors of frame `i` at `next` and marks it held. Returns the slot behind them, `next` where it has to be
 * copied, or NO_ROOM; nothing has happened then.
 */
export function sendDirect(tx: Transmitter, batch: Batch, i: number, next: number, free: number): number {
  const length = batch.length[i];
  if (length < LEAST_SIZE || batch.heldBy[i] !== 0 || tx.iova.length === 0) return next;
  const cut = batch.gsoType[i] !== 0;
  if (cut && length <= HEAD_SIZE) return next;
  const pieces = countPieces(tx, batch, i, cut ? HEAD_SIZE : 0);
  if (pieces === 0) return next;
  // One more for a context, one for a head.
  if (pieces + 2 > free) return NO_ROOM;
  beginFrame(tx, length);
  let slot = next;
  if (batch.needs[i] !== 0) {
    const outcome = cut ? prepareCopiedHead(tx, batch, i, length) : prepareInPlace(tx, batch, i, length);
    // What is wrong with it is found once more, and counted, where it is copied.
    if (outcome !== 0) return next;
    if (tx.needsContext && !contextKnown(tx)) slot = putContext(tx, slot);
  }
  if (cut) {
    const { addresses, mask, own } = tx;
    const buffer = own[TX_BUFFER];
    slot = putData(tx, slot, addresses[buffer << 1], addresses[(buffer << 1) + 1], HEAD_SIZE, false);
    own[TX_BUFFER] = (buffer + 1) & mask;
  }
  slot = putSegments(tx, batch, i, slot, cut ? HEAD_SIZE : 0);
  tx.direct++;
  tx.posted = (tx.posted + 1) | 0;
  batch.heldBy[i] = tx.self;
  batch.ticket[i] = tx.posted;
  batch.anyHeld = 1;
  return slot;
}

/** Pieces of the frame behind its first `skip` bytes; 0 where the device does not reach all of it, or they are too many. */
function countPieces(tx: Transmitter, batch: Batch, i: number, skip: number): number {
  const { iova, windows } = tx;
  const { window, offset, length } = batch.pool;
  const end = batch.first[i] + batch.segments[i];
  let left = batch.length[i];
  let before = skip;
  let pieces = 0;
  for (let s = batch.first[i]; s < end; s++) {
    const w = window[s];
    const size = length[s];
    const base = iova[w];
    // The device is given addresses, which nothing else checks. Not "< 0": beyond the array it is undefined.
    if (!(base >= 0) || size < 0 || offset[s] < 0 || offset[s] + size > windows.size[w]) return 0;
    left -= size;
    const gone = Math.min(before, size);
    before -= gone;
    const from = base + offset[s] + gone;
    if (size > gone) pieces += 1 + Math.floor((from + size - gone - 1) / PAGE_SIZE) - Math.floor(from / PAGE_SIZE);
    if (pieces > MAX_PIECES) return 0;
  }
  return left === 0 ? pieces : 0;
}

/** Data descriptors for the frame behind its first `skip` bytes; countPieces has looked at all of it. */
function putSegments(tx: Transmitter, batch: Batch, i: number, next: number, skip: number): number {
  const { window, offset, length } = batch.pool;
  const end = batch.first[i] + batch.segments[i];
  let left = batch.length[i] - skip;
  let before = skip;
  let slot = next;
  for (let s = batch.first[i]; s < end; s++) {
    const gone = Math.min(before, length[s]);
    before -= gone;
    let address = tx.iova[window[s]] + offset[s] + gone;
    for (let rest = length[s] - gone; rest > 0; ) {
      const pageEnd = (Math.floor(address / PAGE_SIZE) + 1) * PAGE_SIZE;
      const piece = Math.min(rest, pageEnd - address);
      rest -= piece;
      left -= piece;
      slot = putData(tx, slot, address | 0, (address / TWO_32) | 0, piece, left === 0);
      address += piece;
    }
  }
  return slot;
}

/** A checksum is the device's where the headers in the first segment say that it knows the place. */
function prepareInPlace(tx: Transmitter, batch: Batch, i: number, length: number): number {
  const s = batch.first[i];
  const { window, offset, length: size } = batch.pool;
  return prepareOffload(tx, batch, i, tx.windows.u8[window[s]], offset[s], size[s], length, false);
}

/** A super-frame's headers are changed, so they are copied. */
function prepareCopiedHead(tx: Transmitter, batch: Batch, i: number, length: number): number {
  const { window, offset, length: size } = batch.pool;
  const at = tx.buffersAt + (tx.own[TX_BUFFER] << TX_BUFFER_SHIFT);
  let done = 0;
  for (let s = batch.first[i]; done < HEAD_SIZE; s++) {
    const piece = Math.min(size[s], HEAD_SIZE - done);
    if (!copyBytes(tx.windows, tx.window, at + done, window[s], offset[s], piece)) return -1;
    done += piece;
  }
  return prepareOffload(tx, batch, i, tx.bytes, at, HEAD_SIZE, length, false);
}
