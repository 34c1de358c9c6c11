// What became slower between two runs of the bench, beyond the noise:  bun bench/compare.ts OLD.json NEW.json
//
//   old  |----x---|
//   new                |--x---|      no round of one is as good as the worst of the other, and medians are 3 % apart: it changed
//
// Few rounds come out apart by chance, and what is not above 0 has no ratio: of such nothing is said. Every system is compared: where a peer
// changed as far, it was the machine. Exit code 1 where ringyard, in any form, became slower or is missing; runs of two machines, or of
// other quotas, are shown and not judged.

import Table from "cli-table3";
import type { Result } from "./report.ts";
import { OURS, type Spread } from "./stats.ts";
import { moreIsBetter } from "./units.ts";

const LEAST_CHANGE = 0.03;
/** Three rounds of either run have 20 orders, and by chance one of these has all of the new ones behind the old. */
const LEAST_ORDERS = 20;

const isOurs = ({ system }: { system: string }) => system.startsWith(OURS);

/** In how many orders the rounds of two runs can come: (n + m) over n. */
function ordersOf({ before, after }: { before: Spread; after: Spread }): number {
  let orders = 1;
  for (let k = 1; k <= before.count; k++) orders = (orders * (after.count + k)) / k;
  return Math.round(orders);
}

export type Change = "faster" | "slower" | "same";

export interface Compared {
  suite: string;
  subject: string;
  unit: string;
  system: string;
  before: Spread;
  after: Spread;
  /** Above 1: better. Not finite, or without meaning, where a median is not above 0. */
  gain: number;
  change: Change;
}

function changeOf(before: Spread, after: Spread, more: boolean | undefined): { gain: number; change: Change } {
  const both = [before, after];
  const gain = more === false ? before.median / after.median : after.median / before.median;
  const isKnown = more !== undefined && both.every(({ count, median }) => count > 1 && median > 0);
  if (ordersOf({ before, after }) < LEAST_ORDERS) return { gain, change: "same" };
  const apart = after.min > before.max || after.max < before.min;
  if (!isKnown || !apart || Math.abs(gain - 1) < LEAST_CHANGE) return { gain, change: "same" };
  return { gain, change: gain > 1 ? "faster" : "slower" };
}

/** What both results measured. */
export function compare(before: Pick<Result, "suites">, after: Pick<Result, "suites">): Compared[] {
  return after.suites.flatMap(({ suite, summaries }) => {
    const old = before.suites.find((it) => it.suite === suite)?.summaries ?? [];
    return summaries.flatMap(({ subject, unit, systems }) => {
      const then = old.find((it) => it.subject === subject && it.unit === unit)?.systems ?? {};
      return Object.entries(systems).flatMap(([system, now]) => {
        const was = then[system];
        if (was === undefined) return [];
        const outcome = changeOf(was, now, moreIsBetter(unit));
        return [{ suite, subject, unit, system, before: was, after: now, ...outcome }];
      });
    });
  });
}

/** Those of ringyard's that became slower, and further than every peer in the same measurement did. */
export function slowerOf(all: readonly Compared[]): Compared[] {
  return all.filter((ours) => {
    if (!isOurs(ours) || ours.change !== "slower") return false;
    const beside = all.filter((it) => !isOurs(it) && it.suite === ours.suite && it.subject === ours.subject);
    return !beside.some(({ change, gain }) => change === "slower" && gain <= ours.gain * (1 + LEAST_CHANGE));
  });
}

/** Figures of ringyard's that the old run has and the new one, whose suite says that something failed, has not. */
export function missing(before: Pick<Result, "suites">, after: Pick<Result, "suites">): string[] {
  return before.suites.flatMap(({ suite, summaries }) => {
    const now = after.suites.find((it) => it.suite === suite);
    if (now === undefined || now.failures.length === 0) return [];
    return summaries.flatMap(({ subject, systems }) => {
      const there = now.summaries.find((it) => it.subject === subject)?.systems ?? {};
      const lost = Object.keys(systems).filter((system) => isOurs({ system }) && there[system] === undefined);
      return lost.map((system) => `${suite}, ${subject}, ${system}`);
    });
  });
}

/** In what two runs differ, so that their figures say nothing of the switch. */
export function apartIn(before: Pick<Result, "origin" | "options">, after: typeof before): string[] {
  const conditions = ({ origin: { cpu, cpuCount }, options: { quota, seconds, smoke } }: typeof before) =>
    Object.entries({ cpu, cpuCount, quota, seconds, smoke });
  const now = conditions(after);
  return conditions(before).flatMap(([name, was], k) => (was === now[k][1] ? [] : [`${name}: ${was}, ${now[k][1]}`]));
}

function show(all: readonly Compared[]): void {
  const table = new Table({
    head: ["suite", "subject", "system", "unit", "old", "new", "gain", ""],
    style: { head: [], border: [] },
  });
  const number = ({ median, min, max }: Spread) => `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
  for (const { suite, subject, system, unit, before: was, after: is, gain, change } of all) {
    const word = change === "same" ? "" : change;
    table.push([suite, subject, system, unit, number(was), number(is), gain.toFixed(2), word]);
  }
  console.log(table.toString());
}

async function main([old, now]: string[]): Promise<number> {
  if (old === undefined || now === undefined) {
    console.error("usage: bun bench/compare.ts OLD.json NEW.json");
    return 64;
  }
  const read = (file: string): Promise<Result> =>
    Bun.file(file)
      .json()
      .catch((error: Error) => Promise.reject(new Error(`${file}: ${error.message}`)));
  const [before, after] = [await read(old), await read(now)];
  const all = compare(before, after);
  show(all);
  const apart = apartIn(before, after);
  for (const line of apart) console.log(`not the same in both: ${line}`);
  const lost = missing(before, after);
  for (const line of lost) console.log(`failed, and was measured before: ${line}`);
  if (apart.length > 0) {
    console.log("not judged");
    return 2;
  }
  const slower = slowerOf(all);
  const judged = all.filter((each) => isOurs(each) && ordersOf(each) >= LEAST_ORDERS);
  const chance = judged.reduce((sum, each) => sum + 1 / ordersOf(each), 0);
  const verdict = `${slower.length} of ${OURS}'s figures are slower, by chance alone at most ${chance.toFixed(1)}`;
  console.log(all.length === 0 ? "the two have nothing in common" : verdict);
  return slower.length + lost.length > 0 ? 1 : 0;
}

if (import.meta.main) {
  const code = await main(process.argv.slice(2)).catch((error: Error) => {
    console.error(`compare: ${error.message}`);
    return 66;
  });
  process.exit(code);
}
