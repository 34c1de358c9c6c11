// What a timed breath says: each nanosecond belongs to the stage whose work took it, whichever way the frames go, and now and then
// a worker times one. The clock is the test's: it goes on only where a stage's work calls it.

import { afterEach, describe, expect, spyOn, test } from "bun:test";
import { OneWorker, RING } from "../../bench/one-worker.ts";
import { timedBreaths } from "../../src/control/switch-stats.ts";
import { TIMED_EVERY, TIMED_RUN } from "../../src/dataplane/breathe.ts";
import { BURST } from "../../src/mem/batch.ts";
import { DELIVER_CALL } from "../../src/mem/lane-state.ts";
import type { Lane } from "../../src/ports/port.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function startWorker(): OneWorker {
  const worker = new OneWorker(64);
  ends.push(() => worker.close());
  worker.fill(0, 1);
  while (worker.breath(false) > 0);
  worker.rewind();
  return worker;
}

/** A clock that stands still until `pass`, or until it is looked at for `lookNs`. */
function useClock(lookNs = 0): { pass(ns: number): void } {
  let nowNs = 1000;
  const clock = spyOn(Bun, "nanoseconds").mockImplementation(() => {
    nowNs += lookNs;
    return nowNs;
  });
  ends.push(() => clock.mockRestore());
  return {
    pass(ns) {
      nowNs += ns;
    },
  };
}

/** Each call of the method takes so long, before it does its work. */
function slow(lane: Lane, name: "fetch" | "deliver" | "release", take: () => void): void {
  const method = lane[name].bind(lane) as (...args: unknown[]) => number;
  Object.assign(lane, {
    [name](...args: unknown[]) {
      take();
      return method(...args);
    },
  });
}

describe.each([
  ["without rules", []],
  ["with rules", ["prio 1 in p0 ip drop", "prio 2 in p0 allow"]],
])("a breath %s", (_, rules) => {
  test("gives each stage its time", async () => {
    const worker = startWorker();
    if (rules.length > 0) await worker.rules(rules);
    const clock = useClock();
    const [from, to] = worker.tables.inLanes;
    slow(from, "fetch", () => clock.pass(100));
    slow(to, "deliver", () => clock.pass(2_000));
    slow(from, "release", () => clock.pass(30_000));
    // Polling the other port, too.
    slow(to, "fetch", () => clock.pass(7));
    // What the judges of frames leave behind, and the deliveries ask for.
    const longest = {
      get() {
        clock.pass(400_000);
        return 64;
      },
      set() {},
    };
    Object.defineProperty(worker.tables, "longest", longest);
    // Before and after deliveries.
    const { floodCount } = worker.tables;
    const ports = {
      get() {
        clock.pass(400_000);
        return floodCount;
      },
    };
    Object.defineProperty(worker.tables, "floodCount", ports);
    worker.show(BURST);
    expect(worker.breath(true)).toBe(BURST);
    const timed = timedBreaths(worker.numbers);
    expect(timed).toMatchObject({ breaths: 1, frames: BURST, fetchNs: 107, copyNs: 2_000, publishNs: 30_000 });
    expect(timed.classifyNs).toBeGreaterThanOrEqual(400_000);
    expect(timed.classifyNs % 400_000).toBe(0);
  });
});

test("telling the receiver is publish, within its lane's delivery", () => {
  const worker = startWorker();
  const clock = useClock();
  const [, to] = worker.tables.inLanes;
  const { deliverer } = to as unknown as { deliverer: { state: Int32Array; counters: Float64Array } };
  const state = new Proxy(deliverer.state, {
    get(words, index) {
      // Whom to call is asked when the used index has been published.
      if (Number(index) === DELIVER_CALL) clock.pass(5);
      return words[Number(index)];
    },
    set: (words, index, value) => Reflect.set(words, index, value, words),
  });
  const counters = new Proxy(deliverer.counters, {
    get: (row, index) => row[Number(index)],
    set(row, index, value) {
      clock.pass(300);
      return Reflect.set(row, index, value, row);
    },
  });
  Object.assign(deliverer, { state, counters });
  worker.show(BURST);
  worker.breath(true);
  // Frames and bytes are counted behind that.
  expect(timedBreaths(worker.numbers)).toMatchObject({ fetchNs: 0, classifyNs: 0, copyNs: 600, publishNs: 5 });
});

test("a look at the clock is no stage's time", () => {
  const worker = startWorker();
  useClock(30);
  worker.show(BURST);
  worker.breath(true);
  const nothing = { fetchNs: 0, classifyNs: 0, copyNs: 0, publishNs: 0 };
  expect(timedBreaths(worker.numbers)).toEqual({ breaths: 1, frames: BURST, ...nothing });
});

describe("not counted is a breath", () => {
  test("that moved nothing", () => {
    const worker = startWorker();
    useClock();
    expect(worker.breath(true)).toBe(0);
    expect(timedBreaths(worker.numbers).breaths).toBe(0);
  });

  test.each(["fetch", "release"] as const)("in which the thread lost its processor, in %s", (stage) => {
    const worker = startWorker();
    const clock = useClock();
    const [from] = worker.tables.inLanes;
    slow(from, stage, () => clock.pass(6e6));
    worker.show(BURST);
    expect(worker.breath(true)).toBe(BURST);
    expect(timedBreaths(worker.numbers)).toMatchObject({ breaths: 0, frames: 0 });
  });
});

test("a worker times some in a row of every so many that move frames, and counts all but the first of them", () => {
  const worker = startWorker();
  useClock();
  const periods = 2;
  let busy = 0;
  while (busy < periods * TIMED_EVERY) {
    worker.rewind();
    for (let k = 0; k < RING && busy < periods * TIMED_EVERY; k++) {
      worker.show(1);
      busy += worker.breath();
      expect(worker.breath()).toBe(0);
    }
  }
  const counted = periods * (TIMED_RUN - 1);
  expect(timedBreaths(worker.numbers)).toMatchObject({ breaths: counted, frames: counted });
});
