// Ports that the switch holds down, with a clock of the test's own: for how long, what ends it, what is counted and said.

import { beforeEach, expect, test } from "bun:test";
import { PortBlocks } from "../../../src/control/policy/port-blocks.ts";

const INDEX = 3;

let nowMs: number;
let recoverS: number;
let there: boolean;
/** What the port was told, in order. */
let told: string[];
let logged: [string, Record<string, unknown>][];
let blocks: PortBlocks;

beforeEach(() => {
  [nowMs, recoverS, there, told, logged] = [5_000, 30, true, [], []];
  const port = { spec: { name: "vm1" }, block: () => told.push("block"), unblock: () => told.push("unblock") };
  const say = (facts: Record<string, unknown>, message: string) => logged.push([message, facts]);
  blocks = new PortBlocks({
    nowMs: () => nowMs,
    port: (index) => (there && index === INDEX ? port : undefined),
    recoverS: () => recoverS,
    log: { info: say, warn: say, error: say },
  });
});

test("a blocked port is told so once, says how long, and is counted", () => {
  expect(blocks.info(INDEX)).toEqual({});
  expect(blocks.block(INDEX, "loop", "a loop", { from: "vm2" })).toBe(true);
  expect(blocks.block(INDEX, "mac-limit", "another reason")).toBe(false);
  expect(told).toEqual(["block"]);
  expect(logged).toEqual([["a loop: the port is blocked", { port: "vm1", from: "vm2", next: "tried again in 30 s" }]]);
  nowMs += 28_500;
  expect(blocks.info(INDEX)).toEqual({ blocked: "loop", retryS: 2, blocks: 1 });
  expect(blocks.reason(INDEX)).toBe("loop");
});

test("it is tried again when its time has come, and not before", () => {
  blocks.block(INDEX, "loop", "a loop");
  nowMs += 29_999;
  blocks.retry();
  expect(told).toEqual(["block"]);
  nowMs += 1;
  blocks.retry();
  expect(told).toEqual(["block", "unblock"]);
  expect(blocks.info(INDEX)).toEqual({ blocks: 1 });
  blocks.block(INDEX, "mac-limit", "too many");
  expect(blocks.info(INDEX)).toEqual({ blocked: "mac-limit", retryS: 30, blocks: 2 });
});

test("with recover 0 it waits for an operator, and says which command", () => {
  recoverS = 0;
  blocks.block(INDEX, "loop", "a loop");
  expect(logged[0][1].next).toBe("ringyard port set vm1 link=up");
  nowMs += 1e9;
  blocks.retry();
  expect(blocks.info(INDEX)).toEqual({ blocked: "loop", blocks: 1 });
  expect(blocks.release(INDEX)).toBe(true);
  expect(blocks.release(INDEX)).toBe(false);
  expect(told).toEqual(["block", "unblock"]);
});

test("a changed policy counts from when it was blocked, and ends what it does not ask for", () => {
  blocks.block(INDEX, "loop", "a loop");
  nowMs += 10_000;
  recoverS = 15;
  expect(blocks.info(INDEX).retryS).toBe(5);
  blocks.releaseUnless((index, reason) => index === INDEX && reason === "loop");
  expect(told).toEqual(["block"]);
  blocks.releaseUnless((_, reason) => reason === "mac-limit");
  expect(told).toEqual(["block", "unblock"]);
});

test("what was blocked under an index that another port has now is forgotten", () => {
  blocks.block(INDEX, "loop", "a loop");
  blocks.forget(INDEX);
  nowMs += 1e9;
  blocks.retry();
  expect(told).toEqual(["block"]);
  expect(blocks.info(INDEX)).toEqual({});
});

test("a port that is not there is not blocked, and one that went is not told", () => {
  there = false;
  expect(blocks.block(INDEX, "loop", "a loop")).toBe(false);
  expect(blocks.info(INDEX)).toEqual({});
  there = true;
  blocks.block(INDEX, "loop", "a loop");
  there = false;
  nowMs += 1e9;
  blocks.retry();
  expect(told).toEqual(["block"]);
});
