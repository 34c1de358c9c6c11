// The vDPA bus, by generic netlink: VDUSE devices put on it and taken off, devices listed and looked at. What the `vdpa`
// program of iproute2 does.
//
//   VDPA_CMD_DEV_NEW, DEV_DEL:   acknowledged when it is done           DEV_GET, DEV_CONFIG_GET:  attributes
//
// Putting a device on the bus probes its driver, taking it off removes the driver, and both wait for what VDUSE's user space
// answers, holding vdpa_dev_lock (drivers/vdpa/vdpa.c). So every call here may block: the clerk's thread only.

import { existsSync } from "node:fs";
import { RingyardError } from "../../core/errors.ts";
import { EAGAIN, EEXIST, EINVAL, ENODEV, ENOENT, EPERM, SysError } from "../../sys/errno.ts";
import { stringAttribute, textOf } from "../../sys/netlink.ts";
import * as vdpa from "../../uapi/vdpa.ts";
import { VIRTIO_NET_S_LINK_UP } from "../../uapi/virtio_net.ts";
import type { Features } from "../../virtio/features.ts";
import { macText } from "../link/link.ts";
import { type Attributes, familyNumber, genlCall, genlDump } from "./genetlink.ts";

export const VDPA_DEVICES = "/sys/bus/vdpa/devices";
/** The management device whose devices are those of VDUSE. */
const VDUSE_MGMTDEV = "vduse";

export interface BusDevice {
  name: string;
  /** What stands in its configuration, as VDUSE_CREATE_DEV got it. */
  vendorId: number;
  /** VIRTIO_ID_*. */
  deviceId: number;
  maxQueues: number;
  maxQueueSize: number;
}

/** What a driver has negotiated, and what it read in the configuration space. */
export interface BusConfig {
  mac: string;
  mtu: number;
  linkUp: boolean;
  features: Features;
  /** Absent without MQ. */
  maxQueuePairs?: number;
}

/** Puts the VDUSE device `name`, whose queues are set up, on the bus; a driver may take it at once. Throws RingyardError. */
export function vdpaAdd(name: string): void {
  call(vdpa.VDPA_CMD_DEV_NEW, name, [stringAttribute(vdpa.VDPA_ATTR_MGMTDEV_DEV_NAME, VDUSE_MGMTDEV)]);
}

/** Takes a device off the bus, its driver with it. One that is not there is fine. Throws RingyardError. */
export function vdpaDelete(name: string): void {
  if (onBus(name)) call(vdpa.VDPA_CMD_DEV_DEL, name, [], [ENODEV]);
}

export function onBus(name: string): boolean {
  return existsSync(`${VDPA_DEVICES}/${name}`);
}

/** Every device that some management device has put on the bus; none where there is no bus. Throws RingyardError. */
export function vdpaList(): BusDevice[] {
  if (!existsSync(VDPA_DEVICES)) return [];
  const family = findFamily();
  try {
    return genlDump(family, vdpa.VDPA_CMD_DEV_GET, "VDPA_CMD_DEV_GET").map(deviceOf);
  } catch (error) {
    throw explain(error, "bus");
  }
}

/** One device, or undefined. Throws RingyardError. */
export function vdpaFind(name: string): BusDevice | undefined {
  if (!onBus(name)) return undefined;
  const answer = call(vdpa.VDPA_CMD_DEV_GET, name, [], [ENODEV]);
  return answer && deviceOf(answer);
}

/** What the device's driver has negotiated; undefined before it has, and without a device. Throws RingyardError. */
export function vdpaConfig(name: string): BusConfig | undefined {
  if (!onBus(name)) return undefined;
  const answer = call(vdpa.VDPA_CMD_DEV_CONFIG_GET, name, [], [ENODEV, EAGAIN]);
  return answer && configOf(answer);
}

