// Queues when policies change, and at their end: what waits goes by the new rate, or leaves, or is dropped and counted.

import { describe, expect, test } from "bun:test";
import { BUCKET_SHAPE, bucketOf, ROW_WAITING } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { Rate } from "../../../src/dataplane/bridge/policy.ts";
import { useTestClock } from "../../support/clock.ts";
import { mac, numbered, readNumbered } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";

const rigWith = usePlanRig();
const useClock = useTestClock();

const frames = (rate: number, burst: number): Rate => ({ unit: "frames", rate, burst });
/** A bucket that nobody lives to see full again. */
const NONE = 1e-6;

const some = (count: number, first = 0, size = 64, sender = 1) =>
  Array.from({ length: count }, (_, k) => numbered(mac(99), mac(sender), 0, first + k, size));
const numbers = (list: Uint8Array[]) => list.map((it) => readNumbered(it)!.number);

describe("a policy that changes", () => {
  test("holds for what waits: rate and scheduler", () => {
    const clock = useClock();
    const rig = rigWith({}, {}, {});
    const from = { 0: { priority: 0 }, 2: { priority: 7 } };
    rig.policy({ ...from, 1: { shape: frames(NONE, 4), scheduler: [1, 1, 1, 1, 1, 1, 1, 1] } });
    rig.send(0, ...some(6, 0, 1514));
    rig.send(2, ...some(6, 10, 1514, 2));
    expect(numbers(rig.drain()[1])).toEqual([10, 0, 11, 1]);
    rig.policy({ ...from, 1: { shape: frames(1000, 10) } });
    expect(rig.drain()[1]).toEqual([]);
    clock.pass(5);
    expect(numbers(rig.drain()[1])).toEqual([12, 13, 14, 15, 2]);
  });

  test.each([
    ["has no shape", {}],
    ["is of other ports", { 0: { isolated: true } }],
  ])("that %s lets go at once of what waits, before what comes later", (_, ports) => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(NONE, 1) } });
    rig.send(0, ...some(10));
    expect(rig.drain()[1]).toHaveLength(1);
    rig.lanes[1].given.length = 0;
    rig.policy(ports);
    expect(numbers(rig.lanes[1].frames)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(rig.bridgeMemory.counted(bucketOf(1, BUCKET_SHAPE), ROW_WAITING)).toBe(0);
    expect(rig.tables.queues).toBeNull();
    expect(numbers(rig.send(0, ...some(3, 50))[1])).toEqual([50, 51, 52]);
  });

  test("to none at all does, too", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 1: { shape: frames(NONE, 1) } });
    rig.send(0, ...some(10));
    rig.open(null);
    expect(rig.lanes[1].frames).toEqual(some(10));
    expect(rig.tables.queues).toBeNull();
  });

  test("gives memory back, and takes it anew", () => {
    useClock();
    const rig = rigWith({}, {});
    const windows = () => rig.windows.size.reduce((count, size) => count + (size > 0 ? 1 : 0), 0);
    rig.policy({ 1: { isolated: true } });
    const before = windows();
    for (let round = 0; round < 3; round++) {
      rig.policy({ 0: { shape: frames(1, 1) }, 1: { shape: frames(1, 1) } });
      expect(windows()).toBe(before + 2);
      rig.policy({ 1: { isolated: true } });
      expect(windows()).toBe(before);
    }
  });
});

test("what waits when the worker ends is dropped, and counted", () => {
  useClock();
  const rig = rigWith({}, {});
  rig.policy({ 1: { shape: frames(NONE, 1) } });
  rig.send(0, ...some(10));
  rig.endQueues();
  expect(rig.drops(1)).toEqual({ link_down: 10 });
});
