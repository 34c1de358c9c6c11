// Who drives a NIC from user space at the moment: the processes that have its VFIO group or its character device open.
//
//   /proc/PID/fd/N -> /dev/vfio/7, /dev/vfio/devices/vfio0
//
// The kernel lets a driver go only when they have closed it, and the write that asks for that waits: so they are looked for
// first. Processes of others are seen by root only; one in a container of its own kind of /proc is not seen at all.
// Control thread.

import { readlinkSync } from "node:fs";
import { join } from "node:path";
import type { NicUser } from "../../../core/nics.ts";
import { DEVICES, type Sysfs } from "./sysfs.ts";

export function usersOf(machine: Sysfs, address: string, group: string | undefined): NicUser[] {
  const nodes = machine.list(`${DEVICES}/${address}/vfio-dev`).map((name) => `/dev/vfio/devices/${name}`);
  if (group !== undefined) nodes.push(`/dev/vfio/${group}`);
  return machine
    .list("proc")
    .filter((name) => /^\d+$/.test(name) && holds(machine, name, nodes))
    .map((pid) => ({ pid: Number(pid), command: machine.text(`proc/${pid}/comm`) ?? "?" }));
}

export function userText({ pid, command }: NicUser): string {
  return `process ${pid} (${command})`;
}

function holds(machine: Sysfs, pid: string, nodes: readonly string[]): boolean {
  return machine.list(`proc/${pid}/fd`).some((fd) => {
    try {
      return nodes.includes(readlinkSync(join(machine.root, "proc", pid, "fd", fd)));
    } catch {
      return false;
    }
  });
}
