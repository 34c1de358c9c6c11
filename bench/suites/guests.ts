// TCP and pings between two Linux guests under QEMU on vhost-user ports: ringyard (polling, and as it is started by default), OVS-DPDK and
// testpmd, each as it is started by default, taking turns within every round. The guests are emulated (QEMU without hardware
// virtualisation) and share the machine with the switch, whose worker is on CPU 0: figures are small, and only ratios within a run mean
// anything.
//
//   guest a -- vhost-user -- switch -- vhost-user -- guest b        memory of the guests is shared with the switch, not hugepages

import { reserveHugepages } from "../../scripts/hugepages.ts";
import { bootGuest, type Guest } from "../../test/support/qemu/guest.ts";
import { type GuestImage, guestImage } from "../../test/support/qemu/image.ts";
import { untilReachable } from "../../test/support/qemu/traffic.ts";
import { ovsDpdk } from "../peers/ovs-dpdk.ts";
import { ringyard, startRingyard } from "../peers/ringyard.ts";
import { CLIENT_MACS, type System } from "../peers/system.ts";
import { testpmd } from "../peers/testpmd.ts";
import { median } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { inTurns } from "../turns.ts";
import type { Undo } from "../undo.ts";
import { pingTimes } from "./vduse-traffic.ts";

const SYSTEMS: readonly System[] = [
  ringyard,
  { name: "ringyard-adaptive", start: (quota, undo) => startRingyard("adaptive", quota, undo) },
  ovsDpdk,
  testpmd,
];
export const GUESTS_SYSTEM_NAMES = SYSTEMS.map(({ name }) => name);

const TCP = "TCP between guests, 1 stream";
const PING = "ping between guests, median";
const NO_QUOTA = 0;
const PINGS = 100;
const LIMIT_MS = 60_000;

/** Two guests, on the ports of a switch whose client's addresses they have. */
async function bootTwo(image: GuestImage, sockets: readonly string[], undo: Undo): Promise<Guest[]> {
  const keeper = {
    spawn: (argv: string[]) => undo.spawn(argv),
    defer: (action: () => unknown) => void undo.defer(action),
  };
  const boot = (name: string, k: number) =>
    bootGuest(image, { name, socket: sockets[k], mac: CLIENT_MACS[k], ip: `10.0.0.${k + 1}/24` }, keeper);
  // Where one fails, the other is waited for: its clean-up is known by then.
  const booted = await Promise.allSettled(["a", "b"].map(boot));
  return booted.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
}

/** Mbit/s of payload that arrived; a stream before it does not count. */
async function tcp(from: Guest, to: Guest, seconds: number): Promise<number> {
  await to.check("iperf3 -s -D && until netstat -ltn | grep -q :5201; do usleep 20000; done");
  const stream = () => from.check(`iperf3 -J -c ${to.ip} -t ${seconds}`, seconds * 1000 + LIMIT_MS);
  await stream();
  return JSON.parse(await stream()).end.sum_received.bits_per_second / 1e6;
}

/** Milliseconds. Throws where one is lost. */
async function roundTrip(from: Guest, to: Guest, count: number): Promise<number> {
  const output = await from.check(`ping -c ${count} -i 0.01 ${to.ip}`, LIMIT_MS);
  return median(pingTimes(output, count));
}

async function measure(system: System, image: GuestImage, round: number, context: Context, undo: Undo): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    context.sample({ subject, unit, system: system.name, round, value });
  const { sockets } = await system.start(NO_QUOTA, undo);
  const [a, b] = await bootTwo(image, sockets, undo);
  await untilReachable(a, b);
  report(TCP, "Mbit/s", await tcp(a, b, context.seconds));
  report(PING, "ms", await roundTrip(a, b, PINGS));
}

async function run(context: Context): Promise<void> {
  const image = await guestImage();
  const restore = context.undo.defer(reserveHugepages());
  for (let round = 0; round < context.rounds; round++) {
    await inTurns(SYSTEMS, round, context, (system, undo) => measure(system, image, round, context, undo));
  }
  await restore();
}

export const guests: Suite = {
  name: "guests",
  about: "TCP and pings between two guests under QEMU, beside OVS-DPDK and testpmd (these without TSO, as by default)",
  bars: [],
  notes: [
    "As started by default, ringyard lets guests leave segmentation to it (TSO), and the ports of OVS-DPDK and testpmd do not: TCP is as much about that as about the switches.",
  ],
  run,
};
