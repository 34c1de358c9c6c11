// `npm run bench`: measures ringyard beside its peers, on this machine, in one run. Progress goes to stderr, a table to stdout,
// every sample to one JSON file under bench/results/.
//
//   npm run bench -- --rounds 3 --sizes 64 --suites vhost-user
//
// A suite is a file in bench/suites/, listed here.

import { Command, InvalidArgumentError } from "commander";
import { setUp } from "../scripts/setup.ts";
import { origin } from "./machine.ts";
import { render, type SuiteResult, save } from "./report.ts";
import { judge, OURS, summarise } from "./stats.ts";
import type { Context, Sample, Suite } from "./suite.ts";
import { footprint } from "./suites/footprint.ts";
import { growth } from "./suites/growth.ts";
import { GUESTS_SYSTEM_NAMES, guests } from "./suites/guests.ts";
import { LATENCY_SYSTEM_NAMES, latency } from "./suites/latency.ts";
import { NIC_SYSTEM_NAMES, nic } from "./suites/nic.ts";
import { RULES_SYSTEM_NAMES, rules } from "./suites/rules.ts";
import { stability } from "./suites/stability.ts";
import { stages } from "./suites/stages.ts";
import { TAP_SYSTEM_NAMES, tap } from "./suites/tap.ts";
import { VDUSE_SYSTEM_NAMES, vduse } from "./suites/vduse.ts";
import { SYSTEM_NAMES as VHOST_USER_SYSTEM_NAMES, vhostUser } from "./suites/vhost-user.ts";
import { Undo } from "./undo.ts";

const SUITES: readonly Suite[] = [
  vhostUser,
  stages,
  rules,
  growth,
  tap,
  latency,
  guests,
  footprint,
  stability,
  vduse,
  nic,
];
/** Those of all suites; each takes the ones that it knows. */
const SYSTEM_NAMES = [
  ...new Set([
    ...VHOST_USER_SYSTEM_NAMES,
    ...RULES_SYSTEM_NAMES,
    ...TAP_SYSTEM_NAMES,
    ...LATENCY_SYSTEM_NAMES,
    ...GUESTS_SYSTEM_NAMES,
    ...VDUSE_SYSTEM_NAMES,
    ...NIC_SYSTEM_NAMES,
  ]),
];

interface Options {
  rounds: number;
  seconds: number;
  sizes?: number[];
  minutes: number;
  quota: number;
  systems: string[];
  suites: string[];
  out?: string;
  check: boolean;
  smoke: boolean;
}

function number(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("a whole number is wanted");
  return value;
}

function listOf(known: readonly string[]): (text: string) => string[] {
  return (text) => {
    const words = text.split(",");
    const unknown = words.filter((word) => !known.includes(word));
    if (unknown.length > 0) throw new InvalidArgumentError(`${unknown.join(", ")}: known are ${known.join(", ")}`);
    return words;
  };
}

function parseOptions(argv: string[]): Options {
  const suiteNames = SUITES.map(({ name }) => name);
  const about = SUITES.map((suite) => `  ${suite.name.padEnd(12)} ${suite.about}`).join("\n");
  const command = new Command("bench")
    .description(`Measures ringyard beside its peers.\n\nSuites:\n${about}`)
    .option("--rounds <count>", "rounds; the systems take turns in each", number, 5)
    .option("--seconds <count>", "seconds of one measurement", number, 5)
    .option("--sizes <bytes>", "frame sizes (default: each suite's own)", (text) => text.split(",").map(number))
    .option("--minutes <count>", "of load, for the suite stability", number, 10)
    .option("--quota <percent>", "of CPU 0 for the switch under test, 0: no limit", number, 40)
    .option("--systems <names>", "of the systems compared", listOf(SYSTEM_NAMES), SYSTEM_NAMES)
    .option("--suites <names>", "to run", listOf(suiteNames), suiteNames)
    .option("--out <file>", "for the JSON, instead of bench/results/TIME.json")
    .option("--check", "exit with 1 where a bar is not met", false)
    .option("--smoke", "one short round of ringyard alone: does the bench work?", false);
  const options = command.parse(argv, { from: "user" }).opts<Options>();
  if (!options.smoke) return options;
  return { ...options, rounds: 1, seconds: 1, sizes: [64], systems: [OURS] };
}

async function runSuite(suite: Suite, options: Options, undo: Undo): Promise<SuiteResult> {
  const samples: Sample[] = [];
  const failures: string[] = [];
  const say = (line: string) => console.error(`${suite.name}: ${line}`);
  const failed = (what: string, error: unknown) => {
    // Everything fails while a signal ends us.
    if (undo.interrupted) return;
    const message = error instanceof Error ? error.message : String(error);
    failures.push(`${what}: ${message.split("\n")[0]}`);
    say(`${what}: ${message}`);
  };
  const sample = (each: Sample) => {
    samples.push(each);
    const round = `round ${each.round + 1} of ${options.rounds}`;
    say(`${round}, ${each.system}, ${each.subject}: ${each.value.toFixed(2)} ${each.unit}`);
  };
  const context: Context = { ...options, say, failed, sample, undo };
  await suite.run(context).catch((error) => failed("the suite", error));
  const summaries = summarise(samples);
  const { name, notes = [] } = suite;
  return { suite: name, summaries, bars: judge(suite.bars, summaries), notes, samples, failures };
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  await setUp("bench");
  const from = origin();
  const undo = new Undo();
  undo.trapSignals();
  const suites: SuiteResult[] = [];
  try {
    for (const suite of SUITES.filter(({ name }) => options.suites.includes(name))) {
      suites.push(await runSuite(suite, options, undo));
    }
  } finally {
    await undo.unwind();
  }
  // The signal's handler ends the process.
  if (undo.interrupted) await new Promise(() => {});
  const file = save({ origin: from, options: { ...options }, suites }, options.out);
  for (const suite of suites) console.log(render(suite));
  console.log(`every sample: ${file}`);
  const failed = suites.some(({ failures }) => failures.length > 0);
  const unmet = suites.some(({ bars }) => bars.some(({ met }) => !met));
  return failed || (options.check && unmet) ? 1 : 0;
}

process.exit(await main());
