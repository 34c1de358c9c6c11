// Workers that share a shaped port: two of them in one thread, by turns and by a clock of the test's own. That a switch's workers do so,
// too, is for test/control/policy/limits.test.ts.

import { afterEach, describe, expect, test } from "bun:test";
import { BridgeMemory } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { PortPolicy, Rate } from "../../../src/dataplane/bridge/policy.ts";
import { Shares, sharesSize, takeShare } from "../../../src/dataplane/bridge/queue-shares.ts";
import { BUCKET_SIZE, Meters } from "../../../src/dataplane/rules/meter.ts";
import { useTestClock } from "../../support/clock.ts";
import { frame, mac } from "../../support/frames.ts";
import { PlanRig } from "../rules/plan-rig.ts";

const useClock = useTestClock();

const PER_MS = 1000;
const BITS: Rate = { unit: "bits", rate: PER_MS * 8000, burst: 16_000 * 8 };
const SHORT = 64;
const LONG = 1514;

/** One worker of those that share a port, with senders that never stop. */
class Sharer {
  readonly rig: PlanRig;
  frames = 0;
  bytes = 0;
  /** Port 0 sends by priority 0, port 2 by 5. */
  port = 0;

  constructor(
    private readonly size: number,
    worker: number,
    memory: BridgeMemory,
    policy: Partial<PortPolicy>,
  ) {
    this.rig = new PlanRig([{}, {}, {}], worker, memory);
    this.rig.policy({ 1: policy, 2: { priority: 5 } });
    this.rig.station(mac(99), 1);
  }

  /** As many frames as find room come in; then what tokens allow leaves. */
  breathe(): void {
    this.give(8);
    this.rig.drain();
    this.count();
  }

  give(count: number): void {
    this.rig.send(this.port, ...Array.from({ length: count }, () => frame(mac(99), mac(1), this.size)));
    this.count();
  }

  private count(): void {
    const got = this.rig.lanes[1].frames;
    this.frames += got.length;
    this.bytes += got.reduce((sum, { length }) => sum + length, 0);
  }

  reset(): void {
    this.frames = 0;
    this.bytes = 0;
  }
}

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0).reverse()) close();
});

/** Workers with frames of these sizes. */
function sharers(policy: Partial<PortPolicy>, ...sizes: number[]): Sharer[] {
  const memory = new BridgeMemory(sizes.length);
  closing.push(() => memory.close());
  return sizes.map((size, worker) => {
    const sharer = new Sharer(size, worker, memory, policy);
    closing.push(() => sharer.rig.close());
    return sharer;
  });
}

/** Lets so many milliseconds pass in steps of a tenth; each of `active` has a turn in each step. */
function pass(clock: { pass(ms: number): void }, ms: number, ...active: Sharer[]): void {
  for (let step = 0; step < ms * 10; step++) {
    clock.pass(0.1);
    for (const sharer of active) sharer.breathe();
  }
}

/** What each had of what all had. */
function parts(all: readonly Sharer[], of: "bytes" | "frames" = "bytes"): number[] {
  const sum = all.reduce((total, sharer) => total + sharer[of], 0);
  return all.map((sharer) => sharer[of] / sum);
}

