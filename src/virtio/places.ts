// HOT
// Where frames of a burst go in a receive queue, before anything is copied there (deliver.ts):
//
//   heads ---descriptors---> window, offset ---first word of each frame's place: 0---> the lines are on their way
//
// The line that a frame goes to is mostly in the cache of the driver's processor, and has to be fetched before it can be written. Where stores
// wait for one line after the other, that is most of what a small frame costs; one word stored for each frame has many lines
// under way at once (docs/PERFORMANCE.md). All that is placed is delivered, so the driver sees none of it.
//
// One burst at a time, so the arrays are the thread's, and constants of this module (mem/fields.ts says what that is good for).

import { BURST } from "../mem/batch.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import { VRING_DESC_F_WRITE } from "../uapi/virtio_ring.ts";
import { CHAIN_FLAGS } from "./chain.ts";
import { NET_HEADER_SIZE } from "./net-header.ts";
import type { SplitRing } from "./split-ring.ts";

/** Of buffer `next + k`: its head, its window, its offset there. */
export const placeHead = new Int32Array(BURST);
export const placeWindow = new Int32Array(BURST);
export const placeOffset = new Int32Array(BURST);

/**
 * Finds the buffers from `next` on for frames `list[from]`, `list[from + 1]`, … up to the first that is not one descriptor with room for its
 * frame in one window. `length`: bytes by frame; `count`: frames, no more than the driver has buffers waiting, nor than BURST. Returns how
 * many it found; the caller delivers all of those. Any worker, under the lane's lock.
 */
export function placeFrames(
  ring: SplitRing,
  memory: GuestMemory,
  next: number,
  length: Int32Array,
  list: Int32Array,
  from: number,
  count: number,
): number {
  const { avail, desc, mask, size } = ring;
  let placed = 0;
  for (; placed < count; placed++) {
    const head = avail[2 + ((next + placed) & mask)];
    const entry = head << 2;
    const needed = NET_HEADER_SIZE + length[list[from + placed]];
    const isCommon = head < size && (desc[entry + 3] & CHAIN_FLAGS) === VRING_DESC_F_WRITE && desc[entry + 2] >= needed;
    if (!isCommon || memory.find(desc[entry], desc[entry + 1], needed) !== needed) break;
    placeHead[placed] = head;
    placeWindow[placed] = memory.foundWindow;
    placeOffset[placed] = memory.foundOffset;
  }
  const views = memory.windows.view;
  // In a loop of its own, in which nothing else is stored.
  for (let k = 0; k < placed; k++) views[placeWindow[k]].setInt32(placeOffset[k] + NET_HEADER_SIZE, 0, true);
  return placed;
}
