// How long a worker may sleep while frames wait for tokens. That it does so, and wakes, is for test/control/policy/limits.test.ts.

import { expect, test } from "bun:test";
import type { Rate } from "../../../src/dataplane/bridge/policy.ts";
import { sleepMs } from "../../../src/dataplane/bridge/queue-drain.ts";
import { useTestClock } from "../../support/clock.ts";
import { frame, mac } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";

const rigWith = usePlanRig();
const useClock = useTestClock();

const frames = (rate: number, burst: number): Rate => ({ unit: "frames", rate, burst });
const some = (count: number) => Array.from({ length: count }, () => frame(mac(99), mac(1), 1000));

/** What a worker is told that has sent what it could of some frames to ports of these shapes. */
function slept(...shapes: Rate[]): number {
  const rig = rigWith({}, ...shapes.map(() => ({})));
  rig.policy(Object.fromEntries(shapes.map((shape, k) => [k + 1, { shape }])));
  rig.send(0, ...some(40));
  rig.drain();
  const { queues } = rig.tables;
  return sleepMs(queues!);
}

test.each([
  ["until there is a token", [frames(100, 1)], 10],
  ["until there is a frame's worth of bytes", [{ unit: "bits", rate: 8 * 40_000, burst: 8 * 1000 } as const], 25],
  ["until the first of several ports has one", [frames(20, 1), frames(100, 1), frames(50, 1)], 10],
  ["a millisecond, where tokens are saved up meanwhile", [frames(5000, 32)], 1],
  ["not at all, where they would be lost", [frames(5000, 1)], 0],
  ["a while at most, since the port may go down", [frames(0.001, 1)], 100],
  ["for ever, where nothing waits", [frames(5000, 64)], -1],
])("%s", (_, shapes, expected) => {
  useClock();
  expect(slept(...shapes)).toBe(expected);
});

test("less, when some of the time has passed", () => {
  const clock = useClock();
  const rig = rigWith({}, {});
  rig.policy({ 1: { shape: { unit: "bits", rate: 8 * 100_000, burst: 8 * 1000 } } });
  rig.send(0, ...some(10));
  const told = [0, 1, 2, 3].map(() => {
    rig.drain();
    clock.pass(3);
    return sleepMs(rig.tables.queues!);
  });
  expect(told).toEqual([10, 7, 4, 1]);
});
