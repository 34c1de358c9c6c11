// Results as a Markdown page: where they come from, a table for each suite, its bars, its notes, what failed, the plots. Pure.

import type { Result, SuiteResult } from "./report.ts";
import { barLine, cell, shown } from "./report.ts";
import { OURS, roundsOf } from "./stats.ts";

/** `plots`: files beside the page, by suite. */
export function markdown({ origin, options, suites }: Result, plots: ReadonlyMap<string, readonly string[]>): string {
  const { time, cpu, cpuCount, memoryMb, kernel, loadBefore, versions } = origin;
  const words = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `# Measured ${time}`,
    "",
    `${cpu}, ${cpuCount} CPUs, ${memoryMb} MB, Linux ${kernel}, load before ${loadBefore.toFixed(2)}; ${words.join(", ")}.`,
    "",
    `Rounds ${options.rounds}, seconds ${options.seconds}, quota ${options.quota} %. Medians, in brackets the least and the greatest round.`,
    ...suites.flatMap((suite) => ["", ...section(suite, plots.get(suite.suite) ?? [])]),
    "",
  ].join("\n");
}

function section({ suite, summaries, bars, failures, notes = [] }: SuiteResult, plots: readonly string[]): string[] {
  const rounds = roundsOf(summaries);
  const found = [...new Set(summaries.flatMap(({ systems }) => Object.keys(systems)))];
  const systems = found.sort((a, b) => Number(b === OURS) - Number(a === OURS));
  const others = systems.filter((system) => system !== OURS);
  const row = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`;
  return [
    `## ${suite}`,
    "",
    row(["", "unit", ...systems, ...others.map((other) => `by ${other}`)]),
    row(["---", "---", ...systems.map(() => "---:"), ...others.map(() => "---:")]),
    ...summaries.map(({ subject, unit, systems: spreads, ratios }) =>
      row([
        subject,
        unit,
        ...systems.map((system) => cell(spreads[system], rounds)),
        ...others.map((other) => (ratios[other] === undefined ? "-" : shown(ratios[other]))),
      ]),
    ),
    "",
    ...bars.map((bar) => `- ${barLine(bar)}`),
    ...notes.map((note) => `- ${note}`),
    ...failures.map((failure) => `- FAILED: ${failure}`),
    ...plots.flatMap((plot) => ["", `![${suite}](${plot})`]),
  ];
}
