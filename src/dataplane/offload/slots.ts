// HOT
// Private memory in which frames are converted for receivers that do not take them as they are: a copy of each, its checksum completed or,
// of a super-frame, cut into segments.
//
//   slot   | the frame, one piece | header copies of its segments |      BURST of them
//
// A frame has one slot until all are emptied. One Slots per worker.

import { type Batch, BURST, BURST_FORMS, MAX_FRAME, OFFLOAD_SEGMENTATION } from "../../mem/batch.ts";
import { copyBytes } from "../../mem/copy.ts";
import type { WindowTable } from "../../mem/window.ts";
import { mapAnonymous, unmap } from "../../sys/memory.ts";
import { bindScratch, completeChecksum } from "./checksum.ts";
import { HEADER_AREA_SIZE, Segments, segmentFrame } from "./segment.ts";

const FRAME_ROOM = (MAX_FRAME + 63) & ~63;
export const SLOT_SIZE = FRAME_ROOM + HEADER_AREA_SIZE;
/** Of a frame that cannot be converted. */
const REFUSED = -1;

export class Slots {
  /** Of each frame and form of a batch: 1 + its slot, 0 where it was not tried, or REFUSED. */
  readonly of = new Int32Array(BURST_FORMS);
  /** In use, from the first on. */
  count = 0;
  /** Of each slot with a super-frame. */
  readonly segments: Segments[] = [];
  readonly window: number;
  private readonly address = mapAnonymous(SLOT_SIZE * BURST);

  /** Maps and registers the memory. Cold. */
  constructor(readonly windows: WindowTable) {
    for (let slot = 0; slot < BURST; slot++) this.segments.push(new Segments());
    this.window = windows.add(this.address, SLOT_SIZE * BURST);
    bindScratch(windows.u8[this.window]);
  }

  /** Unmaps it; the worker ends. Cold. */
  close(): void {
    this.windows.remove(this.window);
    unmap(this.address, SLOT_SIZE * BURST);
  }
}

/** Forgets all frames. */
export function emptySlots(slots: Slots): void {
  if (slots.count === 0) return;
  slots.count = 0;
  slots.of.fill(0);
}

/** Converts frame `i`, which was not tried, in the next slot: there is one. Returns what `of` says of it from now on. */
export function convertFrame(slots: Slots, batch: Batch, i: number): number {
  const slot = slots.count++;
  const outcome = convert(slots, batch, i, slot) ? slot + 1 : REFUSED;
  slots.of[i] = outcome;
  return outcome;
}

/** Copies frame `i` into the slot, and completes or cuts it there; false where it cannot be. */
function convert({ segments, window, windows }: Slots, batch: Batch, i: number, slot: number): boolean {
  const pool = batch.pool;
  const end = batch.first[i] + batch.segments[i];
  const base = slot * SLOT_SIZE;
  let to = base;
  for (let s = batch.first[i]; s < end; s++) {
    if (!copyBytes(windows, window, to, pool.window[s], pool.offset[s], pool.length[s])) return false;
    to += pool.length[s];
  }
  const bytes = windows.u8[window];
  const length = batch.length[i];
  if ((batch.needs[i] & OFFLOAD_SEGMENTATION) === 0) {
    return completeChecksum(bytes, base, length, batch.csumStart[i], batch.csumOffset[i]) === 0;
  }
  const area = base + FRAME_ROOM;
  return segmentFrame(bytes, base, length, batch.gsoType[i], batch.gsoSize[i], area, segments[slot]) > 0;
}
