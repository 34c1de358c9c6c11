// HOT
// Transmitting: frames are copied into buffers or, where the device reaches their senders' memory, read there (direct.ts);
// descriptors are written behind one another, the device told once per burst.
//
//   |....| free |  burst: [context] data data(EOP) | data(EOP) ... data(EOP, RS)  | free
//        TX_CLEAN                                                   ^ mark of the burst's first
//
// Only a burst's last descriptor asks for a report (RS): when it says DD, the whole burst is done (both families finish a
// queue's descriptors in order). Reports are looked at when room runs low, so a register of the device is never read.
// Under the lane's lock where several workers transmit: all that they share stands in the lane's own words.

import { acquire32, publish32 } from "../../../mem/access.ts";
import { type Batch, BURST } from "../../../mem/batch.ts";
import { copyBytes } from "../../../mem/copy.ts";
import {
  DROP_MALFORMED,
  DROP_NO_BUFFER,
  DROP_OVERSIZED,
  TX_BYTES,
  TX_COPIED,
  TX_FRAMES,
  TX_ZERO_COPY,
} from "../../../mem/counters.ts";
import { TX_POSTED, TX_REAPED } from "../../../mem/lane-state.ts";
import { enterStage, STAGE_COPY, STAGE_PUBLISH } from "../../../mem/stages.ts";
import { DESC_SHIFT, E1000_TXD_CMD_RS, E1000_TXD_STAT_DD } from "./descriptors.ts";
import { NO_ROOM, sendDirect } from "./direct.ts";
import { TX_BUFFER, TX_BUFFER_SHIFT, TX_BUFFER_SIZE, TX_CLEAN, TX_MARKS, TX_NEXT } from "./layout.ts";
import { prepareOffload } from "./offload.ts";
import { beginFrame, contextKnown, LEAST_SIZE, putContext, putData } from "./put.ts";
import type { Transmitter } from "./transmitter.ts";

/** Free descriptors below which reports are looked at: a burst of frames with a context each. */
const REAP_BELOW = 2 * BURST;

/** Sends frames `list[0..count)` of the batch. Returns how many; the rest is counted. */
export function transmitBurst(tx: Transmitter, batch: Batch, list: Int32Array, count: number): number {
  const { own, counters, mask } = tx;
  tx.posted = tx.state[TX_POSTED];
  tx.direct = 0;
  let start = own[TX_NEXT];
  let next = start;
  let sent = 0;
  let bytes = 0;
  let free = (own[TX_CLEAN] - next - 1) & mask;
  if (free < REAP_BELOW) free = reap(tx, next);
  for (let k = 0; k < count; k++) {
    const i = list[k];
    const length = batch.length[i];
    if (length > tx.maxFrame && batch.gsoType[i] === 0) {
      counters[DROP_OVERSIZED]++;
      continue;
    }
    let after = sendDirect(tx, batch, i, next, free);
    const slots = ((length + TX_BUFFER_SIZE - 1) >> TX_BUFFER_SHIFT) + (batch.needs[i] === 0 ? 0 : 1);
    if (after === NO_ROOM || (after === next && slots > free)) {
      // What is written so far may well be on its way before the rest is looked at.
      if (next !== start) ring(tx, start, next);
      start = next;
      free = reap(tx, next);
      if (after === NO_ROOM) after = sendDirect(tx, batch, i, next, free);
    }
    if (after === NO_ROOM || after === next)
      after = slots > free ? -DROP_NO_BUFFER : sendFrame(tx, batch, i, next, length);
    if (after < 0) {
      counters[-after]++;
      continue;
    }
    free -= (after - next) & mask;
    next = after;
    sent++;
    bytes += length;
  }
  if (next !== start) ring(tx, start, next);
  // Last, so that whoever reads that a frame was sent finds it with the device.
  counters[TX_FRAMES] += sent;
  counters[TX_BYTES] += bytes;
  counters[TX_ZERO_COPY] += tx.direct;
  counters[TX_COPIED] += sent - tx.direct;
  return sent;
}

