// When the driver is called and when it is asked to kick (virtio 1.2, 2.7.7 and 2.7.10), with flags and with EVENT_IDX,
// against the rule as the specification tells it: an event index is met when the published index passes it.

import { expect, test } from "bun:test";
import { CALLS } from "../../src/mem/counters.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { VRING_AVAIL_F_NO_INTERRUPT } from "../../src/uapi/virtio_ring.ts";
import { frame, mac } from "../support/frames.ts";
import { EVENT_IDX, PLAIN, type Rig, type TestGuest, useRig } from "./rig.ts";

const SIZE = 64;
const newRig = useRig();

/** Slowly: whether one of the buffers completed by going from `old` to `next` is the one waited for. */
function passes(event: number, old: number, next: number): boolean {
  for (let index = old; index !== next; index = (index + 1) & 0xffff) if (index === event) return true;
  return false;
}

/** Sender and receiver whose buffers stay where they are, so that any number of frames costs no memory. */
class Endless {
  readonly sender: TestGuest;
  readonly receiver: TestGuest;
  private readonly data: number;

  constructor(
    private readonly rig: Rig,
    features: readonly number[],
  ) {
    this.sender = rig.guest({ size: SIZE, features });
    this.receiver = rig.guest({ size: SIZE, features });
    this.data = this.sender.alloc(12 + 64);
    this.sender.put(this.data + 12, frame(mac(2), mac(1), 64));
    const buffer = this.receiver.alloc(2048);
    for (let n = 0; n < SIZE; n++) {
      this.receiver.descriptor(this.receiver.receiveq, n, buffer, 2048, 2);
      this.sender.descriptor(this.sender.transmitq, n, this.data, 76);
    }
  }

  /** `count` frames in one burst; the indices of both rings before it. */
  burst(count: number): { old: number; next: number } {
    const old = this.receiver.receiveq.used[1];
    for (let n = 0; n < count; n++) {
      this.receiver.receiveq.push(n);
      this.sender.transmitq.push(n);
    }
    this.receiver.receiveq.publish();
    this.sender.transmitq.publish();
    expect(this.serve()).toBe(count);
    return { old, next: (old + count) & 0xffff };
  }

  /** One turn of the device; the frames fetched. */
  serve(): number {
    return this.rig.move(this.sender, this.receiver);
  }

  /** Moves both rings' indices to `index`, without calls. */
  advanceTo(index: number): void {
    while (this.receiver.receiveq.used[1] !== index) {
      this.burst(Math.min(SIZE, (index - this.receiver.receiveq.used[1]) & 0xffff));
    }
    for (const guest of [this.sender, this.receiver]) clearSignal(guest.callFd);
  }
}

test("with EVENT_IDX the driver is called exactly when used_event is passed, on both rings and across the wrap", () => {
  const ends = new Endless(newRig(), EVENT_IDX);
  const { sender, receiver } = ends;
  ends.advanceTo(65_000);
  let calls = 0;
  for (let n = 0; n < 600; n++) {
    const old = receiver.receiveq.used[1];
    const count = 1 + ((n * 7) % 5);
    // From a little behind the next index to beyond the burst's end.
    const events = [(old - 2 + (n % 10)) & 0xffff, (old - 1 + ((n * 3) % 7)) & 0xffff];
    receiver.receiveq.avail[2 + SIZE] = events[0];
    sender.transmitq.avail[2 + SIZE] = events[1];
    const before = receiver.counters[CALLS];
    const { next } = ends.burst(count);
    expect([clearSignal(receiver.callFd), clearSignal(sender.callFd)]).toEqual(
      events.map((event) => passes(event, old, next)),
    );
    calls += receiver.counters[CALLS] - before;
  }
  expect(receiver.receiveq.used[1]).toBeLessThan(60_000);
  expect(calls).toBeGreaterThan(100);
  expect(calls).toBeLessThan(500);
});

test("with EVENT_IDX a kick is wanted once after arming, and not again, across the wrap", () => {
  const ends = new Endless(newRig(), EVENT_IDX);
  const { sender } = ends;
  ends.advanceTo(65_530);
  for (let n = 0; n < 12; n++) {
    expect(sender.lane.arm()).toBe(false);
    sender.lane.disarm();
    sender.transmitq.push(0);
    expect(sender.transmitq.publish()).toBe(true);
    sender.transmitq.push(1);
    expect(sender.transmitq.publish()).toBe(false);
    // Work that came before arming is seen while arming.
    expect(sender.lane.arm()).toBe(true);
    sender.lane.disarm();
    expect(ends.serve()).toBe(2);
  }
});

test("without EVENT_IDX NO_INTERRUPT keeps the driver from being called, on each ring for itself", () => {
  const ends = new Endless(newRig(), PLAIN);
  const { sender, receiver } = ends;
  for (const flags of [
    [0, 0],
    [VRING_AVAIL_F_NO_INTERRUPT, 0],
    [0, VRING_AVAIL_F_NO_INTERRUPT],
    [VRING_AVAIL_F_NO_INTERRUPT, VRING_AVAIL_F_NO_INTERRUPT],
    // Other bits have no meaning.
    [0xfffe, 0xfffe],
  ]) {
    sender.transmitq.avail[0] = flags[0];
    receiver.receiveq.avail[0] = flags[1];
    ends.burst(3);
    const wanted = flags.map((word) => (word & VRING_AVAIL_F_NO_INTERRUPT) === 0);
    expect([clearSignal(sender.callFd), clearSignal(receiver.callFd)]).toEqual(wanted);
  }
});

test("without EVENT_IDX a kick is wanted while armed only", () => {
  const ends = new Endless(newRig(), PLAIN);
  const { sender } = ends;
  sender.lane.disarm();
  sender.transmitq.push(0);
  expect(sender.transmitq.publish()).toBe(false);
  expect(sender.lane.arm()).toBe(true);
  expect(ends.serve()).toBe(1);
  expect(sender.lane.arm()).toBe(false);
  sender.transmitq.push(0);
  expect(sender.transmitq.publish()).toBe(true);
});

test("one call ends a burst, however many buffers it completed", () => {
  const ends = new Endless(newRig(), PLAIN);
  ends.burst(SIZE);
  expect(ends.receiver.counters[CALLS]).toBe(1);
  expect(ends.sender.counters[CALLS]).toBe(1);
});

test("a ring without a call descriptor is served without calls", () => {
  const ends = new Endless(newRig(), PLAIN);
  for (const ring of [ends.receiver.deliver, ends.receiver.fetch]) if (ring !== null) ring.callFd = -1;
  ends.receiver.open();
  ends.burst(3);
  expect(clearSignal(ends.receiver.callFd)).toBe(false);
  expect(ends.receiver.receiveq.used[1]).toBe(3);
});

test("a transmit queue without a kick descriptor is polled: its lane never agrees to sleep", () => {
  const ends = new Endless(newRig(), PLAIN);
  if (ends.sender.fetch !== null) ends.sender.fetch.kickFd = -1;
  ends.sender.open();
  expect(ends.sender.lane.wakeFd).toBe(-1);
  expect(ends.sender.lane.arm()).toBe(true);
});
