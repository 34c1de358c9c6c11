// A switch under test on VDUSE devices, inside a virtual machine (bench/suites/vduse.ts): its devices as network devices `eth0` of
// namespaces, one each. Whatever forwards frames runs on CPU 0 of the machine.

import { Namespace } from "../../test/support/netns.ts";
import { run } from "../../test/support/process.ts";
import type { Undo } from "../undo.ts";

/** A program starts slowly on an emulated machine; `until` multiplies this by its patience there. */
export const START_LIMIT_MS = 30_000;

/** A namespace with the address of its eth0. */
export interface Host {
  readonly inside: Namespace;
  readonly ip: string;
}

export interface VduseRunning {
  readonly pid: number;
  /** Takes the devices away and ends the program. */
  stop(): Promise<void>;
}

export interface VduseSystem {
  readonly name: string;
  /** Gives each host its eth0, up and addressed. */
  start(hosts: readonly Host[], undo: Undo): Promise<VduseRunning>;
}

let serial = 0;

/** Host `number` of a switch: an empty namespace, and the address that its eth0 shall have, of 198.18.0.0/24 (RFC 2544). */
export async function makeHost(number: number, undo: Undo): Promise<Host> {
  const inside = new Namespace(`ry-${process.pid}-b${serial++}`);
  undo.defer(() => inside.remove());
  await run(["ip", "netns", "add", inside.name]);
  return { inside, ip: `198.18.0.${number}` };
}

/** A name for a device that none had before: the kernel may be slow to forget one. */
export function vduseName(): string {
  return `bench${process.pid}x${serial++}`;
}
