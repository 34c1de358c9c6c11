// Storm control: of what a port sends and would be flooded, each class has its own limit; the time is the test's.

import { afterEach, beforeEach, expect, type Mock, spyOn, test } from "bun:test";
import fc from "fast-check";
import { BUCKET_STORM_BROADCAST, bucketOf } from "../../../src/dataplane/bridge/bridge-memory.ts";
import type { PortPolicy, Rate } from "../../../src/dataplane/bridge/policy.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES } from "../../../src/dataplane/rules/plan-layout.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { BROADCAST, frame, type Mac, mac } from "../../support/frames.ts";
import { type PlanRig, usePlanRig } from "../rules/plan-rig.ts";

const GROUP: Mac = [0x01, 0, 0x5e, 0, 0, 5];
const UNKNOWN = mac(99);
const SIZE = 100;
const rigOf = usePlanRig();

let nowMs = 0;
let clock: Mock<typeof performance.now>;
beforeEach(() => {
  nowMs = 1_000_000;
  clock = spyOn(performance, "now").mockImplementation(() => nowMs);
});
afterEach(() => clock.mockRestore());

const frames = (rate: number, burst: number): Rate => ({ unit: "frames", rate, burst });
const bits = (rate: number, burst: number): Rate => ({ unit: "bits", rate, burst });

/** Sends so many frames of a class and says how many came out. */
function sent(rig: PlanRig, to: Mac, count: number): number {
  let arrived = 0;
  for (let left = count; left > 0; left -= BURST) {
    arrived += rig.send(0, ...Array<Uint8Array>(Math.min(left, BURST)).fill(frame(to, mac(1), SIZE)))[1].length;
  }
  return arrived;
}

const CLASSES: [string, keyof PortPolicy, Mac][] = [
  ["broadcast", "stormBroadcast", BROADCAST],
  ["multicast", "stormMulticast", GROUP],
  ["unknown unicast", "stormUnknown", UNKNOWN],
];

test.each(CLASSES)("frames per second, with a burst: %s; other classes and other ports are free", (_, key, to) => {
  const rig = rigOf({}, {});
  rig.policy({ 0: { [key]: frames(100, 20) } });
  expect(sent(rig, to, 200)).toBe(20);
  expect(rig.drops(0)).toEqual({ storm: 180 });
  nowMs += 50;
  expect(sent(rig, to, 200)).toBe(5);
  nowMs += 10_000;
  expect(sent(rig, to, 200)).toBe(20);
  for (const [, , other] of CLASSES) if (other !== to) expect(sent(rig, other, 200)).toBe(200);
  expect(rig.send(1, ...Array<Uint8Array>(BURST).fill(frame(to, mac(2))))[0]).toHaveLength(BURST);
});

test.each(CLASSES)("bits per second: %s", (_, key, to) => {
  const rig = rigOf({}, {});
  rig.policy({ 0: { [key]: bits(8 * SIZE * 100, 8 * SIZE * 20) } });
  expect(sent(rig, to, 200)).toBe(20);
  nowMs += 50;
  expect(sent(rig, to, 200)).toBe(5);
});

test("what goes to a known station is no storm", () => {
  const rig = rigOf({}, {});
  rig.station(UNKNOWN, 1);
  rig.policy({ 0: { stormUnknown: frames(1, 1) } });
  expect(sent(rig, UNKNOWN, 200)).toBe(200);
});

test("each class is counted where an operator looks", () => {
  const rig = rigOf({}, {});
  rig.policy({ 0: { stormBroadcast: frames(100, 20) } });
  sent(rig, BROADCAST, 50);
  const bucket = bucketOf(0, BUCKET_STORM_BROADCAST);
  const counted = [ROW_FRAMES, ROW_BYTES, ROW_DROPPED].map((column) => rig.bridgeMemory.counted(bucket, column));
  expect(counted).toEqual([50, 50 * SIZE, 30]);
});

test("at any pace no more gets through than burst and rate allow, and no less where enough is sent", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 1, max: BURST })), {
    minLength: 5,
    maxLength: 30,
  });
  const rig = rigOf({}, {});
  fc.assert(
    fc.property(steps, fc.constantFrom(7, 100, 1000), fc.integer({ min: 1, max: 50 }), (pace, rate, burst) => {
      // All buckets are full again.
      nowMs += 1_000_000_000;
      rig.policy({ 0: { stormBroadcast: frames(rate, burst) } });
      const model = { tokens: burst, atMs: nowMs };
      for (const [waitMs, count] of pace) {
        nowMs += waitMs;
        model.tokens = Math.min(burst, model.tokens + ((nowMs - model.atMs) * rate) / 1000);
        model.atMs = nowMs;
        // What a double loses of a token may come one step later.
        const passed = sent(rig, BROADCAST, count);
        expect(passed).toBeGreaterThanOrEqual(Math.min(count, Math.floor(model.tokens - 1e-3)));
        expect(passed).toBeLessThanOrEqual(Math.min(count, Math.floor(model.tokens + 1e-3)));
        model.tokens -= passed;
      }
    }),
    { numRuns: 30 },
  );
});
