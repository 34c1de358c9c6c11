// `ringyard bench`, small: it measures what it says, on any machine, and what it prints are numbers of this machine.

import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { speedText } from "../../src/cli/bench-view.ts";
import { type Speed, wayNs } from "../../src/control/speed.ts";
import { ringyard } from "../support/ringyard.ts";
import { PATIENCE } from "../support/until.ts";

const LIMIT_MS = 60_000 * PATIENCE;

test(
  "measures frames' costs, and latency where there are two processors",
  async () => {
    const { stdout, stderr, exitCode } = await ringyard("bench", "--seconds", "0.1", "--json");
    const steps = availableParallelism() < 2 ? 3 : 5;
    expect(stderr).toStartWith(`1 of ${steps}: a frame of 64 B\n2 of ${steps}: a frame of 1500 B\n`);
    expect(exitCode).toBe(0);
    const { costs, latencies } = JSON.parse(stdout) as Speed;
    expect(costs.map(({ size, rules }) => [size, rules])).toEqual([
      [64, 0],
      [1500, 0],
      [64, 100],
    ]);
    for (const { stages, totalNs } of costs) {
      expect(totalNs).toBeGreaterThan(0);
      expect(stages.copy).toBeGreaterThan(0);
    }
    expect(latencies?.map(({ poll }) => poll)).toEqual(steps === 3 ? undefined : ["busy", "adaptive"]);
    for (const { p50Us, p99Us } of latencies ?? []) expect(p99Us).toBeGreaterThanOrEqual(p50Us);
  },
  LIMIT_MS,
);

test("a frame that is late is not taken for the next one", () => {
  const [lateMs, wayMs] = [1_100, 5];
  const due: number[] = [];
  const from = { send: () => due.push(performance.now() + (due.length === 0 ? lateMs : wayMs)) };
  let taken = 0;
  const to = { receive: () => (taken < due.length && performance.now() >= due[taken] ? ++taken : null) };
  const ways = [1, 2, 3].map(() => wayNs(from, to, new Uint8Array(64)) / 1e6);
  expect(ways[0]).toBeGreaterThanOrEqual(lateMs);
  for (const way of ways.slice(1)) expect(way).toBeGreaterThanOrEqual(wayMs * 0.99);
});

test("prints a table of them", () => {
  const stages = { fetch: 10, classify: 5, copy: 20, publish: 5 };
  const cost = { size: 1500, rules: 100, stages, totalNs: 40, framesPerBreath: 64, busyMs: 1 };
  const busy = { poll: "busy" as const, frames: 10, p50Us: 1.5, p99Us: 9 };
  expect(speedText({ costs: [cost], latencies: [busy] })).toBe(
    "ONE WORKER         NS/FRAME  FETCH  CLASSIFY  COPY  PUBLISH  FRAMES/S  GBIT/S\n" +
      "1500 B, 100 rules      40.0   10.0       5.0  20.0      5.0    25.0 M   300.0\n" +
      "\n" +
      "LATENCY  P50 US  P99 US  FRAMES\n" +
      "busy        1.5     9.0      10\n",
  );
  expect(speedText({ costs: [cost] })).toEndWith("\nno latency: the worker and the sender would share one processor\n");
});

test.each([
  [
    ["--seconds", "0"],
    "option '--seconds <count>' argument '0' is invalid. expected a decimal number from 0.1 to 60, such as 0.5",
  ],
  [
    ["--seconds", "0x10"],
    "option '--seconds <count>' argument '0x10' is invalid. expected a decimal number from 0.1 to 60, such as 0.5",
  ],
  [
    ["--seconds", "1e1"],
    "option '--seconds <count>' argument '1e1' is invalid. expected a decimal number from 0.1 to 60, such as 0.5",
  ],
  [["--cpu", "x"], "option '--cpu <number>' argument 'x' is invalid. expected the number of a processor"],
])("%j is wrong usage", async (words, line) => {
  expect(await ringyard("bench", ...words)).toEqual({ stdout: "", stderr: `ringyard: ${line}\n`, exitCode: 2 });
});

test("a processor that is not there is wrong usage, before anything is measured", async () => {
  const { stderr, exitCode } = await ringyard("bench", "--cpu", "1023");
  expect(stderr).toMatch(/^ringyard: --cpu: cpu 1023 is not for this process: choose from [0-9,-]+\n$/);
  expect(exitCode).toBe(2);
});