/** Frees descriptors of bursts that the device reports done. Returns how many are free before `next`. */
export function reap(tx: Transmitter, next: number): number {
  const { own, words, mask, ringWord } = tx;
  let clean = own[TX_CLEAN];
  let reaped = tx.state[TX_REAPED];
  while (clean !== own[TX_NEXT]) {
    const last = own[TX_MARKS + clean];
    if ((acquire32(words, ringWord + (last << DESC_SHIFT) + 3) & E1000_TXD_STAT_DD) === 0) break;
    reaped = own[tx.tickets + clean];
    clean = (last + 1) & mask;
  }
  own[TX_CLEAN] = clean;
  if (reaped !== tx.state[TX_REAPED]) publish32(tx.state, TX_REAPED, reaped);
  return (clean - next - 1) & mask;
}

/** Hands descriptors from `start` to before `next` to the device, asking for a report on the last. */
function ring(tx: Transmitter, start: number, next: number): void {
  const { own, words } = tx;
  const last = (next - 1) & tx.mask;
  const word = tx.ringWord + (last << DESC_SHIFT) + 2;
  enterStage(STAGE_PUBLISH);
  own[TX_MARKS + start] = last;
  own[tx.tickets + start] = tx.posted;
  own[TX_NEXT] = next;
  if (tx.posted !== tx.state[TX_POSTED]) publish32(tx.state, TX_POSTED, tx.posted);
  publish32(words, word, words[word] | E1000_TXD_CMD_RS);
  tx.registers.write32(tx.tail, next);
  enterStage(STAGE_COPY);
}

/** Copies frame `i` and writes its descriptors at `next`. Returns the descriptor behind them, or minus a DROP_* counter. */
function sendFrame(tx: Transmitter, batch: Batch, i: number, next: number, length: number): number {
  const { own, mask } = tx;
  const buffer = own[TX_BUFFER];
  const at = tx.buffersAt + (buffer << TX_BUFFER_SHIFT);
  if (batch.segments[i] === 1 && length <= TX_BUFFER_SIZE) {
    const s = batch.first[i];
    const { window, offset } = batch.pool;
    if (!copyBytes(tx.windows, tx.window, at, window[s], offset[s], length)) return -DROP_MALFORMED;
  } else if (!gather(tx, batch, i, at)) return -DROP_MALFORMED;
  let size = length;
  if (size < LEAST_SIZE) {
    tx.bytes.fill(0, at + size, at + LEAST_SIZE);
    size = LEAST_SIZE;
  }
  beginFrame(tx, size);
  let slot = next;
  if (batch.needs[i] !== 0) {
    // Headers are in the first buffer, or the frame ends there.
    const head = Math.min(length, TX_BUFFER_SIZE);
    const outcome = prepareOffload(tx, batch, i, tx.bytes, at, head, length, true);
    if (outcome !== 0) return -outcome;
    if (tx.needsContext && !contextKnown(tx)) slot = putContext(tx, slot);
  }
  const { addresses } = tx;
  let index = buffer;
  for (let done = 0; done < size; done += TX_BUFFER_SIZE) {
    const piece = Math.min(size - done, TX_BUFFER_SIZE);
    slot = putData(tx, slot, addresses[index << 1], addresses[(index << 1) + 1], piece, done + piece === size);
    index = (index + 1) & mask;
  }
  own[TX_BUFFER] = index;
  return slot;
}

/** Copies a frame's segments behind one another from `at` on; behind the last buffer comes the first. */
function gather(tx: Transmitter, batch: Batch, i: number, at: number): boolean {
  const pool = batch.pool;
  const end = tx.buffersAt + (tx.mask + 1) * TX_BUFFER_SIZE;
  const stop = batch.first[i] + batch.segments[i];
  let left = batch.length[i];
  let to = at;
  for (let s = batch.first[i]; s < stop; s++) {
    const window = pool.window[s];
    const offset = pool.offset[s];
    const length = pool.length[s];
    // The sum of the segments is the frame's length: what is longer would run over the buffers that were counted for it.
    if (length > left) return false;
    left -= length;
    const piece = Math.min(length, end - to);
    if (!copyBytes(tx.windows, tx.window, to, window, offset, piece)) return false;
    to += piece;
    if (piece < length) {
      to = tx.buffersAt;
      if (!copyBytes(tx.windows, tx.window, to, window, offset + piece, length - piece)) return false;
      to += length - piece;
    }
  }
  return left === 0;
}
