// The driver of a device on the vDPA bus, through sysfs: which one it has, giving it another, and what came of that.
//
//   /sys/bus/vdpa/devices/NAME/driver -> drivers/virtio_vdpa      NAME/virtioN/net/ethN        a network device, for containers
//                                     -> drivers/vhost_vdpa       NAME/vhost-vdpa-N            a character device, for VMs
//
// Binding and unbinding run the driver's probe and remove inside write(2), which wait for what VDUSE's user space answers:
// the clerk's thread only.

import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from "node:fs";
import { basename } from "node:path";
import { RingyardError } from "../../core/errors.ts";
import { EBUSY, SysError } from "../../sys/errno.ts";
import { closeFd, O_NONBLOCK, O_RDWR, openFd } from "../../sys/fd.ts";
import { VDPA_DEVICES } from "./bus.ts";

export type VdpaDriver = "virtio_vdpa" | "vhost_vdpa";

const DRIVERS = "/sys/bus/vdpa/drivers";
/** How long a program that holds a device may take to end. */
const ENDING_MS = 3000;
const LOOK_MS = 20;

/** What `virtio_vdpa` made of a device. */
export interface Netdev {
  name: string;
  index: number;
  mac: string;
}

/** The driver's name, or undefined. */
export function boundDriver(name: string): string | undefined {
  return linkTarget(`${VDPA_DEVICES}/${name}/driver`);
}

/** Throws RingyardError where the kernel does not have the driver. */
export function requireDriver(driver: VdpaDriver): void {
  if (existsSync(`${DRIVERS}/${driver}`)) return;
  throw new RingyardError("MISSING", `the kernel's ${driver} is not loaded`, `modprobe ${driver}`);
}

/** Gives the device this driver instead of whatever it has. Throws RingyardError, BUSY where a VM holds the device. */
export function bindDriver(name: string, driver: VdpaDriver): void {
  if (boundDriver(name) === driver) return;
  requireDriver(driver);
  unbindDriver(name);
  // Nobody else's modprobe shall take it meanwhile, and an override of somebody's would keep it from us.
  write(name, `${VDPA_DEVICES}/${name}/driver_override`, driver);
  write(name, `${DRIVERS}/${driver}/bind`, name);
}

/** Takes the device's driver away. Throws RingyardError, BUSY where a VM holds the device. */
function unbindDriver(name: string): void {
  const bound = boundDriver(name);
  if (bound === undefined) return;
  refuseWhileOpen(name);
  write(name, `${DRIVERS}/${bound}/unbind`, name);
}

/** Leaves the device as it was: with the driver `before`, or without any. */
export function restoreDriver(name: string, before: string | undefined): void {
  if (before === "virtio_vdpa" || before === "vhost_vdpa") bindDriver(name, before);
  else unbindDriver(name);
}

/**
 * Throws BUSY where somebody has /dev/vhost-vdpa-N open: unbinding or deleting the device would wait, with the bus locked,
 * until they close it. A program that is ending may take a moment. A look resets the device, which is about to lose its
 * driver anyhow.
 */
export function refuseWhileOpen(name: string): void {
  const path = vhostPath(name);
  if (path === undefined) return;
  const free = appears(() => isFree(path) || undefined, ENDING_MS);
  if (free) return;
  throw new RingyardError("BUSY", `vdpa ${name}: a VM or another program has ${path} open`, "stop it first");
}

/** Only one program may have it open (drivers/vhost/vdpa.c, vhost_vdpa_open). */
function isFree(path: string): boolean {
  let fd = -1;
  try {
    fd = openFd(path, O_RDWR | O_NONBLOCK);
    return true;
  } catch (error) {
    // Whatever else keeps it from being opened does not keep it from being unbound.
    return !(error instanceof SysError && error.errno === EBUSY);
  } finally {
    closeFd(fd);
  }
}

/** Looks until `look` finds something, for at most `limitMs`. */
export function appears<T>(look: () => T | undefined, limitMs: number): T | undefined {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = look();
    if (found !== undefined || performance.now() > deadline) return found;
    Bun.sleepSync(LOOK_MS);
  }
}

/** The character device that `vhost_vdpa` made, or undefined. */
export function vhostPath(name: string): string | undefined {
  const entry = entries(`${VDPA_DEVICES}/${name}`).find((each) => /^vhost-vdpa-\d+$/.test(each));
  return entry && `/dev/${entry}`;
}

/** The virtio device that `virtio_vdpa` made, and its driver's name; or undefined. */
export function virtioDevice(name: string): { path: string; driver: string | undefined } | undefined {
  const entry = entries(`${VDPA_DEVICES}/${name}`).find((each) => /^virtio\d+$/.test(each));
  if (entry === undefined) return undefined;
  const path = `${VDPA_DEVICES}/${name}/${entry}`;
  return { path, driver: linkTarget(`${path}/driver`) };
}

/** The device's network device, where it is in the namespace that /sys shows: elsewhere it cannot be seen from here. */
export function netdevOf(name: string): Netdev | undefined {
  const virtio = virtioDevice(name);
  if (virtio === undefined) return undefined;
  const [netdev] = entries(`${virtio.path}/net`);
  if (netdev === undefined) return undefined;
  const text = (attribute: string) => readFileSync(`${virtio.path}/net/${netdev}/${attribute}`, "utf8").trim();
  return { name: netdev, index: Number(text("ifindex")), mac: text("address") };
}

function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    // Devices come and go.
    return [];
  }
}

function linkTarget(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined;
  }
}

/** One write(2) to an attribute: the kernel acts inside it. */
function write(name: string, path: string, text: string): void {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_WRONLY);
    writeSync(fd, text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
      throw new RingyardError("PERMISSION", `vdpa ${name}: may not write ${path}`, "run as root: sudo ringyard");
    }
    throw new RingyardError("SYSTEM", `vdpa ${name}: ${path}: ${code}`, "dmesg says more");
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
