// Counters as text, and rates from two readings. Pure.

import type { Counters } from "../control/api.ts";
import type { Operations } from "../control/protocol.ts";
import { STAGES, stageCosts } from "../control/stage-costs.ts";
import { type Cell, type Column, countsText, facts, table } from "./output.ts";
import { dropped } from "./port-view.ts";

type Stats = Operations["stats"]["result"];

export interface Reading {
  atMs: number;
  stats: Stats;
}

const PORTS: Column[] = [
  { title: "PORT" },
  { title: "RX FRAMES", right: true },
  { title: "RX BYTES", right: true },
  { title: "TX FRAMES", right: true },
  { title: "TX BYTES", right: true },
  { title: "DROPPED" },
];

export function statsText(stats: Stats): string {
  const { totals } = stats;
  const rows: Cell[][] = stats.ports.map((port) => [...countersRow(port.name, port), countsText(port.drops)]);
  rows.push([...countersRow("total", totals), totals.dropped]);
  return `${table(PORTS, rows)}\n${copiesText(stats)}${workersText(stats)}\n${stagesText(stats)}\n${summary(stats)}`;
}

/** How frames came to the NICs; nothing without them. */
function copiesText({ ports }: Stats): string {
  const columns = [{ title: "NIC" }, { title: "TX WITHOUT COPY", right: true }, { title: "TX COPIED", right: true }];
  const rows = ports
    .filter(({ txZeroCopy = 0, txCopied = 0 }) => txZeroCopy + txCopied > 0)
    .map(({ name, txZeroCopy = 0, txCopied = 0 }) => [name, txZeroCopy, txCopied]);
  return rows.length === 0 ? "" : `${table(columns, rows)}\n`;
}

function countersRow(name: string, counters: Omit<Counters, "drops">): Cell[] {
  return [name, counters.rxFrames, counters.rxBytes, counters.txFrames, counters.txBytes];
}

function workersText({ workers }: Stats): string {
  const columns = ["WORKER", "CPU", "LANES", "BREATHS", "BUSY", "SLEEPS"].map((title) => ({ title, right: true }));
  const rows = workers.map(({ worker, cpu, lanes, breaths, busyBreaths, sleeps }) => [
    worker,
    cpu < 0 ? "any" : cpu,
    lanes,
    breaths,
    breaths === 0 ? "-" : `${((100 * busyBreaths) / breaths).toFixed(1)}%`,
    sleeps,
  ]);
  return table(columns, rows);
}

/** What a frame costs, by stage: since the start, or since the reading before. */
function stagesText(now: Stats, before?: Reading, seconds = now.uptimeS): string {
  const titles = ["WORKER", "NS/FRAME", ...STAGES.map((stage) => stage.toUpperCase()), "FRAMES/BREATH", "BUSY TIME"];
  const columns = titles.map((title) => ({ title, right: true }));
  const rows = now.workers.map((worker) => {
    const costs = stageCosts(
      worker,
      before?.stats.workers.find((old) => old.worker === worker.worker),
    );
    if (costs === undefined) return [worker.worker, ...titles.slice(1).map(() => "-")];
    const { busyMs, framesPerBreath, stages, totalNs } = costs;
    const share = `${Math.min(100, busyMs / 10 / seconds).toFixed(1)}%`;
    return [
      worker.worker,
      totalNs.toFixed(1),
      ...STAGES.map((stage) => stages[stage].toFixed(1)),
      framesPerBreath.toFixed(1),
      share,
    ];
  });
  return table(columns, rows);
}

function summary({ uptimeS, poll, totals, control }: Stats): string {
  return facts([
    ["uptime", `${Math.floor(uptimeS)} s`],
    ["poll", poll],
    // Of floods, mirrors and rules, and segments.
    ["copies", totals.copies],
    ["control", `${control.connections} clients, ${control.requests} requests`],
    ["control errors", countsText(control.errors)],
  ]);
}

const RATES: Column[] = [
  { title: "PORT" },
  { title: "RX FRAMES/S", right: true },
  { title: "RX MBIT/S", right: true },
  { title: "TX FRAMES/S", right: true },
  { title: "TX MBIT/S", right: true },
  { title: "DROPS/S", right: true },
];

/** The rates from `before` to `now`; a port that is new, or was made anew, starts with dashes. */
export function ratesText(before: Reading | null, now: Reading): string {
  const seconds = before === null ? 0 : (now.atMs - before.atMs) / 1000;
  const rows = now.stats.ports.map((port) => {
    const old = before?.stats.ports.find(({ name }) => name === port.name);
    const rate = (from: number | undefined, to: number, unit: number, digits: number) =>
      from === undefined || to < from || seconds <= 0 ? "-" : ((to - from) / unit / seconds).toFixed(digits);
    return [
      port.name,
      rate(old?.rxFrames, port.rxFrames, 1, 0),
      rate(old?.rxBytes, port.rxBytes, 125_000, 1),
      rate(old?.txFrames, port.txFrames, 1, 0),
      rate(old?.txBytes, port.txBytes, 125_000, 1),
      rate(old && dropped(old), dropped(port), 1, 0),
    ];
  });
  const stages = stagesText(now.stats, before ?? undefined, before === null ? undefined : seconds);
  return `${table(RATES, rows)}\n${workersText(now.stats)}\n${stages}`;
}
