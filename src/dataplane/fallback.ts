// HOT
// Offloads in software, for a receiver that did not negotiate what a frame asks of it: the checksum is completed, a TCP
// or UDP super-frame is cut into segments. A frame is never handed on in a form that was not accepted.
//
//   sender's memory --copy--> slot, complete or in segments (offload/slots.ts) --list--> `made` batch --deliver--> receiver
//
// Where the receiver has no room at all, nothing is made: the frame is one drop, as it would be if it could be taken whole.
// What is made of a frame is the same for all receivers: between `keepConverted` and `dropConverted` it is made once. Order
// within a port is kept: plain frames in between go out before. One Fallback per worker.

import { Batch, BURST, OFFLOAD_SEGMENTATION } from "../mem/batch.ts";
import { COPIES, DROP_NO_BUFFER, DROP_OFFLOAD, DROP_OVERSIZED } from "../mem/counters.ts";
import type { WindowTable } from "../mem/window.ts";
import type { Lane } from "../ports/port.ts";
import { plainNetHeader } from "../virtio/net-header.ts";
import { convertFrame, emptySlots, SLOT_SIZE, Slots } from "./offload/slots.ts";

export class Fallback {
  readonly made = new Batch();
  readonly slots: Slots;
  /** Whether the next delivery finds the same frames under the same numbers. */
  keeps = false;
  readonly all = Int32Array.from({ length: BURST }, (_, i) => i);
  readonly plain = new Int32Array(BURST);
  /** Bytes that went this way, once for each receiver; whoever charges for them (breathe.ts) begins anew with 0. */
  bytes = 0;

  /** Maps and registers the slots. Cold. */
  constructor(windows: WindowTable) {
    this.slots = new Slots(windows);
  }

  /** Unmaps the slots; the worker ends. Cold. */
  close(): void {
    this.slots.close();
  }
}

/** What is made of frames from now on serves all their receivers: the caller changes no frame and no number before `dropConverted`. */
export function keepConverted(fallback: Fallback): void {
  emptySlots(fallback.slots);
  fallback.keeps = true;
}

/** Each delivery is again of frames of its own. */
export function dropConverted(fallback: Fallback): void {
  fallback.keeps = false;
}

/**
 * Delivers frames `list[0..count)`, some of which need what `lane` does not accept; `maxFrame` is its port's longest,
 * `counters` are the lane's.
 */
export function deliverWithFallback(
  fallback: Fallback,
  lane: Lane,
  batch: Batch,
  list: Int32Array,
  count: number,
  maxFrame: number,
  counters: Float64Array,
): void {
  const refused = ~lane.accepts;
  const plain = fallback.plain;
  const made = fallback.made;
  made.reset();
  if (!fallback.keeps) emptySlots(fallback.slots);
  let plainCount = 0;
  for (let k = 0; k < count; k++) {
    const i = list[k];
    if ((batch.needs[i] & refused) === 0) {
      // What was made of earlier frames leaves first.
      if (made.count > 0) flush(fallback, lane);
      plain[plainCount++] = i;
      continue;
    }
    if (plainCount > 0) {
      lane.deliver(batch, plain, plainCount);
      plainCount = 0;
    }
    let outcome = DROP_NO_BUFFER;
    // Where others wait already, there was room: only a super-frame is worth another look.
    const expected = made.count > 0 && (batch.needs[i] & OFFLOAD_SEGMENTATION) === 0;
    if (expected || lane.hasRoom === undefined || lane.hasRoom()) {
      fallback.bytes += batch.length[i];
      outcome = addConverted(fallback, lane, batch, i, maxFrame, counters);
    }
    if (outcome !== 0) counters[outcome]++;
  }
  if (plainCount > 0) lane.deliver(batch, plain, plainCount);
  flush(fallback, lane);
}

function flush(fallback: Fallback, lane: Lane): void {
  const made = fallback.made;
  if (made.count > 0) lane.deliver(made, fallback.all, made.count);
  made.reset();
}

/** Adds what frame `i` becomes to `made`. Returns 0, or the DROP_* counter of why it becomes nothing. */
function addConverted(
  fallback: Fallback,
  lane: Lane,
  batch: Batch,
  i: number,
  maxFrame: number,
  counters: Float64Array,
): number {
  const { slots } = fallback;
  const known = slots.of[i];
  const slot = known === 0 ? convertNow(fallback, lane, batch, i) : known - 1;
  if (slot < 0) return DROP_OFFLOAD;
  if ((batch.needs[i] & OFFLOAD_SEGMENTATION) === 0) {
    if (fallback.made.count === BURST) flush(fallback, lane);
    append(fallback, slot * SLOT_SIZE, batch.length[i], 0, 0);
    return 0;
  }
  const segments = slots.segments[slot];
  const count = segments.count;
  if (segments.headerLength + segments.payloadLength[0] > maxFrame) return DROP_OVERSIZED;
  counters[COPIES] += count - 1;
  for (let n = 0; n < count; n++) {
    if (fallback.made.count === BURST) flush(fallback, lane);
    append(
      fallback,
      segments.headerOffset[n],
      segments.headerLength,
      segments.payloadOffset[n],
      segments.payloadLength[n],
    );
  }
  return 0;
}

/** Converts frame `i`. Returns its slot, below 0 where it cannot be converted. */
function convertNow(fallback: Fallback, lane: Lane, batch: Batch, i: number): number {
  const { slots } = fallback;
  if (slots.count === BURST) {
    // What lies in them leaves first.
    flush(fallback, lane);
    emptySlots(slots);
  }
  return convertFrame(slots, batch, i) - 1;
}

/** Adds a plain frame of one or two pieces of the slots to `made`. */
function append(fallback: Fallback, offset: number, length: number, more: number, moreLength: number): void {
  const made = fallback.made;
  const pool = made.pool;
  const i = made.count++;
  const s = pool.count;
  made.first[i] = s;
  made.length[i] = length + moreLength;
  made.segments[i] = moreLength > 0 ? 2 : 1;
  plainNetHeader(made, i);
  pool.window[s] = fallback.slots.window;
  pool.offset[s] = offset;
  pool.length[s] = length;
  pool.window[s + 1] = fallback.slots.window;
  pool.offset[s + 1] = more;
  pool.length[s + 1] = moreLength;
  pool.count = s + made.segments[i];
}
