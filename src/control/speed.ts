// How fast this switch is on this machine, with nothing but itself: a switch in this process, two memory ports, and their drivers on
// this thread. For `ringyard bench`; what stands beside other switches is `npm run bench`'s.
//
//   cost      hold the worker, fill the sending port's ring, let go: whole bursts -> the worker's own timed breaths, by stage
//   latency   one frame at a time: sent here, through the worker, received here
//
// The drivers' time is not in a frame's cost, which is the worker's; it is in the latency. Control thread of a process of its own.

import { availableParallelism } from "node:os";
import { RingyardError } from "../core/errors.ts";
import { BURST } from "../mem/batch.ts";
import type { PollMode, SwitchApi, SwitchLog } from "./api.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import { parseRule } from "./rules/parse-rule.ts";
import { type StageCosts, stageCosts } from "./stage-costs.ts";
import { createSwitch } from "./switch.ts";
import { parsePort } from "./uri.ts";
import { kinds, memoryDriver } from "./wiring.ts";

const SUBJECTS = [
  { size: 64, rules: 0 },
  { size: 1500, rules: 0 },
  { size: 64, rules: 100 },
] as const;
const POLLS = ["busy", "adaptive"] as const;

/** Buffers of the memory ports. The driver keeps one until it asks for the next frame, so fewer frames are sent in one go: whole bursts. */
const RING = 256;
const FILL = RING - BURST;
/** Frames of a fill are of so many flows, in turns. */
const FLOWS = 64;
/** Of each measurement's time, at its beginning: code is compiled. */
const WARM_UP = 0.4;
/** Between two frames: an adaptive worker sleeps by then. */
const PAUSE_MS = 1;
const LOST_MS = 1_000;
/** Timed breaths; on a slow machine they take longer than was asked for, but not for ever. */
const LEAST_READINGS = 5;
const LONGEST_MS = 30_000;

/** What one kind of frame costs a worker. */
interface Cost extends StageCosts {
  readonly size: number;
  readonly rules: number;
}

