// The worker's loop allocates nothing: under a steady load, JavaScriptCore's own log (BUN_JSC_logGC=1) shows no collection
// of any worker's heap. How it is told:
//
// - Each thread has a heap of its own, and the log names it by its address. A worker's heap is the one that says "shutdown"
//   when its thread ends; the main thread's, which allocates for every frame it sends, never does.
// - By itself a collector waits for megabytes. gcMaxHeapSize makes it run after every 128 KiB that a heap was given: at the
//   least rate that the test takes for a load, 5 bytes per frame would show (the smallest object has 16).
// - The time is cut into windows. In the first ones code is compiled, which is allocated too, and how long that takes
//   depends on the machine. So one window without a collection is asked for; a loop that allocates has none such.
//
// How it can fail to see something: allocation that only a rare path does (a reset, a fault of a ring), that only other
// kinds of lanes do, or less of it than the threshold in a window. The canary, one object per burst, shows where the
// method stands: it must be seen in every window.

import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { run } from "../support/process.ts";
import { sized } from "../support/scale.ts";
import { PATIENCE } from "../support/until.ts";

const LOAD = resolve(import.meta.dir, "gc-load.ts");
const WORKER = resolve(import.meta.dir, "../../src/control/worker-entry.ts");
const CANARY = resolve(import.meta.dir, "gc-canary.ts");
const THRESHOLD_SIZE = 128 * 1024;
const WINDOWS = sized(4, 3);
const SECONDS = sized(1.5, 60);
const LEAST_FRAMES = 20_000 * SECONDS;
const LOAD_LIMIT_MS = (WINDOWS * SECONDS + 60) * 1000;
const LIMIT_MS = (LOAD_LIMIT_MS + 10_000) * PATIENCE;

interface Window {
  frames: number;
  /** Collections of workers' heaps, and of all others. */
  workers: number;
  others: number;
}

/** Runs a load; what was collected in each window. */
async function collections(entry: string, workers: number): Promise<Window[]> {
  const argv = [process.execPath, LOAD, entry, String(workers), String(WINDOWS), String(SECONDS)];
  const env = { BUN_JSC_logGC: "1", BUN_JSC_gcMaxHeapSize: String(THRESHOLD_SIZE) };
  const { stderr: log } = await run(argv, { env, timeoutMs: LOAD_LIMIT_MS });
  const heaps = new Set([...log.matchAll(/GC<(\w+)>: shutdown/g)].map((match) => match[1]));
  expect(heaps.size).toBe(workers);
  // Text and frames alternate: before the first mark, 0, in the first window, its frames, ...
  const parts = log.split(/MARK (\d+)\n/);
  return Array.from({ length: WINDOWS }, (_, k) => {
    // Two threads may write on one line, so lines mean nothing.
    const started = [...parts[2 + 2 * k].matchAll(/GC<(\w+)>: START/g)].map((match) => match[1]);
    const inWorkers = started.filter((heap) => heaps.has(heap)).length;
    return { frames: Number(parts[3 + 2 * k]), workers: inWorkers, others: started.length - inWorkers };
  });
}

describe("collections under load", () => {
  for (const workers of [1, 2]) {
    test(
      `none of the heap of ${workers === 1 ? "the worker" : "two workers"}`,
      async () => {
        const windows = await collections(WORKER, workers);
        const clean = windows.filter((window) => window.workers === 0 && window.frames > LEAST_FRAMES);
        expect({ clean: clean.length > 0, windows }).toMatchObject({ clean: true });
        // The log is on: the main thread's allocations are in it.
        for (const window of windows) expect(window.others).toBeGreaterThan(0);
      },
      LIMIT_MS,
    );
  }

  test(
    "some in every window of a worker that makes an object per burst: the canary",
    async () => {
      const windows = await collections(CANARY, 1);
      const missed = windows.filter((window) => window.workers === 0);
      expect({ missed: missed.length, windows }).toMatchObject({ missed: 0 });
    },
    LIMIT_MS,
  );
});
