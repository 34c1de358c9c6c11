// Policing and shaping in a running switch, by its own clock: what is shaped arrives, later, also where the worker has nothing else to
// wake it; what waits ends as its port ends; what limits count is seen. To the frame it is for test/dataplane/bridge/queues.test.ts.

import { describe, expect, test } from "bun:test";
import type { PortSettings } from "../../../src/control/policy/named-policy.ts";
import { mac, numbered, readNumbered } from "../../support/frames.ts";
import { type MemorySwitch, useMemorySwitch } from "../../support/memory-switch.ts";
import { until } from "../../support/until.ts";

const start = useMemorySwitch();

const upTo = (count: number) => Array.from({ length: count }, (_, k) => k);
const numbers = (list: Uint8Array[]) => list.map((it) => readNumbered(it)!.number);

function put(it: MemorySwitch, ports: Record<string, PortSettings>): Promise<void> {
  return it.api.policy.set({ ports: new Map(Object.entries(ports)), vlans: [], mirrors: [] });
}

const SIZE = 64;
/** Tokens for so many frames, and for the next one in some minutes. */
const only = (count: number) => ({ unit: "bits", rate: 1, burst: count * SIZE * 8 }) as const;
const SHUT: PortSettings = { shape: only(1) };

/** Sends so many frames from a, of which all but the burst of one wait for b. */
async function fill(it: MemorySwitch, count: number): Promise<void> {
  it.send("a", ...upTo(count).map((n) => numbered(mac(9), mac(1), 0, n)));
  expect(numbers(await it.receive("b", 1))).toEqual([0]);
  await until("the rest to wait", () => it.api.port("b").limits?.shape.waiting === count - 1);
}

describe.each(["adaptive", "interrupt", "busy"] as const)("a worker that polls %s", (poll) => {
  test("wakes for frames that wait, and keeps the rate", async () => {
    const it = await start({ poll }, "a", "b");
    await put(it, { b: { shape: { unit: "frames", rate: 100, burst: 1 } } });
    const startMs = performance.now();
    it.send("a", ...upTo(20).map((n) => numbered(mac(9), mac(1), 0, n)));
    expect(numbers(await it.receive("b", 20))).toEqual(upTo(20));
    // Less is never right; more is for a machine that is busy.
    expect(performance.now() - startMs).toBeGreaterThan((20 - 2) * 10);
    // Counted when the frames have left.
    await until("none to wait", () => it.api.port("b").limits?.shape.waiting === 0);
    expect(it.api.port("b").limits?.shape).toEqual({ frames: 20, bytes: 20 * SIZE, dropped: 0, waiting: 0 });
    expect(it.api.stats().totals.dropped).toBe(0);
  });
});

test("a rate of less than a millisecond a frame is kept, too, without room to save tokens up", async () => {
  const it = await start({}, "a", "b");
  await put(it, { b: { shape: { unit: "frames", rate: 5000, burst: 1 } } });
  const startMs = performance.now();
  for (let round = 0; round < 4; round++) {
    it.send("a", ...upTo(100).map((n) => numbered(mac(9), mac(1), 0, n)));
    expect(numbers(await it.receive("b", 100))).toEqual(upTo(100));
  }
  expect(performance.now() - startMs).toBeGreaterThan((400 - 2) * 0.2);
});

test("two workers share a shape's tokens to the last", async () => {
  const it = await start({ cpus: [0, 1] }, "a", "c", "b");
  expect(new Set(["a", "c"].map((name) => it.api.port(name).queues[0].worker))).toEqual(new Set([0, 1]));
  await put(it, { b: { shape: only(30) } });
  for (const [k, name] of ["a", "c"].entries()) {
    it.send(name, ...upTo(50).map((n) => numbered(mac(9), mac(k + 1), k, n)));
  }
  await it.receive("b", 30);
  await until("the rest to wait", () => it.api.port("b").limits?.shape.waiting === 100 - 30);
  expect(it.api.port("b").limits?.shape.frames).toBe(30);
  await put(it, { b: { shape: { unit: "frames", rate: 1e6, burst: 100 } } });
  expect(await it.receive("b", 70)).toHaveLength(70);
});

test("two workers share a shape evenly, short frames of one and long ones of the other", async () => {
  const it = await start({ cpus: [0, 1] }, "a", "c", "b");
  // Slow enough that queues stay full while this thread does not come.
  await put(it, { b: { shape: { unit: "bits", rate: 800_000, burst: 2 * 1514 * 8 } } });
  const sizes = [64, 1514];
  const got = [0, 0];
  const enough = () => {
    for (const [k, name] of ["a", "c"].entries()) {
      const next = numbered(mac(9), mac(k + 1), k, 0, sizes[k]);
      for (let n = 0; n < 32 && it.trySend(name, next); n++);
    }
    for (const { frame } of it.drain("b")) got[readNumbered(frame)!.sender] += frame.length;
    return got[0] + got[1] > 60_000;
  };
  await until("60 kB at b", enough, { everyMs: 1, context: () => `${got}` });
  expect(got[0] / (got[0] + got[1])).toBeGreaterThan(0.25);
  expect(got[1] / (got[0] + got[1])).toBeGreaterThan(0.25);
  await put(it, {});
  await it.settled();
});

describe("what waits", () => {
  test("leaves when its port has no shape any more", async () => {
    const it = await start({}, "a", "b");
    await put(it, { b: SHUT });
    await fill(it, 10);
    await put(it, {});
    expect(numbers(await it.receive("b", 9))).toEqual(upTo(10).slice(1));
    expect(it.api.port("b").limits).toBeUndefined();
  });

  test("is dropped where the link goes down", async () => {
    const it = await start({}, "a", "b");
    await put(it, { b: SHUT });
    await fill(it, 10);
    await it.api.setPort("b", { link: "down" });
    await it.settled();
    expect(it.drops("b")).toEqual({ link_down: 9 });
  });

  test("is dropped where the port is removed, and the port that comes in its place gets nothing of it", async () => {
    const it = await start({}, "a", "b");
    await put(it, { b: SHUT });
    await fill(it, 10);
    await it.api.removePort("b");
    expect(it.api.stats().totals).toMatchObject({ rxFrames: 10, txFrames: 1, dropped: 9 });
    await it.add("b");
    expect(it.api.port("b").limits?.shape).toEqual({ frames: 0, bytes: 0, dropped: 0, waiting: 0 });
    it.send("a", numbered(mac(9), mac(1), 0, 99));
    expect(numbers(await it.receive("b", 1))).toEqual([99]);
  });

  test("is dropped at the end of the switch, which does not wait for it", async () => {
    const it = await start({}, "a", "b");
    await put(it, { b: SHUT });
    await fill(it, 10);
    await it.api.close();
    const { rxFrames, copies, txFrames, dropped } = it.api.stats().totals;
    expect([rxFrames, copies, txFrames, dropped]).toEqual([10, 0, 1, 9]);
  });
});

test("a port that is policed says how much met the limit, and what exceeded it", async () => {
  const it = await start({ cpus: [0, 1] }, "a", "b");
  await put(it, { a: { police: only(5) } });
  it.send("a", ...upTo(8).map((n) => numbered(mac(9), mac(1), 0, n)));
  await it.settled();
  expect(numbers(it.drain("b").map(({ frame }) => frame))).toEqual(upTo(5));
  expect(it.api.port("a").limits).toEqual({ police: { frames: 8, bytes: 8 * SIZE, dropped: 3 } });
  expect(it.drops("a")).toEqual({ policed: 3 });
  expect(it.api.port("b").limits).toBeUndefined();
});
