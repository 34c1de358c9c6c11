// The state words of one lane, in memory shared by all workers and the control thread: whoever delivers into a lane under
// its lock, and whoever rebuilds the lane after a reset or a change of memory, goes on from here.
//
//   one cache line of 16 words:
//   0 fetch next avail | 1 fetch next used | 2 deliver next | 3 lock | 4 fetch status | 5 deliver status
//   6 fetch call fd | 7 deliver call fd | 8 fetch call queue | 9 deliver call queue
//   10 transmissions posted | 11 transmissions reaped | 12 held | 13..15 free
//
// Indices are the ring's free-running 16-bit ones. `deliver next` serves as avail and used index alike: a delivery
// completes the buffers it takes, in order, before it ends. Posted and reaped are tickets, free-running 32-bit numbers that
// go on for as long as the switch runs, over resets and from one port to the next: no index of any ring.

export const LANE_STATE_LENGTH = 16;

export const FETCH_AVAIL = 0;
export const FETCH_USED = 1;
export const DELIVER_NEXT = 2;
export const DELIVER_LOCK = 3;
export const FETCH_STATUS = 4;
export const DELIVER_STATUS = 5;
/** Where the driver of a ring is called, or -1. Here, since a guest changes it whenever it masks its interrupt. */
export const FETCH_CALL = 6;
export const DELIVER_CALL = 7;
/** From a ring's call word to the word beside it: 0 where the call is an eventfd, else 1 + the queue of a VDUSE device. */
export const CALL_QUEUE = 2;

/**
 * Of a NIC's lane: the ticket given out last (see held.ts). Written with `publish32` under the lane's lock, before the device
 * is told of the frame.
 */
export const TX_POSTED = 10;
/** The ticket up to which the device reads no sender's memory any more. Written like TX_POSTED; never ahead of it. */
export const TX_REAPED = 11;
/** Of a lane that frames come from: how many of its buffers wait for a NIC to send them. Written by the lane's owner. */
export const HELD = 12;

export const RING_STOPPED = 0;
export const RING_RUNNING = 1;
/** The driver broke a rule that leaves no way on; a reset makes the ring usable again. */
export const RING_BROKEN = 2;
