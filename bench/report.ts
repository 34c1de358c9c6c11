// Results as one JSON file, as a table for people, and as a folder beside the JSON: a Markdown page and plots.
//
//   bench/results/TIME.json     TIME/report.md     TIME/SUITE-UNIT.svg, .png

import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import Table from "cli-table3";
import type { Origin } from "./machine.ts";
import { markdown } from "./markdown.ts";
import { plotsOf, writePlot } from "./plots.ts";
import { type BarResult, OURS, roundsOf, type Spread, type SubjectSummary } from "./stats.ts";
import type { Sample } from "./suite.ts";

export const RESULTS = resolve(import.meta.dir, "results");

export interface SuiteResult {
  readonly suite: string;
  readonly summaries: readonly SubjectSummary[];
  readonly bars: readonly BarResult[];
  /** The suite's own, on how to read its figures. */
  readonly notes?: readonly string[];
  readonly samples: readonly Sample[];
  /** Measurements that could not be made, and why. */
  readonly failures: readonly string[];
}

export interface Result {
  readonly origin: Origin;
  readonly options: Readonly<Record<string, unknown>>;
  readonly suites: readonly SuiteResult[];
}

/** Where a result is written: under its time, or at `path`, with the ending .json. */
export function fileOf({ origin }: Result, path?: string): string {
  const named = path ?? join(RESULTS, origin.time.replace(/[:.]/g, "-"));
  return `${named.replace(/\.json$/, "")}.json`;
}

/** Writes the JSON. Whole or not at all: what is there stays until all is written, and on a full disk. */
export function writeJson(file: string, result: Result): void {
  mkdirSync(RESULTS, { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  try {
    writeFileSync(unfinished, `${JSON.stringify(result, null, 2)}\n`);
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/** Writes a result, and beside it a folder of the same name, without its ending; returns the JSON's path. */
export function save(result: Result, path?: string): string {
  const file = fileOf(result, path);
  const folder = file.replace(/\.json$/, "");
  writeJson(file, result);
  mkdirSync(folder, { recursive: true });
  const plots = new Map<string, string[]>();
  for (const suite of result.suites) {
    const drawn = plotsOf(suite);
    for (const plot of drawn) writePlot(folder, plot);
    plots.set(
      suite.suite,
      drawn.map(({ name }) => `${name}.svg`),
    );
  }
  writeFileSync(join(folder, "report.md"), markdown(result, plots));
  return file;
}

export function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

/** A bar's figure as it was chosen: whole, or as far as it is shown. */
function limit(value: number | undefined): number {
  return Number((value ?? Number.NaN).toFixed(2));
}

/** The median, with the least and the greatest; with the number of rounds where some of `rounds` are not in it. */
export function cell(spread: Spread | undefined, rounds: number): string {
  if (spread === undefined) return "-";
  const { median, min, max, count } = spread;
  const range = count === 1 ? [] : [`${shown(min)} to ${shown(max)}`];
  const words = count === rounds ? range : [...range, `${count} of ${rounds} rounds`];
  return words.length === 0 ? shown(median) : `${shown(median)} (${words.join(", ")})`;
}

export function barLine({ subject, system, of, against, atLeast, atMost, value, met, failed = 0 }: BarResult): string {
  const wanted = atLeast === undefined ? `at most ${limit(atMost)}` : `at least ${limit(atLeast)}`;
  const measured = [subject, ...(system ? [system] : []), ...(of === "max" ? ["of all rounds"] : [])].join(", ");
  const lost = failed === 0 || value === undefined ? "" : `; rounds that failed: ${failed}`;
  const what = against === undefined ? measured : `${measured}, ratio to ${against}`;
  return `${met ? "met    " : "NOT MET"} ${what}: ${value === undefined ? "not measured" : shown(value)}, ${wanted}${lost}`;
}

/** A suite's table (medians, with the least and the greatest), its bars, its notes, and what failed. */
export function render({ suite, summaries, bars, failures, notes = [] }: SuiteResult): string {
  const rounds = roundsOf(summaries);
  const systems = [...new Set(summaries.flatMap((each) => Object.keys(each.systems)))];
  systems.sort((a, b) => Number(b === OURS) - Number(a === OURS));
  const others = systems.filter((system) => system !== OURS);
  const table = new Table({
    head: [suite, "", ...systems, ...others.map((other) => `by ${other}`)],
    style: { head: [], border: [] },
  });
  for (const { subject, unit, systems: spreads, ratios } of summaries) {
    const ratioCells = others.map((other) => (ratios[other] === undefined ? "-" : shown(ratios[other])));
    table.push([subject, unit, ...systems.map((system) => cell(spreads[system], rounds)), ...ratioCells]);
  }
  const failed = failures.map((failure) => `FAILED  ${failure}`);
  return [table.toString(), ...bars.map(barLine), ...notes, ...failed].join("\n");
}