/** A call about one device; undefined where it fails with one of `expected`. */
function call(command: number, name: string, more: Uint8Array[], expected: number[] = []): Attributes | undefined {
  const family = findFamily();
  try {
    const attributes = [stringAttribute(vdpa.VDPA_ATTR_DEV_NAME, name), ...more];
    return genlCall(family, command, attributes, COMMAND_NAMES[command]);
  } catch (error) {
    if (error instanceof SysError && expected.includes(error.errno)) return undefined;
    throw explain(error, name);
  }
}

const COMMAND_NAMES: Readonly<Record<number, string>> = {
  [vdpa.VDPA_CMD_DEV_NEW]: "VDPA_CMD_DEV_NEW",
  [vdpa.VDPA_CMD_DEV_DEL]: "VDPA_CMD_DEV_DEL",
  [vdpa.VDPA_CMD_DEV_GET]: "VDPA_CMD_DEV_GET",
  [vdpa.VDPA_CMD_DEV_CONFIG_GET]: "VDPA_CMD_DEV_CONFIG_GET",
};

/** The family lives in the first network namespace alone (`netnsok` is false). */
function findFamily(): number {
  try {
    return familyNumber(vdpa.VDPA_GENL_NAME);
  } catch (error) {
    if (!(error instanceof SysError) || error.errno !== ENOENT) throw error;
    if (!existsSync(VDPA_DEVICES)) throw new RingyardError("MISSING", "no vDPA bus in this kernel", "modprobe vduse");
    const next = "run ringyard in the host's network namespace";
    throw new RingyardError("UNSUPPORTED", "vDPA devices cannot be managed from this network namespace", next);
  }
}

/** What the kernel's answer means for a person. */
function explain(error: unknown, name: string): unknown {
  if (!(error instanceof SysError)) return error;
  const subject = `vdpa ${name}`;
  switch (error.errno) {
    case EPERM:
      return new RingyardError("PERMISSION", `${subject}: may not manage vDPA devices`, "run as root: sudo ringyard");
    case EEXIST:
      return new RingyardError("EXISTS", `${subject}: the vDPA bus has a device of this name`, "choose another name");
    case ENODEV:
      return new RingyardError("MISSING", `${subject}: the kernel's vduse is not loaded`, "modprobe vduse");
    case EINVAL:
      return new RingyardError("NOT_FOUND", `${subject}: no VDUSE device of this name has its queues set up`);
    default:
      return new RingyardError("SYSTEM", `${subject}: ${error.message}`);
  }
}

function deviceOf(attributes: Attributes): BusDevice {
  const number = (type: number) => attributes.get(type)?.getUint32(0, true) ?? 0;
  return {
    name: textOf(attributes.get(vdpa.VDPA_ATTR_DEV_NAME)),
    vendorId: number(vdpa.VDPA_ATTR_DEV_VENDOR_ID),
    deviceId: number(vdpa.VDPA_ATTR_DEV_ID),
    maxQueues: number(vdpa.VDPA_ATTR_DEV_MAX_VQS),
    maxQueueSize: attributes.get(vdpa.VDPA_ATTR_DEV_MAX_VQ_SIZE)?.getUint16(0, true) ?? 0,
  };
}

function configOf(attributes: Attributes): BusConfig {
  const short = (type: number) => attributes.get(type)?.getUint16(0, true);
  const features = attributes.get(vdpa.VDPA_ATTR_DEV_NEGOTIATED_FEATURES);
  return {
    mac: macText(attributes.get(vdpa.VDPA_ATTR_DEV_NET_CFG_MACADDR)),
    mtu: short(vdpa.VDPA_ATTR_DEV_NET_CFG_MTU) ?? 0,
    linkUp: ((short(vdpa.VDPA_ATTR_DEV_NET_STATUS) ?? 0) & VIRTIO_NET_S_LINK_UP) !== 0,
    features: { lo: features?.getUint32(0, true) ?? 0, hi: features?.getUint32(4, true) ?? 0 },
    maxQueuePairs: short(vdpa.VDPA_ATTR_DEV_NET_CFG_MAX_VQP),
  };
}
