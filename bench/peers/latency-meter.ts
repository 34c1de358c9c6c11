// Times of round trips at a load. Frames leave by a schedule that does not wait for answers, and each one's time counts from when it was
// meant to leave: what a pause of the switch keeps from being sent is part of what the pause costs (coordinated omission).
//
//   frame k is meant to leave at start + k / rate         times[k] = when it was home - that, in ns; 0: not home
//
// A frame that is not home in time was lost, or the switch is behind by that much: it counts as LOST_NS, so that no percentile is better
// for it. Main thread of the client.

import { LIMIT, type Trip } from "./latency-trip.ts";

export const LOST_NS = 1e9;
/** From the last frame's time to leave: what is not home then counts as lost. */
const GRACE_NS = 200e6;
/** LIMIT frames under way and none came home for so long: they are lost, and others may leave. */
const STALL_NS = 50e6;
/** Frames are sent until one comes home: a switch may still be setting its queues up. */
const OPEN_NS = 10e9;
const TRY_NS = 20e6;
/** For the most that goes: all frames are meant to leave at once, so many at a time that what filling and emptying the way costs is little. */
const UNBOUNDED = 1e12;
const AT_ONCE = 16_384;

/** The numbers of a measurement begin here; those of the one before are strangers. */
let first = 0;

/** Waits until frames come through. */
export function open(trip: Trip): void {
  const start = Bun.nanoseconds();
  for (let now = start, tried = -TRY_NS; ; now = Bun.nanoseconds()) {
    if (trip.turn() > 0) return;
    if (now - start > OPEN_NS) throw new Error("no frame comes back");
    if (now - tried < TRY_NS) continue;
    tried = now;
    trip.send(first++);
    trip.flush();
  }
}

/** Round trips per second with LIMIT frames under way, of the second half of `seconds`. Timed as at any load: that takes time, too. */
export function maximum(trip: Trip, seconds: number): number {
  const times = new Uint32Array(AT_ONCE);
  let home = 0;
  let nanoseconds = 0;
  const start = Bun.nanoseconds();
  for (let from = start; from < start + seconds * 1e9 || home === 0; ) {
    paced(trip, UNBOUNDED, times);
    const to = Bun.nanoseconds();
    if (to - start > (seconds * 1e9) / 2) {
      nanoseconds += to - from;
      for (const time of times) if (time > 0) home++;
    }
    from = to;
  }
  return (home * 1e9) / nanoseconds;
}

/** Sends as many frames as `times` has room for, at a rate, and writes down each one's time. */
export function paced(trip: Trip, perSecond: number, times: Uint32Array): void {
  times.fill(0);
  const count = times.length;
  const base = first;
  first += count;
  const interval = 1e9 / perSecond;
  const giveUp = count * interval + GRACE_NS;
  const start = Bun.nanoseconds();
  let sent = 0;
  let home = 0;
  let underWay = 0;
  /** Of the last frame that left or came home. */
  let last = 0;
  for (let now = 0; home < count && now < giveUp; now = Bun.nanoseconds() - start) {
    const due = Math.min(count, Math.floor(now / interval) + 1);
    if (sent < due && underWay < LIMIT) {
      for (; sent < due && underWay < LIMIT; sent++, underWay++) trip.send(base + sent);
      trip.flush();
      last = now;
    }
    const came = trip.turn();
    if (came > 0) {
      last = Bun.nanoseconds() - start;
      for (let k = 0; k < came; k++) {
        const n = trip.home[k] - base;
        if (n < 0 || n >= count || times[n] !== 0) continue;
        times[n] = Math.min(LOST_NS, Math.max(1, last - n * interval));
        home++;
        if (underWay > 0) underWay--;
      }
    } else if (underWay === LIMIT && now - last > STALL_NS) {
      underWay = 0;
    }
  }
}
