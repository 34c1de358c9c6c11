// The command line of `npm run bench`. What cannot be measured is refused here, before anything is started for it.

import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { OURS } from "./stats.ts";
import type { Suite } from "./suite.ts";

export interface Options {
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

/** Without FCS: the least Ethernet frame, and the greatest of an MTU of 1500. */
const SIZES = { least: 60, most: 1514 };
/** Percent: of less than a millisecond in each period of ten the kernel makes no quota. */
const LEAST_QUOTA = 10;

function whole(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a whole number ${range} is wanted`);
  };
}

function quota(text: string): number {
  return text === "0" ? 0 : whole(LEAST_QUOTA, 100)(text);
}

function sizes(text: string): number[] {
  const size = whole(SIZES.least, SIZES.most);
  return [...new Set(text.split(",").map((word) => size(word)))];
}

function listOf(known: readonly string[]): (text: string) => string[] {
  return (text) => {
    const words = text.split(",");
    const unknown = words.filter((word) => !known.includes(word));
    if (unknown.length > 0) throw new InvalidArgumentError(`${unknown.join(", ")}: known are ${known.join(", ")}`);
    return words;
  };
}

/** Where a file can be written: it would be a pity to learn that an hour later. */
function writable(path: string): string {
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch {
    throw new InvalidArgumentError(`nothing can be written in ${dirname(path)}`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() && path.endsWith(".json"))
    throw new InvalidArgumentError("that is a folder");
  return path;
}

/** Ends the process, with a line, where an option cannot be. */
export function parseOptions(argv: string[], suites: readonly Suite[], systems: readonly string[]): Options {
  const suiteNames = suites.map(({ name }) => name);
  const about = suites.map((suite) => `  ${suite.name.padEnd(12)} ${suite.about}`).join("\n");
  const command = new Command("bench")
    .description(`Measures ringyard beside its peers.\n\nSuites:\n${about}`)
    .option("--rounds <count>", "rounds; the systems take turns in each", whole(1), 5)
    .option("--seconds <count>", "seconds of one measurement", whole(1), 5)
    .option("--sizes <bytes>", `frame sizes, ${SIZES.least} to ${SIZES.most} (default: each suite's own)`, sizes)
    .option("--minutes <count>", "of load, for the suite stability", whole(1), 10)
    .option("--quota <percent>", `of CPU 0 for the switch under test, ${LEAST_QUOTA} to 100; 0: no limit`, quota, 40)
    .option("--systems <names>", "of the systems compared", listOf(systems), [...systems])
    .option("--suites <names>", "to run", listOf(suiteNames), suiteNames)
    .option("--out <file>", "for the JSON, instead of bench/results/TIME.json; one that is there is replaced", writable)
    .option("--check", "exit with 1 where a bar is not met", false)
    .option("--smoke", "one short round of ringyard alone: does the bench work?", false);
  const options = command.parse(argv, { from: "user" }).opts<Options>();
  if (!options.smoke) return options;
  return { ...options, rounds: 1, seconds: 1, sizes: [64], systems: [OURS] };
}
