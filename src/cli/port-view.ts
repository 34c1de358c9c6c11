// Ports as text: one line each, or everything about one. Pure.

import type { Counters, PortInfo } from "../control/api.ts";
import { type PolicyWords, wordText } from "../control/policy/policy-words.ts";
import type { PortDetails } from "../ports/port.ts";
import { type Column, countsText, facts, table } from "./output.ts";

const LIST: Column[] = [
  { title: "NAME" },
  { title: "KIND" },
  { title: "STATE" },
  { title: "MAC" },
  { title: "MTU", right: true },
  { title: "QUEUES", right: true },
  { title: "MACS", right: true },
  { title: "RX", right: true },
  { title: "TX", right: true },
  { title: "DROPPED", right: true },
  { title: "URI" },
];

export function portTable(ports: readonly PortInfo[]): string {
  const rows = ports.map((port) => [
    port.name,
    port.kind,
    stateOf(port),
    port.mac ?? "-",
    port.mtu ?? "-",
    port.queues.length,
    port.macs,
    port.rxFrames,
    port.txFrames,
    dropped(port),
    port.uri,
  ]);
  return table(LIST, rows);
}

const QUEUES: Column[] = [
  { title: "QUEUE", right: true },
  { title: "WORKER", right: true },
  { title: "STATE" },
  { title: "RX FRAMES", right: true },
  { title: "RX BYTES", right: true },
  { title: "TX FRAMES", right: true },
  { title: "TX BYTES", right: true },
  { title: "DROPPED" },
];

const LIMITS: Column[] = [
  { title: "LIMIT" },
  { title: "FRAMES", right: true },
  { title: "BYTES", right: true },
  { title: "DROPPED", right: true },
  { title: "WAITING", right: true },
];

/** `policy`: what it does beyond learning and flooding. */
export function portDetails(port: PortInfo, policy: PolicyWords = {}): string {
  const lines: [string, string | number | boolean][] = [
    ["name", port.name],
    ["uri", port.uri],
    ["index", port.index],
    ["state", stateOf(port)],
    ...(port.blocks === undefined ? [] : [["blocked", blockedText(port)] as [string, string]]),
    ["mac", port.mac ?? "-"],
    ["mtu", port.mtu ?? "-"],
    ["learned macs", port.macLimit === undefined ? port.macs : `${port.macs} of ${port.macLimit}`],
    ...(port.macMoves === undefined ? [] : [["moved here", port.macMoves] as [string, number]]),
    ["received", `${port.rxFrames} frames, ${port.rxBytes} bytes`],
    ["sent", `${port.txFrames} frames, ${port.txBytes} bytes${copiesText(port)}`],
    ...(port.copies === undefined ? [] : [["copies", port.copies] as [string, number]]),
    ["dropped", countsText(port.drops)],
    ["errors", countsText(port.errors)],
  ];
  for (const [key, value] of Object.entries(policy)) lines.push([key, wordText(value)]);
  for (const [name, value] of Object.entries(port.details)) {
    lines.push([wordsOf(name), detailText(value)]);
  }
  const rows = port.queues.map((queue) => [
    queue.queue,
    queue.worker,
    queue.state,
    queue.rxFrames,
    queue.rxBytes,
    queue.txFrames,
    queue.txBytes,
    countsText(queue.drops),
  ]);
  const limits = Object.entries(port.limits ?? {}).map(([key, { frames, bytes, dropped, waiting = "-" }]) => [
    ...[key, frames, bytes, dropped, waiting],
  ]);
  const tables = [table(LIMITS, limits), table(QUEUES, rows)].filter((_, index) => [limits, rows][index].length > 0);
  return [facts(lines), ...tables].join("\n");
}

function detailText(value: PortDetails[string]): string | number | boolean {
  if (Array.isArray(value)) return value.join(", ") || "-";
  return typeof value === "object" ? countsText(value) : value;
}

/** How a NIC's frames came to it; empty for other ports. */
function copiesText({ txZeroCopy = 0, txCopied = 0 }: Counters): string {
  return txZeroCopy + txCopied === 0 ? "" : ` (${txZeroCopy} frames without a copy, ${txCopied} copied)`;
}

export function dropped({ drops }: Pick<Counters, "drops">): number {
  return Object.values(drops).reduce((sum, count) => sum + count, 0);
}

/** `deviceMac` as `device mac`, `memoryMiB` as `memory MiB`. */
function wordsOf(name: string): string {
  return name.replace(/MiB|[A-Z]/g, (found) => ` ${found === "MiB" ? found : found.toLowerCase()}`);
}

/** `loop, tried again in 40 s; 3 times so far`. */
function blockedText({ blocked, retryS, blocks = 1 }: PortInfo): string {
  const again = retryS === undefined ? "until its link is set up" : `tried again in ${Math.ceil(retryS)} s`;
  const now = blocked === undefined ? "no" : `${blocked}, ${again}`;
  return `${now}; ${blocks === 1 ? "once" : `${blocks} times`} so far`;
}

function stateOf({ admin, carrier, blocked }: PortInfo): string {
  if (admin === "down") return "down";
  if (blocked !== undefined) return "blocked";
  return carrier ? "up" : "no-carrier";
}
