// How the cost of a frame grows with what the switch knows, in nanoseconds of a worker's from fetch to release: stations (every frame from
// and to others than its neighbours), ports (frames of a burst go to all of them in turns), and drivers' memory (buffers lie in any GiB of
// it). Of one worker on CPU 0, and of each of two that share the fdb. Each measurement in a process of its own.

import { join, resolve } from "node:path";
import { run as runProgram } from "../../test/support/process.ts";
import { OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { mortal } from "../undo.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LIMIT_MS = 120_000;
const LONGEST_MS = 3_000;
const SMOKE_MS = 200;
const SMALL = 64;
/** Of those that ports have of their own there is room for 16 beside a million. */
const ADDRESSES = [2, 100, 10_000, 100_000, 1_000_000];
const PORTS = [2, 8, 32, 128];
/** GiB. */
const MEMORY = [1, 2, 8, 64];
const FEW = 2;
const SMOKE_STEPS = 2;

/** Each has a CPU. */
const WORKERS = [1, 2];
const ADDRESSES_BY_PORTS = 1024;

interface Size {
  readonly addresses: number;
  readonly ports: number;
  readonly memoryGiB: number;
  readonly workers: number;
}

const NAMES = {
  addresses: ({ addresses }: Size) => `${addresses} addresses, 2 ports`,
  ports: ({ ports }: Size) => `${ports} ports, 1024 addresses`,
  memory: ({ memoryGiB }: Size) => `${memoryGiB} GiB of memory, 2 addresses`,
};

type Kind = keyof typeof NAMES;

function subjectOf(size: Size, of: Kind): string {
  const name = NAMES[of](size);
  return size.workers === 1 ? name : `${name}, ${size.workers} workers`;
}

/** Against the smallest of its kind, in the same round. */
const growthOf = (subject: string, of: Kind) => `${subject}, against ${of === "memory" ? 1 : 2}`;

async function measure({ addresses, ports, memoryGiB, workers }: Size, context: Context): Promise<number> {
  const milliseconds = context.smoke ? SMOKE_MS : Math.min(context.seconds * 1000, LONGEST_MS);
  const words = [addresses, ports, SMALL, milliseconds, workers, memoryGiB].map(String);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const argv = [bun, join(ROOT, "bench/suites/growth-entry.ts"), ...words];
  return Number((await runProgram(mortal(argv), { timeoutMs: LIMIT_MS })).stdout);
}

/** One kind of growth, in one round, smallest first. */
async function grow(of: Kind, sizes: readonly Size[], round: number, context: Context): Promise<void> {
  let least: number | undefined;
  for (const size of sizes) {
    const subject = subjectOf(size, of);
    try {
      const value = await measure(size, context);
      context.sample({ subject, unit: "ns a frame", system: OURS, round, value });
      if (size === sizes[0]) least = value;
      else if (least !== undefined)
        context.sample({ subject: growthOf(subject, of), unit: "times", system: OURS, round, value: value / least });
    } catch (error) {
      context.failed(subject, error);
    }
  }
}

async function run(context: Context): Promise<void> {
  const few = context.smoke ? SMOKE_STEPS : Infinity;
  for (let round = 0; round < context.rounds; round++) {
    for (const workers of WORKERS) {
      const least = { addresses: FEW, ports: FEW, memoryGiB: 1, workers };
      const addresses = ADDRESSES.slice(0, few).map((count) => ({ ...least, addresses: count }));
      await grow("addresses", addresses, round, context);
      const ports = PORTS.slice(0, few).map((count) => ({ ...least, addresses: ADDRESSES_BY_PORTS, ports: count }));
      await grow("ports", ports, round, context);
      const memory = MEMORY.slice(0, few).map((memoryGiB) => ({ ...least, memoryGiB }));
      await grow("memory", memory, round, context);
    }
  }
}

export const growth: Suite = {
  name: "growth",
  about: "cost of a frame with more addresses, ports and memory, one worker and two",
  bars: WORKERS.map((workers) => ({
    subject: growthOf(subjectOf({ addresses: 100_000, ports: FEW, memoryGiB: 1, workers }, "addresses"), "addresses"),
    atMost: 1.5,
  })),
  notes: [
    "Nanoseconds are the least reading of each round: what the code takes while nobody else has a part of the processor.",
    "Packed rings against split ones: not measured, since ringyard has no packed rings.",
  ],
  run,
};
