// Frames per second between two vhost-user ports under DPDK's virtio driver: ringyard, DPDK's testpmd and OVS-DPDK, each under
// the same quota of CPU 0, taking turns within every round.

import { reserveHugepages } from "../../scripts/hugepages.ts";
import { DpdkClient } from "../peers/dpdk-client.ts";
import { ovsDpdk } from "../peers/ovs-dpdk.ts";
import { ringyard } from "../peers/ringyard.ts";
import type { System } from "../peers/system.ts";
import { testpmd } from "../peers/testpmd.ts";
import { median } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { throughput } from "../throughput.ts";

const SYSTEMS: readonly System[] = [ringyard, testpmd, ovsDpdk];
export const SYSTEM_NAMES = SYSTEMS.map(({ name }) => name);

async function run(context: Context): Promise<void> {
  const systems = SYSTEMS.filter(({ name }) => context.systems.includes(name));
  const restore = context.undo.defer(reserveHugepages());
  for (let round = 0; round < context.rounds; round++) {
    for (const size of context.sizes) {
      for (let turn = 0; turn < systems.length; turn++) {
        const system = systems[(round + turn) % systems.length];
        const subject = `${size} B`;
        try {
          const readings = await throughput(system, (sockets, undo) => DpdkClient.attach(sockets, size, undo), context);
          const value = median(readings);
          context.sample({ subject, unit: "Mpps", system: system.name, round, value, readings });
        } catch (error) {
          context.failed(`${system.name}, ${subject}`, error);
        }
      }
    }
  }
  await restore();
}

export const vhostUser: Suite = {
  name: "vhost-user",
  about: "frames per second between two vhost-user ports, DPDK virtio-user as the client",
  bars: [
    { subject: "64 B", against: ovsDpdk.name, atLeast: 1 },
    { subject: "1500 B", against: ovsDpdk.name, atLeast: 1 },
  ],
  run,
};
