// Containers on VDUSE ports, for tests that run where the kernel has VDUSE (`npm test` runs them in its virtual machine).
// Main thread of a test process.

import { existsSync } from "node:fs";
import type { Attached } from "../../src/ports/port.ts";
import type { Namespace } from "./netns.ts";
import { requirePeer, type Suite } from "./skip.ts";
import type { SwitchProcess } from "./switch.ts";
import { address, type Host } from "./traffic.ts";

/** `describe` where the kernel has VDUSE and what binds its devices. */
export function requireVduse(): Suite {
  const here = existsSync("/dev/vduse/control") && existsSync("/sys/bus/vdpa/drivers/virtio_vdpa");
  return requirePeer("VDUSE", here, "npm test runs this in its virtual machine; else modprobe vduse virtio_vdpa");
}

let serial = 0;

/** A device name that no other test of this boot has. */
export function deviceName(): string {
  return `ry${process.pid}x${serial++}`;
}

/** Attaches a port to a container and gives it host addresses `number`; eth0 is up by then. */
export async function container(
  ringyard: SwitchProcess,
  port: string,
  inside: Namespace,
  number: number,
): Promise<Host> {
  await attach(ringyard, port, inside);
  return address(inside, number);
}

export async function attach(
  ringyard: SwitchProcess,
  port: string,
  inside: Namespace,
  how: { ifname?: string; ip?: string[] } = {},
): Promise<Attached> {
  return ringyard.request("port.attach", { name: port, to: "netns", netns: inside.name, ...how });
}

/** Names of the VDUSE devices there are, whoever made them. */
export async function vduseDevices(): Promise<string[]> {
  const names = await Array.fromAsync(new Bun.Glob("*").scan({ cwd: "/sys/class/vduse", onlyFiles: false }));
  return names.filter((name) => name !== "control").sort();
}
