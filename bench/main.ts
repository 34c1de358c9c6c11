// `npm run bench`: measures ringyard beside its peers, on this machine, in one run. Progress goes to stderr, a table to stdout,
// every sample to one JSON file under bench/results/.
//
//   npm run bench -- --rounds 3 --sizes 64 --suites vhost-user
//
// A suite is a file in bench/suites/, listed here.

import { setUp } from "../scripts/setup.ts";
import { origin } from "./machine.ts";
import { type Options, parseOptions } from "./options.ts";
import { fileOf, render, type SuiteResult, save, writeJson } from "./report.ts";
import { judge, summarise } from "./stats.ts";
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
  const options = parseOptions(process.argv.slice(2), SUITES, SYSTEM_NAMES);
  await setUp("bench");
  const from = origin();
  const undo = new Undo();
  undo.trapSignals();
  const suites: SuiteResult[] = [];
  const result = { origin: from, options: { ...options }, suites };
  const file = fileOf(result, options.out);
  try {
    for (const suite of SUITES.filter(({ name }) => options.suites.includes(name))) {
      const measured = await runSuite(suite, options, undo);
      // The signal's handler ends the process. Suites of before are in the file.
      if (undo.interrupted) await new Promise(() => {});
      suites.push(measured);
      console.log(render(measured));
      writeJson(file, result);
    }
  } finally {
    await undo.unwind();
  }
  save(result, file);
  console.log(`every sample: ${file}`);
  const failed = suites.some(({ failures }) => failures.length > 0);
  const unmet = suites.some(({ bars }) => bars.some(({ met }) => !met));
  return failed || (options.check && unmet) ? 1 : 0;
}

process.exit(
  await main().catch((error: Error) => {
    console.error(`bench: ${error.message}`);
    return 1;
  }),
);
