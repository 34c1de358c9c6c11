// TCP and round trips between two network namespaces over TAP ports: ringyard (polling, and as it is started by default), beside the
// kernel's bridge with veth pairs, OVS's userspace datapath and vde_switch, taking turns within every round.

import { address } from "../../test/support/traffic.ts";
import { ovsUserspace } from "../peers/tap-ovs.ts";
import { linuxBridge, type TapSystem, tapAdaptive, tapBusy } from "../peers/tap-system.ts";
import { vdeSwitch } from "../peers/tap-vde.ts";
import { makeHost } from "../peers/vduse-system.ts";
import type { Context, Suite } from "../suite.ts";
import { inTurns } from "../turns.ts";
import type { Undo } from "../undo.ts";
import { reach, roundTrips, tcp } from "./vduse-traffic.ts";

const SYSTEMS: readonly TapSystem[] = [tapBusy, tapAdaptive, linuxBridge, ovsUserspace, vdeSwitch];
export const TAP_SYSTEM_NAMES = SYSTEMS.map(({ name }) => name);

const STREAMS = [1, 4];
const tcpOf = (streams: number) => `TCP, ${streams} stream${streams === 1 ? "" : "s"}`;
const PING = "ping at idle, median";

async function measure(system: TapSystem, round: number, context: Context, undo: Undo): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    context.sample({ subject, unit, system: system.name, round, value });
  const made = [await makeHost(1, undo), await makeHost(2, undo)];
  await system.connect(made, undo);
  const a = await address(made[0].inside, 1);
  const b = await address(made[1].inside, 2);
  await reach(a, b);
  // One that does not count: a switch compiles what it does under it.
  await tcp(a, b, context.seconds, undo);
  for (const streams of STREAMS) report(tcpOf(streams), "Mbit/s", await tcp(a, b, context.seconds, undo, streams));
  // After the streams: all is compiled by then.
  report(PING, "ms", (await roundTrips(a, b)).median);
}

async function run(context: Context): Promise<void> {
  for (let round = 0; round < context.rounds; round++) {
    await inTurns(SYSTEMS, round, context, (system, undo) => measure(system, round, context, undo));
  }
}

export const tap: Suite = {
  name: "tap",
  about: "TCP and pings between two namespaces over TAP ports",
  bars: [
    { subject: tcpOf(1), against: ovsUserspace.name, atLeast: 2 },
    { subject: tcpOf(1), against: linuxBridge.name, atLeast: 0.75 },
    { subject: PING, against: linuxBridge.name, atMost: 1.5 },
    { subject: PING, system: tapAdaptive.name, against: linuxBridge.name, atMost: 3 },
  ],
  notes: [
    "As started by default, ringyard and the kernel's bridge take super-frames (TSO), and OVS's userspace datapath (userspace-tso-enable) and vde_switch do not.",
  ],
  run,
};
