// How the cost of a frame grows with what the switch knows, in nanoseconds on one worker from fetch to release: stations (every frame from
// and to others than its neighbours), and ports (frames of a burst go to all of them in turns). Each in a process of its own on CPU 0.

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

const addressesOf = (count: number) => `${count} addresses, 2 ports`;
const portsOf = (count: number) => `${count} ports, 1024 addresses`;
const ADDRESSES_BY_PORTS = 1024;

async function measure(addresses: number, ports: number, context: Context): Promise<number> {
  const milliseconds = context.smoke ? SMOKE_MS : Math.min(context.seconds * 1000, LONGEST_MS);
  const words = [addresses, ports, SMALL, milliseconds].map(String);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const argv = ["taskset", "-c", "0", bun, join(ROOT, "bench/suites/growth-entry.ts"), ...words];
  return Number((await runProgram(argv, { timeoutMs: LIMIT_MS })).stdout);
}

async function run(context: Context): Promise<void> {
  const few = context.smoke ? SMOKE_STEPS : Infinity;
  const wanted = [
    ...ADDRESSES.slice(0, few).map((addresses) => ({
      subject: addressesOf(addresses),
      addresses,
      ports: FEW,
      as: addressesOf(FEW),
    })),
    ...PORTS.slice(0, few).map((ports) => ({
      subject: portsOf(ports),
      addresses: ADDRESSES_BY_PORTS,
      ports,
      as: portsOf(FEW),
    })),
  ];
  for (let round = 0; round < context.rounds; round++) {
    const found = new Map<string, number>();
    for (const { subject, addresses, ports, as } of wanted) {
      try {
        const value = await measure(addresses, ports, context);
        found.set(subject, value);
        context.sample({ subject, unit: "ns a frame", system: OURS, round, value });
        const least = found.get(as);
        if (least === undefined || subject === as) continue;
        const times = value / least;
        context.sample({ subject: growthOf(subject), unit: "times", system: OURS, round, value: times });
      } catch (error) {
        context.failed(subject, error);
      }
    }
  }
}

/** Against the smallest of its kind, in the same round. */
function growthOf(subject: string): string {
  return `${subject}, against 2`;
}

export const growth: Suite = {
  name: "growth",
  about: "cost of a frame with more addresses and ports, one worker",
  bars: [{ subject: growthOf(addressesOf(100_000)), atMost: 1.5 }],
  notes: ["Packed rings against split ones: not measured, since ringyard has no packed rings."],
  run,
};
