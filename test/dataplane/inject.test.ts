// Frames of the control thread's own: out of one port whole, within its limits, and the sum of frames adds up.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { Fallback } from "../../src/dataplane/fallback.ts";
import { Injector } from "../../src/dataplane/inject.ts";
import { MAX_FRAME } from "../../src/mem/batch.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { type PlanRig, type PortOptions, usePlanRig } from "./rules/plan-rig.ts";

const newRig = usePlanRig();
let rig: PlanRig;
let injector: Injector;
let fallback: Fallback;

function start(...ports: PortOptions[]): void {
  rig = newRig(...ports);
  fallback = new Fallback(rig.windows);
  injector = new Injector(rig.windows);
}

const send = (port: number, bytes: Uint8Array) => injector.send(rig.tables, fallback, port, bytes);

beforeEach(() => start({}, { up: false }, { maxFrame: 100 }, { delivers: false }));
afterEach(() => {
  injector.close();
  fallback.close();
});

test("a frame leaves by its port and by no other, as often as it is sent", () => {
  const [long, short] = [frame(BROADCAST, mac(1), MAX_FRAME, 1), frame(mac(2), mac(1), 60, 2)];
  send(0, long);
  send(0, short);
  expect(rig.lanes.map(({ frames }) => frames)).toEqual([[long, short], [], [], []]);
});

test("a port that is down, takes shorter frames only or does not deliver drops it as it would any other", () => {
  for (const port of [1, 2, 3]) send(port, frame(BROADCAST, mac(1), 101));
  expect([1, 2, 3].map((port) => rig.drops(port))).toEqual([{ link_down: 1 }, { oversized: 1 }, { link_down: 1 }]);
  send(2, frame(BROADCAST, mac(1), 100));
  expect(rig.lanes[2].frames).toHaveLength(1);
});

test("a port that there is not is sent nothing, and neither is a frame that no port could take", () => {
  send(9, frame(BROADCAST, mac(1)));
  expect(() => send(0, new Uint8Array(MAX_FRAME + 1))).toThrow("cannot be sent");
  expect(rig.lanes.map(({ frames }) => frames.length)).toEqual([0, 0, 0, 0]);
});
