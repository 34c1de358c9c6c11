// How the cost of a frame grows with what the switch knows, in nanoseconds of a worker's from fetch to release: stations (every frame from
// and to others than its neighbours), and ports (frames of a burst go to all of them in turns). Of one worker on CPU 0, and of each of two
// that share the fdb. Each measurement in a process of its own.

import { join, resolve } from "node:path";
import { run as runProgram } from "../../test/support/process.ts";
import { OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LIMIT_MS = 120_000;
const LONGEST_MS = 3_000;
const SMOKE_MS = 200;
const SMALL = 64;
/** Of those that ports have of their own there is room for 16 beside a million. */
const ADDRESSES = [2, 100, 10_000, 100_000, 1_000_000];
const PORTS = [2, 8, 32, 128];
const FEW = 2;
const SMOKE_STEPS = 2;

/** Each has a CPU. */
const WORKERS = [1, 2];
const ADDRESSES_BY_PORTS = 1024;

interface Size {
  readonly addresses: number;
  readonly ports: number;
  readonly workers: number;
}

function subjectOf({ addresses, ports, workers }: Size, of: "addresses" | "ports"): string {
  const size = of === "addresses" ? `${addresses} addresses, 2 ports` : `${ports} ports, 1024 addresses`;
  return workers === 1 ? size : `${size}, ${workers} workers`;
}

/** Against the smallest of its kind, in the same round. */
const growthOf = (subject: string) => `${subject}, against 2`;

async function measure({ addresses, ports, workers }: Size, context: Context): Promise<number> {
  const milliseconds = context.smoke ? SMOKE_MS : Math.min(context.seconds * 1000, LONGEST_MS);
  const words = [addresses, ports, SMALL, milliseconds, workers].map(String);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const argv = [bun, join(ROOT, "bench/suites/growth-entry.ts"), ...words];
  return Number((await runProgram(argv, { timeoutMs: LIMIT_MS })).stdout);
}

/** One kind of growth, in one round, smallest first. */
async function grow(of: "addresses" | "ports", sizes: readonly Size[], round: number, context: Context): Promise<void> {
  let least: number | undefined;
  for (const size of sizes) {
    const subject = subjectOf(size, of);
    try {
      const value = await measure(size, context);
      context.sample({ subject, unit: "ns a frame", system: OURS, round, value });
      if (size === sizes[0]) least = value;
      else if (least !== undefined)
        context.sample({ subject: growthOf(subject), unit: "times", system: OURS, round, value: value / least });
    } catch (error) {
      context.failed(subject, error);
    }
  }
}

async function run(context: Context): Promise<void> {
  const few = context.smoke ? SMOKE_STEPS : Infinity;
  for (let round = 0; round < context.rounds; round++) {
    for (const workers of WORKERS) {
      const addresses = ADDRESSES.slice(0, few).map((count) => ({ addresses: count, ports: FEW, workers }));
      await grow("addresses", addresses, round, context);
      const ports = PORTS.slice(0, few).map((count) => ({ addresses: ADDRESSES_BY_PORTS, ports: count, workers }));
      await grow("ports", ports, round, context);
    }
  }
}

export const growth: Suite = {
  name: "growth",
  about: "cost of a frame with more addresses and ports, one worker and two",
  bars: WORKERS.map((workers) => ({
    subject: growthOf(subjectOf({ addresses: 100_000, ports: FEW, workers }, "addresses")),
    atMost: 1.5,
  })),
  notes: ["Packed rings against split ones: not measured, since ringyard has no packed rings."],
  run,
};
