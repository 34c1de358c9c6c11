// Round trips through a switch, timed at idle and at 10, 50 and 90 % of the most that the same switch made just before:
//
//   vhost-user   between two vhost-user ports under a driver of our own: ringyard in its three ways of polling, testpmd, OVS-DPDK
//   namespaces   between the devices of two namespaces, packet sockets at either end: ringyard's TAP ports, the kernel's bridge with
//                veth pairs, OVS's userspace datapath
//
// The client polls on CPU 1; vhost-user switches are on CPU 0. Nothing is confined: a quota takes the processor away for milliseconds. So the
// most that a switch makes is what it makes under this client, which needs some time of its own for each frame.

import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { reserveHugepages } from "../../scripts/hugepages.ts";
import { address } from "../../test/support/traffic.ts";
import { type LatencyReadings, timeRoundTrips } from "../peers/latency-client.ts";
import { LOADS } from "../peers/latency-loads.ts";
import { ovsDpdk } from "../peers/ovs-dpdk.ts";
import { startRingyard } from "../peers/ringyard.ts";
import type { System } from "../peers/system.ts";
import { ovsUserspace } from "../peers/tap-ovs.ts";
import { linuxBridge, type TapSystem, tapAdaptive, tapBusy, tapInterrupt } from "../peers/tap-system.ts";
import { testpmd } from "../peers/testpmd.ts";
import { makeHost } from "../peers/vduse-system.ts";
import { OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { inTurns } from "../turns.ts";
import type { Undo } from "../undo.ts";
import { reach } from "./vduse-traffic.ts";

const PERCENTILES = [
  { name: "p50", at: 50 },
  { name: "p99", at: 99 },
  { name: "p99.9", at: 99.9 },
  { name: "p99.99", at: 99.99 },
  { name: "max", at: 100 },
] as const;
/** Long enough that smoke has compiled code under it. */
const SMOKE_SECONDS = 0.2;
const NO_QUOTA = 0;
/** Of the client without its processor. */
const NOTEWORTHY_MS = 1;

const ADAPTIVE = "ringyard-adaptive";
const VHOST_SYSTEMS: readonly System[] = [
  { name: OURS, start: (quota, undo) => startRingyard("busy", quota, undo) },
  { name: ADAPTIVE, start: (quota, undo) => startRingyard("adaptive", quota, undo) },
  { name: "ringyard-interrupt", start: (quota, undo) => startRingyard("interrupt", quota, undo) },
  testpmd,
  ovsDpdk,
];
const NETNS_SYSTEMS: readonly TapSystem[] = [tapBusy, tapAdaptive, tapInterrupt, linuxBridge, ovsUserspace];
export const LATENCY_SYSTEM_NAMES = [...new Set([...VHOST_SYSTEMS, ...NETNS_SYSTEMS].map(({ name }) => name))];

/** A way between two ends, and who makes it. */
interface Path<T extends { readonly name: string }> {
  readonly name: "vhost-user" | "namespaces";
  readonly systems: readonly T[];
  /** Starts a system; returns its ends. */
  readonly start: (system: T, undo: Undo) => Promise<readonly string[]>;
}

const vhostUser: Path<System> = {
  name: "vhost-user",
  systems: VHOST_SYSTEMS,
  start: async (system, undo) => (await system.start(NO_QUOTA, undo)).sockets,
};

const namespaces: Path<TapSystem> = {
  name: "namespaces",
  systems: NETNS_SYSTEMS,
  async start(system, undo) {
    const made = [await makeHost(1, undo), await makeHost(2, undo)];
    await system.connect(made, undo);
    const [a, b] = [await address(made[0].inside, 1), await address(made[1].inside, 2)];
    await reach(a, b);
    return made.map(({ inside }) => inside.path);
  },
};

const subjectOf = (path: string, load: string, percentile: string) => `${path}, ${load}, ${percentile}`;

function report(path: string, system: string, round: number, readings: LatencyReadings, context: Context): void {
  const most = readings.maximum / 1000;
  context.sample({ subject: `${path}, most`, unit: "thousands/s", system, round, value: most });
  for (const { load, lost, count, waitedMs, histogram } of readings.loads) {
    if (waitedMs > NOTEWORTHY_MS)
      context.say(`${path}, ${load}: the client was kept waiting ${waitedMs.toFixed(1)} ms by others`);
    if (lost > 0) context.say(`${system}, ${path}, ${load}: ${lost} of ${count} frames were not home in time`);
    const times = decodeFromCompressedBase64(histogram);
    for (const { name, at } of PERCENTILES) {
      const value = times.getValueAtPercentile(at) / 1000;
      const kept = at === PERCENTILES[0].at ? { histogram } : {};
      context.sample({ subject: subjectOf(path, load, name), unit: "us", system, round, value, ...kept });
    }
  }
}

async function measure<T extends Pick<System, "name" | "writesSource">>(
  path: Path<T>,
  round: number,
  context: Context,
): Promise<void> {
  const time = async (system: T, undo: Undo) => {
    const ends = await path.start(system, undo);
    const seconds = context.smoke ? SMOKE_SECONDS : context.seconds;
    const readings = await timeRoundTrips(path.name, ends, seconds, system.writesSource);
    report(path.name, system.name, round, readings, context);
  };
  await inTurns(path.systems, round, context, time, ({ name }) => `${name}, ${path.name}`);
}

async function run(context: Context): Promise<void> {
  for (let round = 0; round < context.rounds; round++) {
    const restore = context.undo.defer(reserveHugepages());
    await measure(vhostUser, round, context);
    await restore();
    await measure(namespaces, round, context);
  }
}

const [IDLE, , HALF] = LOADS;
const loaded = subjectOf(namespaces.name, HALF.load, "p99.9");
const idle = subjectOf(namespaces.name, IDLE.load, "p50");

export const latency: Suite = {
  name: "latency",
  about: "round trips at idle and under load, percentiles, beside testpmd, OVS and the kernel's bridge",
  bars: [
    { subject: idle, against: linuxBridge.name, atMost: 1.5 },
    { subject: idle, system: ADAPTIVE, against: linuxBridge.name, atMost: 3 },
    { subject: loaded, atMost: 200 },
    { subject: loaded, system: ADAPTIVE, atMost: 200 },
  ],
  notes: [
    "A load is a share of the most that the same system made: systems have other numbers of frames at the same load.",
  ],
  run,
};
