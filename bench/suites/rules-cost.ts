// What rules cost one worker, in nanoseconds a frame from fetch to release: two ports in one process, nothing else on the way (no peer, no
// second processor). Of every number of rules and every number of flows, in turns, each in a process of its own on CPU 0.
//
//   ringyard            the mixed rules               64 flows: every frame of a burst is of another flow, and all are known
//   ringyard-100-rules  a hundred like them           all new:  no frame's flow was there before
//   ringyard-no-rules
//
// With the rules, it is also told how much of that has gone by up to each stage (rules-cost-parts.ts).

import { join, resolve } from "node:path";
import { run } from "../../test/support/process.ts";
import { OURS } from "../stats.ts";
import type { Bar, Context } from "../suite.ts";
import { mortal } from "../undo.ts";
import { PARTS, type Part } from "./rules-cost-parts.ts";
import { FEW_RULES, HUNDRED, NO_RULES, ruleCount } from "./rules-subjects.ts";

const ROOT = resolve(import.meta.dir, "../..");
const LIMIT_MS = 120_000;
/** The half of it is for warming up. The rest of the rounds' time goes to peers. */
const LONGEST_MS = 3_000;
const SMOKE_MS = 200;
const SMALL = 64;

/** 0: all new. */
const FLOWS = [1, 64, 4096, 0];
const STAGED_FLOWS = [64, 0];

const flowsText = (flows: number) => (flows === 0 ? "all new flows" : `${flows} flow${flows === 1 ? "" : "s"}`);
const subjectOf = (flows: number) => `one worker, ${flowsText(flows)}`;
const stageOf = (part: Part, flows: number) => `one worker, up to ${part}, ${flowsText(flows)}`;

async function measure(part: Part, rules: number, flows: number, context: Context): Promise<number> {
  const milliseconds = context.smoke ? SMOKE_MS : Math.min(context.seconds * 1000, LONGEST_MS);
  const words = [part, rules, flows, SMALL, milliseconds].map(String);
  const bun = join(ROOT, "node_modules/.bin/bun");
  const argv = ["taskset", "-c", "0", bun, join(ROOT, "bench/suites/rules-cost-entry.ts"), ...words];
  return Number((await run(mortal(argv), { timeoutMs: LIMIT_MS })).stdout);
}

async function measureStages(flows: number, round: number, context: Context): Promise<void> {
  for (const part of PARTS) {
    if (part === "turn") continue;
    const value = await measure(part, ruleCount(context), flows, context);
    context.sample({ subject: stageOf(part, flows), unit: "ns a frame", system: OURS, round, value });
  }
}

/** One round. */
export async function measureCost(round: number, context: Context): Promise<void> {
  const all = [
    { system: OURS, rules: ruleCount(context) },
    { system: HUNDRED, rules: FEW_RULES },
    { system: NO_RULES, rules: 0 },
  ];
  const systems = all.filter(({ system }) => context.systems.includes(system));
  for (const flows of FLOWS) {
    for (let turn = 0; turn < systems.length; turn++) {
      const { system, rules } = systems[(round + turn) % systems.length];
      const subject = subjectOf(flows);
      try {
        const value = await measure("turn", rules, flows, context);
        context.sample({ subject, unit: "ns a frame", system, round, value });
        if (system === OURS && STAGED_FLOWS.includes(flows)) await measureStages(flows, round, context);
      } catch (error) {
        context.failed(`${system}, ${subject}`, error);
      }
    }
  }
}

export const COST_SYSTEMS = [OURS, HUNDRED, NO_RULES];
/** The bars of the whole way, on the same figures without a peer. */
export const COST_BARS: readonly Bar[] = [
  { subject: subjectOf(64), against: NO_RULES, atMost: 1.3 },
  { subject: subjectOf(0), against: NO_RULES, atMost: 3 },
];
