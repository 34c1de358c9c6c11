// Policing: of what comes in at a port, as much passes as its rate brings, and one burst, to a frame. By a clock of the test's own.

import { describe, expect, test } from "bun:test";
import { BUCKET_POLICE, bucketOf } from "../../../src/dataplane/bridge/bridge-memory.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES } from "../../../src/dataplane/rules/plan-layout.ts";
import { useTestClock } from "../../support/clock.ts";
import { BROADCAST, frame, mac } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const rigWith = usePlanRig();
const useClock = useTestClock();

const some = (count: number, size = 100, from = 1) =>
  Array.from({ length: count }, () => frame(mac(99), mac(from), size));

describe("a port that is policed", () => {
  test("takes a burst of frames, and then what its rate brings", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { police: { unit: "frames", rate: 1000, burst: 10 } } });
    expect(rig.send(0, ...some(20))[1]).toHaveLength(10);
    expect(rig.send(0, ...some(5))[1]).toHaveLength(0);
    clock.pass(3);
    expect(rig.send(0, ...some(5))[1]).toHaveLength(3);
    clock.pass(1e6);
    expect(rig.send(0, ...some(20))[1]).toHaveLength(10);
    expect(rig.drops(0)).toEqual({ policed: 10 + 5 + 2 + 10 });
    expect(rig.drops(1)).toEqual({});
  });

  test("has a rate in bits of frames", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    // 1000 bytes a millisecond.
    rig.policy({ 0: { police: { unit: "bits", rate: 8_000_000, burst: 8 * 500 } } });
    expect(rig.send(0, ...some(6, 100))[1]).toHaveLength(5);
    clock.pass(0.25);
    expect(rig.send(0, ...some(1, 251))[1]).toHaveLength(0);
    expect(rig.send(0, ...some(1, 250))[1]).toHaveLength(1);
  });

  test("that counts something else by now owes nothing of before, and has nothing saved up", () => {
    const clock = useClock();
    const rig = rigWith({}, {});
    const bytes = (burst: number) => rig.policy({ 0: { police: { unit: "bits", rate: 8_000_000, burst: 8 * burst } } });
    const frames = () => rig.policy({ 0: { police: { unit: "frames", rate: 1, burst: 3 } } });
    bytes(2000);
    // A super-frame passes when the bucket is full, and leaves a debt of 58,000 bytes.
    expect(rig.send(0, ...some(1, 60_000))[1]).toHaveLength(1);
    frames();
    expect(rig.send(0, ...some(5))[1]).toHaveLength(3);
    clock.pass(1000);
    expect(rig.send(0, ...some(5))[1]).toHaveLength(1);
    bytes(65_536);
    expect(rig.send(0, ...some(1))[1]).toHaveLength(1);
    frames();
    expect(rig.send(0, ...some(20))[1]).toHaveLength(3);
  });

  test("has no more saved up than its burst, once that is smaller", () => {
    useClock();
    const rig = rigWith({}, {});
    const limit = (burst: number) => rig.policy({ 0: { police: { unit: "frames", rate: 0.001, burst } } });
    limit(60);
    expect(rig.send(0, ...some(1))[1]).toHaveLength(1);
    limit(5);
    expect(rig.send(0, ...some(20))[1]).toHaveLength(5);
    limit(60);
    expect(rig.send(0, ...some(20))[1]).toHaveLength(0);
  });

  test("lets others pass, and frames that go to it", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { police: { unit: "frames", rate: 0.001, burst: 1 } } });
    expect(rig.send(1, ...some(50, 100, 2))[0]).toHaveLength(50);
    expect(rig.send(0, ...some(2))[1]).toHaveLength(1);
  });

  test("is limited before rules: what they would forward, and what they drop", () => {
    useClock();
    const rig = rigWith({}, {}, {});
    const police = { unit: "frames", rate: 0.001, burst: 4 } as const;
    rig.policy({ 0: { police } }, {}, rulesOf([1, { "eth.dst": 0x0200_0000_0063 }, { do: "forward", ports: [2] }]));
    expect(rig.send(0, ...some(6)).map((list) => list.length)).toEqual([0, 0, 4]);
    expect(rig.drops(0)).toEqual({ policed: 2 });
    expect(rig.counted(1)[0]).toBe(4);
  });

  test("teaches no address by what is dropped", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { police: { unit: "frames", rate: 0.001, burst: 1 } } });
    rig.send(0, frame(BROADCAST, mac(1)), frame(BROADCAST, mac(9)));
    expect(Object.keys(rig.learned)).toEqual(["02:00:00:00:00:01"]);
  });

  test("says what it has counted: frames and bytes that came, frames dropped", () => {
    useClock();
    const rig = rigWith({}, {});
    rig.policy({ 0: { police: { unit: "frames", rate: 0.001, burst: 3 } } });
    rig.send(0, ...some(5, 200));
    const counted = [ROW_FRAMES, ROW_BYTES, ROW_DROPPED].map((column) =>
      rig.bridgeMemory.counted(bucketOf(0, BUCKET_POLICE), column),
    );
    expect(counted).toEqual([5, 1000, 2]);
    expect(rig.bridgeMemory.counted(bucketOf(1, BUCKET_POLICE), ROW_FRAMES)).toBe(0);
    // What comes at its index next begins anew.
    rig.bridgeMemory.clear(0);
    expect(rig.bridgeMemory.counted(bucketOf(0, BUCKET_POLICE), ROW_FRAMES)).toBe(0);
    expect(rig.send(0, ...some(5))[1]).toHaveLength(3);
  });

  test("keeps its tokens where other policies change", () => {
    useClock();
    const rig = rigWith({}, {});
    const police = { unit: "frames", rate: 0.001, burst: 3 } as const;
    rig.policy({ 0: { police } });
    expect(rig.send(0, ...some(2))[1]).toHaveLength(2);
    rig.policy({ 0: { police, priority: 5 }, 1: { isolated: true } });
    expect(rig.send(0, ...some(2))[1]).toHaveLength(1);
  });
});
