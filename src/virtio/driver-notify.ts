// HOT
// The driver's half of notify.ts: when the device wants a kick, and when we want its call (virtio 1.2, 2.7.7 and 2.7.10).
// `publish16` is the full fence that both need.

import { acquire16, publish16 } from "../mem/access.ts";
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY } from "../uapi/virtio_ring.ts";
import type { SplitRing } from "./split-ring.ts";

const FLAGS = 0;
const IDX = 1;

/** Publishes avail index `next` (it was `previous`); returns whether the device wants to be kicked. */
export function publishAvail(ring: SplitRing, previous: number, next: number): boolean {
  publish16(ring.avail, IDX, next);
  if (!ring.eventIdx) return (acquire16(ring.used, FLAGS) & VRING_USED_F_NO_NOTIFY) === 0;
  // 2.7.10.1: kick when the index has just passed avail_event.
  const event = acquire16(ring.used, ring.availEvent);
  return ((next - event - 1) & 0xffff) < ((next - previous) & 0xffff);
}

/**
 * Before sleeping: asks for a call, fences, looks again. Returns true when buffers beyond `last` are used already, that is,
 * when a call may never come.
 */
export function armCall(ring: SplitRing, last: number): boolean {
  if (ring.eventIdx) publish16(ring.avail, ring.usedEvent, last);
  else publish16(ring.avail, FLAGS, 0);
  return acquire16(ring.used, IDX) !== last;
}

/**
 * The driver polls: no calls, please. With EVENT_IDX, `flags` stays 0 (2.7.7.1) and a used_event that was passed does it:
 * one call in 65536 aside.
 */
export function disarmCall(ring: SplitRing): void {
  if (!ring.eventIdx) publish16(ring.avail, FLAGS, VRING_AVAIL_F_NO_INTERRUPT);
}

/** For a queue that is never waited for: with EVENT_IDX, used_event lies as far ahead as it can. */
export function silenceCalls(ring: SplitRing, last: number): void {
  if (ring.eventIdx) publish16(ring.avail, ring.usedEvent, (last - 1) & 0xffff);
  else publish16(ring.avail, FLAGS, VRING_AVAIL_F_NO_INTERRUPT);
}
