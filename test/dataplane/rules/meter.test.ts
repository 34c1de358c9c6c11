// Token buckets by a clock of the test's own: exact to a token over any pattern of frames, and shared by views that are as far
// apart as two workers. That two threads at once take no token twice is at the end.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BUCKET_SIZE, beginTurn, METER_LENGTH, Meters, passMeter } from "../../../src/dataplane/rules/meter.ts";
import { ROW_LENGTH } from "../../../src/dataplane/rules/plan-layout.ts";
import { until } from "../../support/until.ts";
import type { MeterTask } from "./meter-task.ts";

const BUCKET = 1;

/** A worker's view of a bucket in shared memory. */
function view(memory: SharedArrayBuffer, inBytes: boolean, perS: number, burst: number): Meters {
  const specs = Float64Array.of(BUCKET, inBytes ? 1 : 0, perS / 1000, burst);
  expect(specs.length).toBe(METER_LENGTH);
  const counters = new Float64Array(4 * ROW_LENGTH);
  return new Meters(specs, new Int32Array(memory), new Float64Array(memory), counters);
}

function newMemory(tokens: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(4 * BUCKET_SIZE);
  new Int32Array(memory)[(BUCKET * BUCKET_SIZE) / 4] = tokens;
  return memory;
}

describe("a meter of frames", () => {
  test("passes a burst, and then one for each token that time brings", () => {
    const meters = view(newMemory(5), false, 100, 5);
    const passed = (nowMs: number, frames: number) => {
      beginTurn(meters, nowMs);
      return Array.from({ length: frames }, () => passMeter(meters, 0, 60)).filter(Boolean).length;
    };
    expect([passed(1000, 10), passed(1009, 10), passed(1010, 10), passed(1029, 10), passed(1030, 10)]).toEqual([
      5, 0, 1, 1, 1,
    ]);
    // Saved up to the burst and no further.
    expect(passed(5000, 10)).toBe(5);
    expect([...meters.counters.subarray(ROW_LENGTH, ROW_LENGTH + 3)]).toEqual([60, 3600, 60 - 13]);
  });

  test("brings a token at a time however slow it is, looked at however often", () => {
    const meters = view(newMemory(1), false, 0.1, 1);
    const passed: number[] = [];
    for (let nowMs = 1; nowMs < 100_000; nowMs += 7) {
      beginTurn(meters, nowMs);
      if (passMeter(meters, 0, 60)) passed.push(nowMs);
    }
    const gaps = passed.slice(1).map((at, k) => at - passed[k]);
    expect(passed.length).toBe(10);
    for (const gap of gaps) expect(Math.abs(gap - 10_000)).toBeLessThanOrEqual(7);
  });
});

describe("a meter of bits", () => {
  test("lets through, over any time, what its rate brings and one burst, to a frame", () => {
    const burst = 10_000;
    const anyStep = fc.record({
      afterMs: fc.integer({ min: 0, max: 50 }),
      sizes: fc.array(fc.integer({ min: 14, max: 1514 })),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 50 }), fc.integer({ min: 1, max: 2000 }), (steps, bytesPerMs) => {
        const memory = newMemory(burst);
        const workers = [0, 1].map(() => view(memory, true, bytesPerMs * 1000, burst));
        let nowMs = 1000;
        // A bucket as the book has it: in exact numbers, one frame at a time.
        let tokens = burst;
        for (const [k, { afterMs, sizes }] of steps.entries()) {
          nowMs += afterMs;
          tokens = Math.min(burst, tokens + afterMs * bytesPerMs);
          const meters = workers[k % 2];
          beginTurn(meters, nowMs);
          for (const size of sizes) {
            const fits = size <= tokens;
            if (fits) tokens -= size;
            expect(passMeter(meters, 0, size)).toBe(fits);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test("passes a frame that is larger than the bucket when that is full, and makes the next ones wait for it", () => {
    const meters = view(newMemory(1000), true, 1_000_000, 1000);
    const passes = (nowMs: number, size: number) => {
      beginTurn(meters, nowMs);
      return passMeter(meters, 0, size);
    };
    expect([passes(10, 65_000), passes(11, 14), passes(74, 14), passes(75, 1000), passes(75, 14)]).toEqual([
      true,
      false,
      false,
      true,
      false,
    ]);
    expect([passes(76, 65_000), passes(77, 14)]).toEqual([true, false]);
  });
});

test("a clock that is behind another's takes no tokens away and brings none twice", () => {
  const memory = newMemory(10);
  const [ahead, behind] = [0, 1].map(() => view(memory, false, 1000, 10));
  const passed = (meters: Meters, nowMs: number) => {
    beginTurn(meters, nowMs);
    return Array.from({ length: 20 }, () => passMeter(meters, 0, 60)).filter(Boolean).length;
  };
  expect([
    passed(ahead, 100),
    passed(behind, 95),
    passed(behind, 100),
    passed(ahead, 103),
    passed(behind, 102),
  ]).toEqual([10, 0, 0, 3, 0]);
});

test("the worker's own clock brings tokens", async () => {
  const meters = view(newMemory(1), false, 1000, 1);
  beginTurn(meters);
  expect([passMeter(meters, 0, 60), passMeter(meters, 0, 60)]).toEqual([true, false]);
  await until("a token", () => {
    beginTurn(meters);
    return passMeter(meters, 0, 60);
  });
});

test("two threads take no token twice, and none is lost", async () => {
  const frames = 200_000;
  const tokens = 150_000;
  const memory = newMemory(tokens);
  const done = [0, 1].map(() => {
    const worker = new Worker(new URL("./meter-worker.ts", import.meta.url));
    const answer = new Promise<number>((resolve, reject) => {
      worker.onmessage = (event: MessageEvent<number>) => resolve(event.data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    worker.postMessage({ memory, bucket: BUCKET, burst: tokens, frames } satisfies MeterTask);
    return answer.finally(() => worker.terminate());
  });
  const passed = await Promise.all(done);
  expect(passed[0] + passed[1]).toBe(tokens);
}, 30_000);
