// Where a frame's nanoseconds go, stage by stage, as the running switch itself says (`ringyard stats`), while DPDK's client keeps both
// of its ports busy; and what it costs to know that, in a process without a client.
//
//   stats --(a second of load)--> stats: ns of timed breaths by stage, over their frames
//   timing: breaths with timed ones at their end, and without, in turns -> nanoseconds that timing adds, as a share of all busy breaths

import { join, resolve } from "node:path";
import { reserveHugepages } from "../../scripts/hugepages.ts";
import type { WorkerInfo } from "../../src/control/api.ts";
import { ControlClient } from "../../src/control/client.ts";
import { STAGES, stageCosts } from "../../src/control/stage-costs.ts";
import { TIMED_EVERY } from "../../src/dataplane/breathe.ts";
import { BURST } from "../../src/mem/batch.ts";
import { run as runProgram } from "../../test/support/process.ts";
import { DpdkClient } from "../peers/dpdk-client.ts";
import { startRingyard } from "../peers/ringyard.ts";
import { median, OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { underLoad } from "../throughput.ts";
import { mortal } from "../undo.ts";

const ROOT = resolve(import.meta.dir, "../..");
const SIZES = [64, 1500];
/** From the first frame on: code is compiled. */
const WARM_UP_MS = 2_500;
const EVERY_MS = 1_000;

const LIMIT_MS = 60_000;
const COST_MS = 2_000;
const SMOKE_COST_MS = 200;
const FRAMES = [1, BURST];

const NS = "ns a frame";
const timingOf = (frames: number) => `timing, breaths of ${frames} frame${frames === 1 ? "" : "s"}`;

async function readEachSecond(switching: ControlClient, seconds: number): Promise<WorkerInfo[]> {
  const readings: WorkerInfo[] = [];
  await Bun.sleep(WARM_UP_MS);
  // The client stops within a second of the last reading.
  for (let n = 0; n <= Math.max(1, seconds - 1); n++) {
    if (n > 0) await Bun.sleep(EVERY_MS);
    readings.push((await switching.request("stats", {})).workers[0]);
  }
  return readings;
}

/** The worker's numbers once a second while the client sends for so many. */
async function readStats(control: string, client: DpdkClient, seconds: number): Promise<WorkerInfo[]> {
  const switching = await ControlClient.connect(control);
  try {
    const [readings] = await Promise.all([readEachSecond(switching, seconds), client.measure(seconds)]);
    return readings;
  } finally {
    switching.close();
  }
}

async function measureStages(size: number, round: number, context: Context): Promise<void> {
  const readings = await underLoad(
    { start: (quota, undo) => startRingyard("busy", quota, undo) },
    (sockets, undo) => DpdkClient.attach(sockets, size, undo),
    context,
    ({ control }, client) => readStats(control, client, context.seconds),
  );
  const costs = readings.flatMap((now, n) => (n === 0 ? [] : (stageCosts(now, readings[n - 1]) ?? [])));
  if (costs.length === 0) throw new Error("no breath was timed");
  const report = (what: string, unit: string, values: number[]) =>
    context.sample({
      subject: `${size} B, ${what}`,
      unit,
      system: OURS,
      round,
      value: median(values),
      readings: values,
    });
  for (const stage of STAGES)
    report(
      stage,
      NS,
      costs.map(({ stages }) => stages[stage]),
    );
  report(
    "all stages",
    NS,
    costs.map(({ totalNs }) => totalNs),
  );
  report(
    "frames a breath",
    "frames",
    costs.map(({ framesPerBreath }) => framesPerBreath),
  );
}

async function measureTiming(frames: number, round: number, context: Context): Promise<void> {
  const words = [SIZES[0], frames, context.smoke ? SMOKE_COST_MS : COST_MS].map(String);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const argv = ["taskset", "-c", "0", bun, join(ROOT, "bench/suites/stages-entry.ts"), ...words];
  const { stdout } = await runProgram(mortal(argv), { timeoutMs: LIMIT_MS });
  const [breathNs, addedNs] = stdout.split(" ").map(Number);
  const value = (100 * addedNs) / (TIMED_EVERY * breathNs);
  context.sample({ subject: timingOf(frames), unit: "% of busy time", system: OURS, round, value });
}

async function run(context: Context): Promise<void> {
  const restore = context.undo.defer(reserveHugepages());
  for (let round = 0; round < context.rounds; round++) {
    for (const size of context.sizes ?? SIZES) {
      await measureStages(size, round, context).catch((error) => context.failed(`${size} B`, error));
    }
    for (const frames of FRAMES) {
      await measureTiming(frames, round, context).catch((error) => context.failed(timingOf(frames), error));
    }
  }
  await restore();
}

export const stages: Suite = {
  name: "stages",
  about: "a frame's nanoseconds by stage, from the running switch's counters, and what these cost",
  bars: FRAMES.map((frames) => ({ subject: timingOf(frames), atMost: 1 })),
  run,
};
