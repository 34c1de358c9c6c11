// Workers that share a shaped port: two of them in one thread, by turns and by a clock of the test's own. That a switch's workers do so,
// too, is for test/control/policy/limits.test.ts.

import { afterEach, describe, expect, test } from "bun:test";
import { BridgeMemory } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { PortPolicy, Rate } from "../../../src/dataplane/bridge/policy.ts";
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
