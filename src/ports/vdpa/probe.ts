// Whether VDUSE ports work on this machine, for `ringyard doctor`: from the device node down to the drivers, the first thing
// that is missing and the command that mends it. Reads /proc, /sys, /boot and /lib/modules; changes nothing, and asks no
// netlink, since a call to the vDPA family waits for whoever else is in one. Any thread.

import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { gunzipSync } from "node:zlib";
import type { PortProbe } from "../port.ts";

/** What the probe sees of the machine; tests hand in another one. */
export interface Machine {
  /** As `uname -r` says it. */
  release: string;
  /** Text of a file (of a .gz: unpacked), or null. */
  text(path: string): string | null;
  exists(path: string): boolean;
  /** Whether this process may read and write it. */
  writable(path: string): boolean;
}

const CONTROL = "/dev/vduse/control";
const DRIVERS = "/sys/bus/vdpa/drivers";
const CAP_NET_ADMIN = 12n; // linux/capability.h
/** VDUSE came with 5.15; network devices were refused until 6.9 (drivers/vdpa/vdpa_user/vduse_dev.c, allowed_device_id). */
const FIRST_VDUSE = [5, 15] as const;
const FIRST_NET = [6, 9] as const;

export function probeVduse(machine: Machine = thisMachine): PortProbe {
  if (!machine.exists(CONTROL)) return { available: false, ...whyNoControl(machine) };
  if (!machine.writable(CONTROL)) {
    return { available: false, reason: `may not open ${CONTROL}`, next: "run as root: sudo ringyard" };
  }
  if (!mayAdminister(machine)) {
    return { available: false, reason: "no CAP_NET_ADMIN", next: "run as root: sudo ringyard" };
  }
  if (!machine.exists("/sys/bus/vdpa")) {
    return {
      available: false,
      reason: "no vDPA bus in /sys",
      next: "mount the host's /sys: mount -t sysfs sysfs /sys",
    };
  }
  return { available: true, ...limits(machine) };
}

type Reason = Pick<PortProbe, "reason" | "next">;

/** Why there is no control device: kernel too old, built without it, module not installed, not loaded, no node. */
function whyNoControl(machine: Machine): Reason {
  if (machine.exists("/sys/class/vduse") || machine.exists("/sys/module/vduse")) {
    return { reason: `vduse is loaded, but ${CONTROL} is not here`, next: "start the container with -v /dev:/dev" };
  }
  const newer = "use Linux 6.9 or newer";
  if (older(machine.release, FIRST_VDUSE)) return { reason: `Linux ${machine.release} has no VDUSE`, next: newer };
  const option = kernelOption(machine, "CONFIG_VDPA_USER");
  if (option === "n") {
    const next = "use a kernel with CONFIG_VDPA=m, CONFIG_VDPA_USER=m and CONFIG_VIRTIO_VDPA=m";
    return { reason: `Linux ${machine.release} is built without VDUSE (CONFIG_VDPA_USER)`, next };
  }
  if (hasModule(machine, "vduse") === false) {
    const next = `install the kernel's other modules: apt install linux-modules-extra-${machine.release}, or their like`;
    return { reason: `the module vduse of Linux ${machine.release} is not installed`, next };
  }
  if (older(machine.release, FIRST_NET)) {
    return { reason: `VDUSE of Linux ${machine.release} takes no network devices`, next: newer };
  }
  return { reason: "the module vduse is not loaded", next: "modprobe -a vduse virtio_vdpa vhost_vdpa" };
}

/** What does not work although ports can be made. */
function limits(machine: Machine): Reason {
  const missing: string[] = [];
  const lost: string[] = [];
  if (!machine.exists(`${DRIVERS}/virtio_vdpa`)) missing.push("virtio_vdpa");
  if (!machine.exists("/sys/bus/virtio/drivers/virtio_net")) missing.push("virtio_net");
  if (missing.length > 0) lost.push("containers");
  if (!machine.exists(`${DRIVERS}/vhost_vdpa`)) {
    missing.push("vhost_vdpa");
    lost.push("VMs");
  }
  if (missing.length > 0) {
    const verb = missing.length === 1 ? "is" : "are";
    const reason = `not for ${lost.join(" and ")}: ${missing.join(", ")} ${verb} not loaded`;
    return { reason, next: `modprobe${missing.length === 1 ? "" : " -a"} ${missing.join(" ")}` };
  }
  if (older(machine.release, FIRST_NET)) {
    const reason = `VDUSE of Linux before 6.9 takes no network devices, unless ${machine.release} has that added`;
    return { reason, next: "use Linux 6.9 or newer" };
  }
  return {};
}

function mayAdminister(machine: Machine): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(machine.text("/proc/self/status") ?? "")?.[1] ?? "0";
  return ((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

function older(kernel: string, [major, minor]: readonly [number, number]): boolean {
  const [, ours, theirs] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  if (ours === undefined) return false;
  return Number(ours) < major || (Number(ours) === major && Number(theirs) < minor);
}

/** "y", "m", "n" (not set), or null where no configuration is to be found. */
function kernelOption(machine: Machine, option: string): string | null {
  const text = machine.text(`/boot/config-${machine.release}`) ?? machine.text("/proc/config.gz");
  if (text === null) return null;
  return new RegExp(`^${option}=([ym])$`, "m").exec(text)?.[1] ?? "n";
}

/** Whether the module is installed or built in; null where there is no list of modules. */
function hasModule(machine: Machine, module: string): boolean | null {
  const lists = ["modules.dep", "modules.builtin"].map((name) =>
    machine.text(`/lib/modules/${machine.release}/${name}`),
  );
  if (lists.every((list) => list === null)) return null;
  return lists.some((list) => list?.includes(`/${module}.ko`));
}

const thisMachine: Machine = {
  release: release(),
  text(path) {
    try {
      const bytes = readFileSync(path);
      return (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
    } catch {
      return null;
    }
  },
  exists: existsSync,
  writable(path) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
      return true;
    } catch {
      return false;
    }
  },
};
