// A switch between the network devices of two namespaces, as containers have them: what the tap suite compares. A system makes eth0 in
// each namespace; the suite addresses it. Nothing is confined or pinned: containers and switch share the machine, as they do at users'.

import type { Namespace } from "../../test/support/netns.ts";
import { run } from "../../test/support/process.ts";
import type { Undo } from "../undo.ts";
import { launch, type Poll, ready } from "./ringyard.ts";
import type { Host } from "./vduse-system.ts";

export interface TapSystem {
  readonly name: string;
  /** Connects the hosts' namespaces by an eth0 in each. What it starts is undone with `undo`. */
  connect(hosts: readonly Host[], undo: Undo): Promise<void>;
}

let serial = 0;

/** A name for a device of the machine's own namespace that nobody else has. */
export function deviceName(): string {
  return `ryb${process.pid % 100_000}-${serial++}`;
}

/** Moves a device into a namespace, as eth0. */
export async function moveIn(device: string, inside: Namespace): Promise<void> {
  await run(["ip", "link", "set", device, "netns", inside.name, "name", "eth0"]);
}

function ringyardTap(name: string, poll: Poll): TapSystem {
  return {
    name,
    async connect(hosts, undo) {
      const ports = hosts.map(({ inside }, k) => [`h${k}`, `tap:eth0?netns=${inside.name}`]);
      const program = launch(Object.fromEntries(ports), poll, undo, { cpus: "0-1" });
      await ready(program);
    },
  };
}

export const tapBusy = ringyardTap("ringyard", "busy");
export const tapAdaptive = ringyardTap("ringyard-adaptive", "adaptive");
export const tapInterrupt = ringyardTap("ringyard-interrupt", "interrupt");

/** The kernel's bridge, with veth pairs. */
export const linuxBridge: TapSystem = {
  name: "linux-bridge",
  async connect(hosts, undo) {
    const bridge = deviceName();
    await run(["ip", "link", "add", bridge, "type", "bridge"]);
    undo.defer(() => Bun.spawnSync(["ip", "link", "del", bridge]));
    await run(["ip", "link", "set", bridge, "up"]);
    for (const { inside } of hosts) {
      const [near, far] = [deviceName(), deviceName()];
      await run(["ip", "link", "add", near, "type", "veth", "peer", "name", far]);
      undo.defer(() => Bun.spawnSync(["ip", "link", "del", near], { stderr: "ignore" }));
      await run(["ip", "link", "set", near, "master", bridge, "up"]);
      await moveIn(far, inside);
    }
  },
};
