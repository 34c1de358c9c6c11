// A switch under test between two NICs of one model, inside a virtual machine (bench/suites/nic.ts): it drives both through VFIO, on
// CPU 0 of the machine. At the other ends of their wires are network devices of the kernel's, `eth0` of a namespace each.

import { type Nic, nics } from "../../test/support/nics.ts";
import { run } from "../../test/support/process.ts";
import { until } from "../../test/support/until.ts";
import type { Undo } from "../undo.ts";
import { type Host, makeHost } from "./vduse-system.ts";

export const NIC_MODELS = ["virtio-net-pci", "e1000e"] as const;
export type NicModel = (typeof NIC_MODELS)[number];

export interface NicSystem {
  readonly name: string;
  /** Forwards between the two until what it returns is called. */
  start(addresses: readonly string[], undo: Undo): Promise<() => Promise<void>>;
}

/** The NICs of a model, and hosts at the other ends of their wires. */
export async function ends(model: NicModel, undo: Undo): Promise<{ pair: readonly Nic[]; hosts: readonly Host[] }> {
  const pair = nics(model);
  const hosts: Host[] = [];
  undo.defer(async () => {
    // Partners come back when their namespaces have gone.
    await until("the partners to come back", () => nics(model).every(({ partner }) => partner.netdev !== ""));
  });
  for (const [index, { partner }] of pair.entries()) {
    const host = await makeHost(index + 1, undo);
    await run(["ip", "link", "set", partner.netdev, "netns", host.inside.name, "name", "eth0"]);
    await host.inside.configure("eth0", `${host.ip}/24`);
    hosts.push(host);
  }
  return { pair, hosts };
}