/** From a frame's send to its receipt. */
interface Latency {
  readonly poll: PollMode;
  readonly frames: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

export interface Speed {
  readonly costs: readonly Cost[];
  /** Absent where drivers and worker would share one processor. */
  readonly latencies?: readonly Latency[];
}

interface SpeedOptions {
  /** Of each measurement. */
  readonly seconds: number;
  /** The worker's, if it is to be pinned. */
  readonly cpu?: number;
  /** What is measured now, the n-th of so many. */
  readonly progress: (what: string, n: number, of: number) => void;
}

/** Only what ends the process is said: a worker that cannot be pinned, or crashes. */
const LOG: SwitchLog = {
  info() {},
  warn() {},
  error: ({ error }, message) => process.stderr.write(`ringyard: ${message}: ${error}\n`),
};

export async function measureSpeed({ seconds, cpu, progress }: SpeedOptions): Promise<Speed> {
  const alone = availableParallelism() < 2;
  const of = SUBJECTS.length + (alone ? 0 : POLLS.length);
  const cpus = cpu === undefined ? {} : { cpus: [cpu] };
  const costs: Cost[] = [];
  for (const [n, { size, rules }] of SUBJECTS.entries()) {
    progress(`a frame of ${size} B${rules > 0 ? `, ${rules} rules` : ""}`, n + 1, of);
    const cost = await withSwitch({ ...cpus, poll: "adaptive" }, (api) => measureCost(api, size, rules, seconds));
    costs.push({ size, rules, ...cost });
  }
  if (alone) return { costs };
  const latencies: Latency[] = [];
  for (const [n, poll] of POLLS.entries()) {
    progress(`latency, ${poll}`, SUBJECTS.length + n + 1, of);
    latencies.push(await withSwitch({ ...cpus, poll }, () => measureLatency(poll, seconds)));
  }
  return { costs, latencies };
}

/** With ports `a` and `b`; ends it. */
async function withSwitch<T>(
  settings: Parameters<typeof createSwitch>[0],
  measure: (api: SwitchApi) => Promise<T>,
): Promise<T> {
  const api = await createSwitch(settings, LOG);
  try {
    for (const name of ["a", "b"]) await api.addPort(parsePort(name, `memory:${name}?size=${RING}`, kinds));
    // So that nothing floods: `b` is where frames go.
    api.fdbAdd(TO, "b");
    return await measure(api);
  } finally {
    await api.close();
  }
}

async function measureCost(api: SwitchApi, size: number, rules: number, seconds: number): Promise<StageCosts> {
  if (rules > 0) await api.rules.put({ rules: api.rules.number(missedRules(rules)).rules, meters: [] });
  const [from, to] = [memoryDriver("a"), memoryDriver("b")];
  const frames = Array.from({ length: FLOWS }, (_, flow) => udpFrame(size, flow));
  const startMs = performance.now();
  const [warmMs, endMs] = [startMs + seconds * 1000 * WARM_UP, startMs + seconds * 1000];
  let [before] = api.stats().workers;
  const readings: StageCosts[] = [];
  const latestMs = endMs + LONGEST_MS;
  while (performance.now() < endMs || (readings.length < LEAST_READINGS && performance.now() < latestMs)) {
    await api.whileHeld(async () => {
      for (let n = 0; n < FILL; n++) from.send(frames[n % FLOWS]);
    });
    const deadlineMs = performance.now() + LOST_MS;
    for (let received = 0; received < FILL && performance.now() < deadlineMs; ) {
      if (to.receive() === null) await Bun.sleep(0);
      else received++;
    }
    const [now] = api.stats().workers;
    const costs = stageCosts(now, before);
    if (costs === undefined) continue;
    before = now;
    if (performance.now() >= warmMs) readings.push(costs);
  }
  if (readings.length === 0) {
    const place = `no breath with frames of ${size} B was timed in ${Math.round((performance.now() - startMs) / 1000)} s`;
    throw new RingyardError("SYSTEM", place, "leave the worker's processor to it, or name another with --cpu");
  }
  return medians(readings);
}

/** Of each number by itself: a breath that something interrupted spoils none. */
function medians(readings: readonly StageCosts[]): StageCosts {
  const median = (of: (costs: StageCosts) => number) => readings.map(of).sort((a, b) => a - b)[readings.length >> 1];
  return {
    stages: {
      fetch: median(({ stages }) => stages.fetch),
      classify: median(({ stages }) => stages.classify),
      copy: median(({ stages }) => stages.copy),
      publish: median(({ stages }) => stages.publish),
    },
    totalNs: median(({ totalNs }) => totalNs),
    framesPerBreath: median(({ framesPerBreath }) => framesPerBreath),
    busyMs: median(({ busyMs }) => busyMs),
  };
}

async function measureLatency(poll: PollMode, seconds: number): Promise<Latency> {
  const [from, to] = [memoryDriver("a"), memoryDriver("b")];
  const frame = udpFrame(64, 0);
  const startMs = performance.now();
  const readings: number[] = [];
  while (performance.now() < startMs + seconds * 1000 || readings.length === 0) {
    readings.push(wayNs(from, to, frame));
    if (poll === "adaptive") await Bun.sleep(PAUSE_MS);
  }
  const late = readings.slice(Math.floor(readings.length * WARM_UP)).sort((a, b) => a - b);
  const at = (share: number) => late[Math.min(late.length - 1, Math.floor(late.length * share))] / 1000;
  return { poll, frames: late.length, p50Us: at(0.5), p99Us: at(0.99) };
}

interface Ends {
  send(frame: Uint8Array): unknown;
  receive(): unknown;
}

/** From a frame's send to its receipt, however late: taken for the next one, it would make that one quick, and all behind it. */
export function wayNs(from: Pick<Ends, "send">, to: Pick<Ends, "receive">, frame: Uint8Array): number {
  const sentNs = Bun.nanoseconds();
  from.send(frame);
  while (to.receive() === null) {
    if (Bun.nanoseconds() - sentNs < LONGEST_MS * 1e6) continue;
    const place = `a frame did not come through the switch in ${LONGEST_MS / 1000} s`;
    throw new RingyardError("SYSTEM", place, "leave the worker's processor to it, or name another with --cpu");
  }
  return Bun.nanoseconds() - sentNs;
}

const FROM = "02:00:00:00:00:0a";
const TO = "02:00:00:00:00:0b";

/** UDP over IPv4, of the range for benchmarks (RFC 2544, appendix C.2.2). Nobody looks at the checksums. */
function udpFrame(size: number, flow: number): Uint8Array {
  const frame = new Uint8Array(size);
  const view = new DataView(frame.buffer);
  const bytes = (mac: string) => mac.split(":").map((byte) => Number.parseInt(byte, 16));
  frame.set([...bytes(TO), ...bytes(FROM), 0x08, 0x00, 0x45]);
  view.setUint16(16, size - 14);
  frame.set([64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2], 22);
  view.setUint16(34, 1024 + flow);
  view.setUint16(36, 9);
  view.setUint16(38, size - 34);
  return frame;
}

/** Of the kinds that people write, and none is about the frames that are sent: each is looked for in vain. */
function missedRules(count: number): NamedRule[] {
  return Array.from({ length: count }, (_, n) => {
    const texts = [
      `ip dst 10.${n}.0.0/16 drop`,
      `in a udp dport ${2000 + n} drop`,
      `ip src 172.16.${n}.0/24 tcp dport 80 drop`,
      `eth src 02:00:00:00:01:${n.toString(16).padStart(2, "0")} drop`,
    ];
    return parseRule(`prio ${n + 1} ${texts[n % texts.length]}`);
  });
}
