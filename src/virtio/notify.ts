// HOT
// The two wishes of a split ring: when the device wants a kick, and when the driver wants a call (virtio 1.2, 2.7.7 and
// 2.7.10). This is the only place that knows them. `publish16` is the full fence both protocols need.

import { acquire16, publish16 } from "../mem/access.ts";
import { CALLS } from "../mem/counters.ts";
import { signal } from "../sys/fd.ts";
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY } from "../uapi/virtio_ring.ts";
import type { SplitRing } from "./split-ring.ts";

const IDX = 1;
const FLAGS = 0;

/** Publishes used index `next` (it was `previous`) and calls the driver through `callFd` if it wants that. */
export function publishUsed(
  ring: SplitRing,
  previous: number,
  next: number,
  callFd: number,
  counters: Float64Array,
): void {
  publish16(ring.used, IDX, next);
  if (callFd < 0) return;
  if (ring.eventIdx) {
    // 2.7.7.2: call when the index has just passed used_event.
    const event = acquire16(ring.avail, ring.usedEvent);
    if (((next - event - 1) & 0xffff) >= ((next - previous) & 0xffff)) return;
  } else if ((acquire16(ring.avail, FLAGS) & VRING_AVAIL_F_NO_INTERRUPT) !== 0) {
    return;
  }
  counters[CALLS]++;
  signal(callFd);
}

/**
 * The canonical sequence before sleeping: ask for a kick, fence, look again. Returns true when buffers beyond `next` are
 * there already, that is, when a kick may never come.
 */
export function armKick(ring: SplitRing, next: number): boolean {
  if (ring.eventIdx) publish16(ring.used, ring.availEvent, next);
  else publish16(ring.used, FLAGS, 0);
  return acquire16(ring.avail, IDX) !== next;
}

/** The device polls: no kicks, please. With EVENT_IDX a stale avail_event does that, one kick in 65536 aside. */
export function disarmKick(ring: SplitRing): void {
  if (!ring.eventIdx) publish16(ring.used, FLAGS, VRING_USED_F_NO_NOTIFY);
}