describe("what a port may send is shared out evenly", () => {
  test.each([[[SHORT, LONG]], [[LONG, SHORT]], [[SHORT, LONG, 400]], [[LONG, LONG]], [[9000, SHORT]]])(
    "in bytes, whatever the sizes: %p",
    (sizes) => {
      const clock = useClock();
      const all = sharers({ shape: BITS }, ...sizes);
      pass(clock, 600, ...all);
      for (const part of parts(all)) expect(part).toBeCloseTo(1 / sizes.length, 1);
      expect(all.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(600 * PER_MS * 0.99);
    },
  );

  test("where queues take turns by weights, too", () => {
    const clock = useClock();
    const all = sharers({ shape: BITS, scheduler: [1, 1, 1, 1, 1, 8, 1, 1] }, SHORT, LONG);
    all[0].port = 2;
    pass(clock, 600, ...all);
    expect(parts(all)[0]).toBeCloseTo(0.5, 1);
  });

  test("in frames, where the rate is in frames", () => {
    const clock = useClock();
    const all = sharers({ shape: { unit: "frames", rate: 5000, burst: 64 } }, SHORT, LONG);
    pass(clock, 600, ...all);
    expect(parts(all, "frames")[0]).toBeCloseTo(0.5, 1);
  });

  test("also with a bucket that holds less than the longest frame", () => {
    const clock = useClock();
    const all = sharers({ shape: { ...BITS, burst: 1000 * 8 } }, SHORT, LONG);
    pass(clock, 600, ...all);
    expect(parts(all)[0]).toBeGreaterThan(0.4);
    expect(parts(all)[1]).toBeGreaterThan(0.4);
  });
});

test("a higher priority goes first, whichever worker has it", () => {
  const clock = useClock();
  const all = sharers({ shape: BITS }, SHORT, LONG);
  all[1].port = 2;
  pass(clock, 100, ...all);
  for (const sharer of all) sharer.reset();
  pass(clock, 300, ...all);
  // The other has what is there beyond the tokens that are kept for the next frame.
  expect(parts(all)[1]).toBeGreaterThan(0.95);
});

test("what went first by its priority is not held against what comes behind it", () => {
  const clock = useClock();
  const all = sharers({ shape: BITS }, SHORT, LONG);
  all[1].port = 2;
  pass(clock, 300, ...all);
  all[1].port = 0;
  // The last of the others leave.
  pass(clock, 150, ...all);
  for (const sharer of all) sharer.reset();
  pass(clock, 200, ...all);
  expect(parts(all)[1]).toBeCloseTo(0.5, 1);
});

test("nor against what comes beside it: two halve what it leaves", () => {
  const clock = useClock();
  const all = sharers({ shape: BITS }, LONG, LONG);
  for (let step = 0; step < 3000; step++) {
    clock.pass(0.1);
    if (step % 3 === 0) all[0].rig.send(2, frame(mac(99), mac(1), SHORT));
    for (const sharer of all) sharer.breathe();
  }
  const first = SHORT / 0.3 / PER_MS;
  expect(parts(all)[1]).toBeCloseTo((1 - first) / 2, 1);
});

test("who comes after others had three gigabytes waits for a frame of theirs, not for a gigabyte", () => {
  const memory = new ArrayBuffer(BUCKET_SIZE);
  const [tokens, filled] = [new Int32Array(memory), new Float64Array(memory)];
  const meters = new Meters(Float64Array.of(0, 1, PER_MS, 1e9), tokens, filled, new Float64Array(8));
  const words = new Int32Array(sharesSize(2) / 4);
  const [late, early] = [0, 1].map((worker) => new Shares(words, 2, worker));
  const sends = (shares: Shares) => takeShare(shares, 3, meters, 0, LONG, 0);
  const has = (count: number) => {
    tokens[0] = count;
  };
  for (let gigabyte = 0; gigabyte < 3; gigabyte++) {
    has(1e9);
    expect(takeShare(early, 3, meters, 0, 1e9, 0)).toBe(true);
  }
  has(0);
  expect([early, late].map(sends)).toEqual([false, false]);
  has(LONG);
  expect(sends(early)).toBe(true);
  expect(sends(early)).toBe(false);
  has(LONG);
  expect(sends(early)).toBe(false);
  expect(sends(late)).toBe(true);
});

test("who was alone owes nothing, and who comes later does not catch up", () => {
  const clock = useClock();
  const all = sharers({ shape: BITS }, SHORT, LONG);
  const [first, second] = all;
  pass(clock, 300, first);
  first.reset();
  pass(clock, 300, first, second);
  expect(parts(all)[1]).toBeCloseTo(0.5, 1);
});

test("one that waits and does not come is kept a frame's tokens, and no more", () => {
  const clock = useClock();
  const [present, absent] = sharers({ shape: BITS }, SHORT, LONG);
  pass(clock, 100, present, absent);
  present.reset();
  pass(clock, 300, present);
  expect(present.bytes).toBeGreaterThan(300 * PER_MS - LONG - SHORT);
});

test("what another worker needs is no longer kept when its frames are gone with the link", () => {
  const clock = useClock();
  const all = sharers({ shape: { ...BITS, burst: LONG * 8 } }, SHORT, LONG);
  const [present, gone] = all;
  pass(clock, 100, ...all);
  gone.rig.setUp(1, false);
  gone.rig.drain();
  present.reset();
  pass(clock, 100, present);
  expect(present.bytes).toBeGreaterThan(100 * PER_MS - LONG - SHORT);
});
