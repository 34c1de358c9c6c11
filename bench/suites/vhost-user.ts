// Frames per second between two vhost-user ports under DPDK's virtio driver: ringyard, DPDK's testpmd and OVS-DPDK, taking turns within
// every round. Each is measured twice while it runs: under the same quota of CPU 0, where the switch is what limits, and then
// without a quota, where the client does at times.

import { reserveHugepages } from "../../scripts/hugepages.ts";
import { DpdkClient, IMIX, type Share } from "../peers/dpdk-client.ts";
import { ovsDpdk } from "../peers/ovs-dpdk.ts";
import { ringyard } from "../peers/ringyard.ts";
import type { System } from "../peers/system.ts";
import { testpmd } from "../peers/testpmd.ts";
import { unconfine } from "../quota.ts";
import { median } from "../stats.ts";
import type { Bar, Context, Suite } from "../suite.ts";
import { underLoad } from "../throughput.ts";

const SYSTEMS: readonly System[] = [ringyard, testpmd, ovsDpdk];
export const SYSTEM_NAMES = SYSTEMS.map(({ name }) => name);

const SIZES = [64, 128, 256, 512, 1024, 1500];
const subjectOf = (size: number) => `${size} B`;
const IMIX_SUBJECT = "IMIX";
const unconfined = (subject: string) => `${subject}, unconfined`;

interface Load {
  readonly subject: string;
  readonly frames: number | readonly Share[];
}

async function measure(system: System, { subject, frames }: Load, round: number, context: Context): Promise<void> {
  const report = (what: string, readings: readonly number[]) =>
    context.sample({ subject: what, unit: "Mpps", system: system.name, round, value: median(readings), readings });
  await underLoad(
    system,
    (sockets, undo) => DpdkClient.attach(sockets, frames, undo),
    context,
    async ({ pid }, client) => {
      if (context.quota > 0) {
        report(subject, await client.measure(context.seconds));
        unconfine(pid);
      }
      report(unconfined(subject), await client.measure(context.seconds));
    },
  );
}

async function run(context: Context): Promise<void> {
  const systems = SYSTEMS.filter(({ name }) => context.systems.includes(name));
  const sizes = context.sizes ?? SIZES;
  const loads: Load[] = sizes.map((size) => ({ subject: subjectOf(size), frames: size }));
  if (context.sizes === undefined || context.smoke) loads.push({ subject: IMIX_SUBJECT, frames: IMIX });
  const restore = context.undo.defer(reserveHugepages());
  for (let round = 0; round < context.rounds; round++) {
    for (const load of loads) {
      for (let turn = 0; turn < systems.length; turn++) {
        const system = systems[(round + turn) % systems.length];
        try {
          await measure(system, load, round, context);
        } catch (error) {
          context.failed(`${system.name}, ${load.subject}`, error);
        }
      }
    }
  }
  await restore();
}

/** By size: what OVS-DPDK, which learns too, and testpmd, which does not, are to be beaten by. */
const BARS = [
  { size: 64, learning: 1.5, plain: 1 },
  { size: 256, learning: 1.5, plain: 1.2 },
  { size: 1500, learning: 2, plain: 1.8 },
];

export const vhostUser: Suite = {
  name: "vhost-user",
  about: "frames per second between two vhost-user ports, DPDK virtio-user as the client (half an hour)",
  bars: BARS.flatMap(({ size, learning, plain }): Bar[] => [
    { subject: subjectOf(size), against: ovsDpdk.name, atLeast: learning },
    { subject: subjectOf(size), against: testpmd.name, atLeast: plain },
  ]),
  run,
};
