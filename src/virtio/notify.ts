// HOT
// The two wishes of a split ring: when the device wants a kick, and when the driver wants a call (virtio 1.2, 2.7.7 and
// 2.7.10). This is the only place that knows them. `publish16` is the full fence both protocols need.
//
// A call is a write to an eventfd, or for a VDUSE device an ioctl that makes the kernel interrupt its driver.

import { acquire16, publish16 } from "../mem/access.ts";
import { CALLS } from "../mem/counters.ts";
import { CALL_QUEUE } from "../mem/lane-state.ts";
import { ioctlAt, signal } from "../sys/fd.ts";
import { mapAnonymous, PAGE_SIZE, viewOf } from "../sys/memory.ts";
import { VDUSE_VQ_INJECT_IRQ } from "../uapi/vduse.ts";
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_USED_F_NO_NOTIFY } from "../uapi/virtio_ring.ts";
import type { SplitRing } from "./split-ring.ts";

const IDX = 1;
const FLAGS = 0;

/** The numbers 0, 1, ... as u32, one behind the other: VDUSE_VQ_INJECT_IRQ takes the address of a queue's number. */
const queueNumbers = mapAnonymous(PAGE_SIZE);
new Uint32Array(viewOf(queueNumbers, 0, PAGE_SIZE)).forEach((_, index, numbers) => {
  numbers[index] = index;
});

/**
 * Publishes used index `next` (it was `previous`) and calls the driver if it wants that, the way word `call` of the lane's
 * state says (FETCH_CALL or DELIVER_CALL).
 */
export function publishUsed(
  ring: SplitRing,
  previous: number,
  next: number,
  state: Int32Array,
  call: number,
  counters: Float64Array,
): void {
  publish16(ring.used, IDX, next);
  const fd = state[call];
  if (fd < 0) return;
  if (ring.eventIdx) {
    // 2.7.7.2: call when the index has just passed used_event.
    const event = acquire16(ring.avail, ring.usedEvent);
    if (((next - event - 1) & 0xffff) >= ((next - previous) & 0xffff)) return;
  } else if ((acquire16(ring.avail, FLAGS) & VRING_AVAIL_F_NO_INTERRUPT) !== 0) {
    return;
  }
  counters[CALLS]++;
  callDriver(fd, state[call + CALL_QUEUE]);
}

/** `queue`: 0 for an eventfd, else 1 + the queue of the VDUSE device `fd`. */
export function callDriver(fd: number, queue: number): void {
  if (queue === 0) signal(fd);
  else ioctlAt(fd, VDUSE_VQ_INJECT_IRQ, queueNumbers + (queue - 1) * 4);
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
