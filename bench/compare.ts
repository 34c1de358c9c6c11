// What became slower between two runs of the bench, beyond the noise:  bun bench/compare.ts OLD.json NEW.json
//
//   old  |----x---|
//   new                |--x---|      no round of one is as good as the worst of the other, and medians are 3 % apart: it changed
//
// A single round has no noise that is known, and what is not above 0 has no ratio: of such nothing is said.
// Every system is compared: where a peer changed as well, it was the machine. Exit code 1 where ringyard became slower.

import Table from "cli-table3";
import type { Result } from "./report.ts";
import { OURS, type Spread } from "./stats.ts";
import { moreIsBetter } from "./units.ts";

const LEAST_CHANGE = 0.03;

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

async function main([old, now]: string[]): Promise<number> {
  if (old === undefined || now === undefined) {
    console.error("usage: bun bench/compare.ts OLD.json NEW.json");
    return 64;
  }
  const [before, after] = (await Promise.all([old, now].map((file) => Bun.file(file).json()))) as Result[];
  const all = compare(before, after);
  const table = new Table({
    head: ["suite", "subject", "system", "unit", "old", "new", "gain", ""],
    style: { head: [], border: [] },
  });
  const number = ({ median, min, max }: Spread) => `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
  for (const { suite, subject, system, unit, before: was, after: is, gain, change } of all) {
    table.push([
      suite,
      subject,
      system,
      unit,
      number(was),
      number(is),
      gain.toFixed(2),
      change === "same" ? "" : change,
    ]);
  }
  console.log(table.toString());
  const slower = all.filter(({ system, change }) => system === OURS && change === "slower");
  console.log(all.length === 0 ? "the two have nothing in common" : `${slower.length} of ${OURS}'s figures are slower`);
  return slower.length > 0 ? 1 : 0;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
