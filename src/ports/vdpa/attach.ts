// What is done to a VDUSE device on the bus, whole steps of it: looked at, taken off, given to a container or a VM. A step
// that fails leaves the device with the driver it had. The clerk's thread only: every step may block (bus.ts, driver.ts).

import { existsSync } from "node:fs";
import { RingyardError } from "../../core/errors.ts";
import { closeFd } from "../../sys/fd.ts";
import { onBus, vdpaDelete, vdpaFind, vdpaList } from "./bus.ts";
import {
  appears,
  bindDriver,
  boundDriver,
  type Netdev,
  netdevOf,
  refuseWhileOpen,
  requireDriver,
  restoreDriver,
  vhostPath,
  virtioDevice,
} from "./driver.ts";
import { openPlace, type Place, placeNetdev, refuseTakenName } from "./netdev.ts";

/** How long a network device, or a node in /dev, may take to appear once its driver is bound (udev may load modules). */
const APPEAR_MS = 10_000;

export interface Inspection {
  onBus: boolean;
  driver?: string;
  vendorId?: number;
  /** Only while it is in our network namespace. */
  netdev?: string;
  vhostPath?: string;
}

export interface Listed {
  name: string;
  vendorId: number;
  driver?: string;
}

/**
 * Asks nothing that waits for the device's messages: a VM that has reset its device while no switch ran holds what
 * DEV_CONFIG_GET needs (cf_lock, drivers/vdpa/vdpa.c) until the switch that looks here has answered it.
 */
export function inspect(name: string): Inspection {
  const device = vdpaFind(name);
  if (device === undefined) return { onBus: false };
  return {
    onBus: true,
    vendorId: device.vendorId,
    driver: boundDriver(name),
    netdev: netdevOf(name)?.name,
    vhostPath: vhostPath(name),
  };
}

export function list(): Listed[] {
  return vdpaList().map(({ name, vendorId }) => ({ name, vendorId, driver: boundDriver(name) }));
}

/** Takes a device off the bus, and so out of its container; absent is fine. Throws BUSY while a VM holds it. */
export function remove(name: string): void {
  refuseWhileOpen(name);
  vdpaDelete(name);
}

/** Binds `virtio_vdpa` and puts the network device that comes of it into a container. Throws RingyardError. */
export function attachNetns(name: string, place: Place): { netns: string; ifname: string; mac: string } {
  const target = openPlace(place);
  try {
    requireDriver("virtio_vdpa");
    return changeDriver(name, () => {
      bindDriver(name, "virtio_vdpa");
      const netdev = awaitNetdev(name);
      refuseTakenName(target, netdev.index);
      const { mac } = placeNetdev(netdev.index, target);
      return { netns: place.netns, ifname: place.ifname, mac };
    });
  } finally {
    closeFd(target.netnsFd);
  }
}

/** Binds `vhost_vdpa`. Returns the character device. Throws RingyardError. */
export function attachVm(name: string): { path: string } {
  requireDriver("vhost_vdpa");
  return changeDriver(name, () => {
    bindDriver(name, "vhost_vdpa");
    const path = vhostPath(name);
    const there = path !== undefined && appears(() => existsSync(path) || undefined, APPEAR_MS);
    if (!there) {
      const next = "run ringyard where /dev is the host's";
      throw new RingyardError("MISSING", `vdpa ${name}: there is no ${path ?? "/dev/vhost-vdpa-N"} here`, next);
    }
    return { path };
  });
}

/** Runs `change` on a device that nobody has got yet; where it throws, the driver is again the one before. */
function changeDriver<T>(name: string, change: () => T): T {
  if (!onBus(name)) throw new RingyardError("NOT_FOUND", `vdpa ${name}: there is no such device on the vDPA bus`);
  refuseAttached(name);
  const before = boundDriver(name);
  const netdev = netdevOf(name)?.index;
  try {
    return change();
  } catch (error) {
    // A network device that has moved comes home only by being made anew.
    const moved = netdev !== undefined && netdevOf(name)?.index !== netdev;
    if (moved) restoreDriver(name, undefined);
    restoreDriver(name, before);
    throw error;
  }
}

/** Throws EXISTS where a container has the device: then its network device cannot be seen from here. */
function refuseAttached(name: string): void {
  const attached = boundDriver(name) === "virtio_vdpa" && virtioDevice(name)?.driver === "virtio_net";
  if (!attached || netdevOf(name) !== undefined) return;
  throw new RingyardError("EXISTS", `vdpa ${name}: a container has it already`, "detach it first: ringyard detach");
}

function awaitNetdev(name: string): Netdev {
  const netdev = appears(() => netdevOf(name), APPEAR_MS);
  if (netdev !== undefined) return netdev;
  if (virtioDevice(name)?.driver === undefined) {
    throw new RingyardError("MISSING", "the kernel's virtio_net is not loaded", "modprobe virtio_net");
  }
  throw new RingyardError("SYSTEM", `vdpa ${name}: no network device came of it`, "dmesg says more");
}
