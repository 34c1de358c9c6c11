// HOT
// Offloads in software, for a receiver that did not negotiate what a frame asks of it: the checksum is completed, a TCP
// or UDP super-frame is cut into segments. A frame is never handed on in a form that was not accepted.
//
//   sender's memory --copy--> slot [frame | header copies]  --complete or segment--> `made` batch --deliver--> receiver
//
// Where the receiver has no room at all, nothing is made: the frame is one drop, as it would be if it could be taken whole.
// This path costs a second copy; the frame is private by then, so its sender cannot change what was checked. One slot per
// frame of a burst; segments share their slot's payload and have a header copy each. Order within a port is kept: plain
// frames in between go out before. One Fallback per worker.

import { Batch, BURST, MAX_FRAME, OFFLOAD_SEGMENTATION } from "../mem/batch.ts";
import { copyBytes } from "../mem/copy.ts";
import { COPIES, DROP_NO_BUFFER, DROP_OFFLOAD, DROP_OVERSIZED } from "../mem/counters.ts";
import type { WindowTable } from "../mem/window.ts";
import type { Lane } from "../ports/port.ts";
import { mapAnonymous, unmap } from "../sys/memory.ts";
import { plainNetHeader } from "../virtio/net-header.ts";
import { bindScratch, completeChecksum } from "./offload/checksum.ts";
import { HEADER_AREA_SIZE, Segments, segmentFrame } from "./offload/segment.ts";

const FRAME_ROOM = (MAX_FRAME + 63) & ~63;
const SLOT_SIZE = FRAME_ROOM + HEADER_AREA_SIZE;

export class Fallback {
  readonly made = new Batch();
  readonly segments = new Segments();
  readonly all = Int32Array.from({ length: BURST }, (_, i) => i);
  readonly plain = new Int32Array(BURST);
  /** Bytes that went this way; whoever charges for them (breathe.ts) begins anew with 0. */
  bytes = 0;
  readonly window: number;
  private readonly address = mapAnonymous(SLOT_SIZE * BURST);

  /** Maps and registers the slots. Cold. */
  constructor(readonly windows: WindowTable) {
    this.window = windows.add(this.address, SLOT_SIZE * BURST);
    bindScratch(windows.u8[this.window]);
  }

  /** Unmaps the slots; the worker ends. Cold. */
  close(): void {
    this.windows.remove(this.window);
    unmap(this.address, SLOT_SIZE * BURST);
  }
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
    if (lane.hasRoom === undefined || lane.hasRoom()) {
      outcome = linearise(fallback, batch, i, k)
        ? convert(fallback, lane, batch, i, k, maxFrame, counters)
        : DROP_OFFLOAD;
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

/** Copies frame `i` into slot `k`. */
function linearise(fallback: Fallback, batch: Batch, i: number, k: number): boolean {
  fallback.bytes += batch.length[i];
  const pool = batch.pool;
  const end = batch.first[i] + batch.segments[i];
  let to = k * SLOT_SIZE;
  for (let s = batch.first[i]; s < end; s++) {
    if (!copyBytes(fallback.windows, fallback.window, to, pool.window[s], pool.offset[s], pool.length[s])) return false;
    to += pool.length[s];
  }
  return true;
}

/** Turns the frame in slot `k` into plain frames of `made`. Returns 0, or the DROP_* counter of why it cannot be. */
function convert(
  fallback: Fallback,
  lane: Lane,
  batch: Batch,
  i: number,
  k: number,
  maxFrame: number,
  counters: Float64Array,
): number {
  const bytes = fallback.windows.u8[fallback.window];
  const base = k * SLOT_SIZE;
  const length = batch.length[i];
  if ((batch.needs[i] & OFFLOAD_SEGMENTATION) === 0) {
    if (completeChecksum(bytes, base, length, batch.csumStart[i], batch.csumOffset[i]) !== 0) return DROP_OFFLOAD;
    if (fallback.made.count === BURST) flush(fallback, lane);
    append(fallback, base, length, 0, 0);
    return 0;
  }
  const segments = fallback.segments;
  const count = segmentFrame(bytes, base, length, batch.gsoType[i], batch.gsoSize[i], base + FRAME_ROOM, segments);
  if (count <= 0) return DROP_OFFLOAD;
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
  pool.window[s] = fallback.window;
  pool.offset[s] = offset;
  pool.length[s] = length;
  pool.window[s + 1] = fallback.window;
  pool.offset[s + 1] = more;
  pool.length[s + 1] = moreLength;
  pool.count = s + made.segments[i];
}
