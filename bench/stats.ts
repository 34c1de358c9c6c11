// From samples to what is shown: median, least and greatest of the rounds, ratios of medians, and the bars. Pure.

import type { Bar, Sample } from "./suite.ts";

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

export interface SubjectSummary {
  readonly subject: string;
  readonly unit: string;
  readonly systems: Readonly<Record<string, Spread>>;
  /** ringyard's median by that of each other system. */
  readonly ratios: Readonly<Record<string, number>>;
}

export interface BarResult extends Bar {
  /** undefined: not measured. */
  readonly value: number | undefined;
  readonly met: boolean;
  /** Rounds without the figure, in a suite that has others of them. */
  readonly failed?: number;
}

export const OURS = "ringyard";

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values), count: values.length };
}

export function summarise(samples: readonly Sample[]): SubjectSummary[] {
  const subjects = Map.groupBy(samples, ({ subject }) => subject);
  return [...subjects].map(([subject, ofSubject]) => {
    const bySystem = [...Map.groupBy(ofSubject, ({ system }) => system)];
    const systems = Object.fromEntries(
      bySystem.map(([system, ofSystem]) => [system, spread(ofSystem.map(({ value }) => value))]),
    );
    const ours = systems[OURS];
    const others = ours === undefined ? [] : Object.entries(systems).filter(([system]) => system !== OURS);
    const ratios = Object.fromEntries(others.map(([system, { median }]) => [system, ours.median / median]));
    return { subject, unit: ofSubject[0].unit, systems, ratios };
  });
}

/** How many rounds a suite had, where not all of them failed for everything. */
export function roundsOf(summaries: readonly SubjectSummary[]): number {
  return Math.max(0, ...summaries.flatMap(({ systems }) => Object.values(systems).map(({ count }) => count)));
}

/**
 * Holds the summaries against the bars; what was not measured is not met, and what was not measured in every round is not met in all of
 * them.
 */
export function judge(bars: readonly Bar[], summaries: readonly SubjectSummary[]): BarResult[] {
  const rounds = roundsOf(summaries);
  return bars.map((bar) => {
    const summary = summaries.find(({ subject }) => subject === bar.subject);
    const of = bar.of ?? "median";
    const ours = summary?.systems[bar.system ?? OURS];
    const theirs = bar.against === undefined ? 1 : summary?.systems[bar.against]?.[of];
    const value = ours === undefined || theirs === undefined ? undefined : ours[of] / theirs;
    const failed = rounds - (ours?.count ?? 0);
    const within = value !== undefined && value >= (bar.atLeast ?? -Infinity) && value <= (bar.atMost ?? Infinity);
    return { ...bar, value, met: within && (of === "median" || failed === 0), failed };
  });
}
