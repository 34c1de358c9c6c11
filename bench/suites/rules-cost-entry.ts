// One measurement of bench/suites/rules-cost.ts, in a process of its own, so that the machine code is that of a switch which has seen
// nothing else: nanoseconds that a frame costs one worker. Prints the number.
//
//   bun bench/suites/rules-cost-entry.ts PART RULES FLOWS SIZE MILLISECONDS        FLOWS 0: every frame is of a new flow
//
// With --cpu-prof it is what to profile: nothing but a worker's turns runs in it.

import { beginBurst } from "../../src/dataplane/rules/burst.ts";
import { takeBurst } from "../../src/dataplane/rules/header-arena.ts";
import { askFrames } from "../../src/dataplane/rules/plain-flows.ts";
import type { Plan } from "../../src/dataplane/rules/plan.ts";
import { BURST } from "../../src/mem/batch.ts";
import { mixedRules, SEED } from "../mixed-rules.ts";
import { OneWorker, TURNS } from "../one-worker.ts";
import { PARTS, type Part } from "./rules-cost-parts.ts";

/** Fills of the rings in one reading: less than a millisecond, so that most readings are of a time when nobody else had the CPU. */
const FILLS = 10;
const FRAMES = FILLS * TURNS * BURST;

/** What is timed of a burst; each part has those of before in it. */
function turnOf(part: Part, worker: OneWorker): () => void {
  if (part === "turn") return () => worker.turn();
  if (part === "fetch") return () => worker.turnWith(() => {});
  const plan = worker.plan as Plan;
  if (part === "copy") return () => worker.turnWith(() => takeBurst(plan.arena));
  const { counters, tables } = worker;
  return () =>
    worker.turnWith(({ count }) => {
      beginBurst(tables, plan, 0, counters);
      takeBurst(plan.arena);
      askFrames(plan, count);
    });
}

/** Of all threads: those of the compiler have their part. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * The least reading of the second half of so much CPU time, when all is compiled: what the code takes while nobody else has a part of the
 * processor, for a second thread of execution on it makes most readings half as much again. Filling the rings does not count.
 */
function measure(worker: OneWorker, flows: number, milliseconds: number, turn: () => void): number {
  const readings: number[] = [];
  let flow = 0;
  const end = cpuMs() + milliseconds;
  while (cpuMs() < end) {
    let ns = 0;
    for (let k = 0; k < FILLS; k++) {
      worker.fill(flow, flows);
      flow += TURNS * BURST;
      const from = Bun.nanoseconds();
      for (let n = 0; n < TURNS; n++) turn();
      ns += Bun.nanoseconds() - from;
    }
    readings.push(ns / FRAMES);
  }
  const { taken } = worker.moved;
  if (taken !== flow) throw new Error(`${taken} of ${flow} frames were taken`);
  return readings.slice(readings.length >> 1).reduce((least, reading) => Math.min(least, reading));
}

const part = PARTS.find((each) => each === process.argv[2]);
const [rules, flows, size, milliseconds] = process.argv.slice(3).map(Number);
if (part === undefined) throw new Error(`${process.argv[2]}: known are ${PARTS.join(", ")}`);
const worker = new OneWorker(size);
if (rules > 0) await worker.rules(mixedRules(rules, SEED).map(({ text }) => text));
const ns = measure(worker, flows, milliseconds, turnOf(part, worker));
const { taken, delivered } = worker.moved;
if (part === "turn") {
  if (delivered !== taken) throw new Error(`${delivered} of ${taken} frames were delivered`);
  worker.checkArrived();
}
worker.close();
console.log(ns);
