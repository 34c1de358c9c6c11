// HOT
// Where the next buffers of a receive queue lie, for a whole burst before anything is copied into them (deliver.ts):
//
//   heads ---descriptors---> window, offset, room ---first word of each frame's place: 0---> the lines are on their way
//
// The line that a frame goes to is mostly in the cache of the driver's processor, and has to be fetched before it can be written. Where stores
// wait for one line after the other, that is most of what a small frame costs; one word stored for each frame has many lines
// under way at once (docs/PERFORMANCE.md). The driver sees none of it: the buffers are not its own until they are published as used.
//
// One burst at a time, so the arrays are the thread's, and constants of this module (mem/fields.ts says what that is good for).

import { BURST } from "../mem/batch.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import { VRING_DESC_F_WRITE } from "../uapi/virtio_ring.ts";
import { CHAIN_FLAGS } from "./chain.ts";
import { NET_HEADER_SIZE } from "./net-header.ts";
import type { SplitRing } from "./split-ring.ts";

/** Of buffer `k`: its head, its window, its offset there. */
export const placeHead = new Int32Array(BURST);
export const placeWindow = new Int32Array(BURST);
export const placeOffset = new Int32Array(BURST);
/** Its bytes where it is one descriptor in one window; 0 where it has to be looked at more closely (walkChain). */
export const placeRoom = new Int32Array(BURST);

/** Room for a header and the word that is stored first. */
const LEAST_ROOM = NET_HEADER_SIZE + 4;

/** Finds the `count` buffers, BURST at most, that the driver made available from `next` on. */
export function placeBuffers(ring: SplitRing, memory: GuestMemory, next: number, count: number): void {
  const { avail, desc, mask, size } = ring;
  for (let k = 0; k < count; k++) {
    const head = avail[2 + ((next + k) & mask)];
    const entry = head << 2;
    const room = desc[entry + 2];
    const isCommon = head < size && (desc[entry + 3] & CHAIN_FLAGS) === VRING_DESC_F_WRITE && room >= LEAST_ROOM;
    placeHead[k] = head;
    placeRoom[k] = 0;
    if (!isCommon || memory.find(desc[entry], desc[entry + 1], room) !== room) continue;
    placeWindow[k] = memory.foundWindow;
    placeOffset[k] = memory.foundOffset;
    placeRoom[k] = room;
  }
  const views = memory.windows.view;
  // In a loop of its own, in which nothing else is stored.
  for (let k = 0; k < count; k++) {
    if (placeRoom[k] !== 0) views[placeWindow[k]].setInt32(placeOffset[k] + NET_HEADER_SIZE, 0, true);
  }
}
