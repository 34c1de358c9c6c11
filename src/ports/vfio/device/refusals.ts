// Why a device cannot be had, each as one line that says what to do. The kernel's own answers are numbers which mean several
// things, so most of it is looked up beforehand. Control thread.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { RingyardError } from "../../../core/errors.ts";
import { quoted } from "../../../core/quote.ts";
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, EPERM, SysError } from "../../../sys/errno.ts";
import type { Machine } from "./machine.ts";
import { isPciAddress, type PciSysfs, VFIO_DRIVER } from "./pci-sysfs.ts";

/** Which way to the IOMMU. */
export type Door = "type1" | "iommufd";

/** Throws what can be known before the device is touched. */
export function refuseEarly(machine: Machine, device: PciSysfs): void {
  const { address } = device;
  if (!isPciAddress(address)) {
    const next = "write it as ringyard nic list does: 0000:03:00.0";
    throw new RingyardError("BAD_URI", `${quoted(address.slice(0, 40))} is no PCI address`, next);
  }
  if (!device.exists) throw new RingyardError("NOT_FOUND", `no PCI device ${address}`, "ringyard nic list");
  if (device.group === "") {
    const next = "turn on VT-d or AMD-Vi in the firmware, and on Intel boot with intel_iommu=on";
    throw new RingyardError("UNSUPPORTED", `${address} has no IOMMU before it`, next);
  }
  if (device.driver === VFIO_DRIVER) return;
  if (!existsSync(join(machine.sysfs, "bus/pci/drivers", VFIO_DRIVER))) {
    throw new RingyardError("MISSING", "the kernel module vfio-pci is not loaded", "modprobe vfio-pci");
  }
  const driver = device.driver === "" ? "nobody" : device.driver;
  const message = `${address} is driven by ${driver}, not by ${VFIO_DRIVER}`;
  throw new RingyardError("BUSY", message, `ringyard nic take ${address}`);
}

/** Devices of the group that keep it from being given to user space. Bridges may keep their drivers. */
function groupObstacles(device: PciSysfs): string[] {
  return device
    .neighbours()
    .filter(({ driver, isBridge }) => driver !== "" && driver !== VFIO_DRIVER && driver !== "pcieport" && !isBridge)
    .map(({ address, driver }) => `${address} (${driver})`);
}

/** An error of opening by either door. */
export function openError(machine: Machine, device: PciSysfs, door: Door, error: unknown): unknown {
  if (!(error instanceof SysError)) return error;
  const { address } = device;
  const obstacles = groupObstacles(device);
  if (obstacles.length > 0) {
    const message = `${address} shares IOMMU group ${device.group} with ${obstacles.join(", ")}`;
    const next = `give those to vfio-pci too (ringyard nic take), or put ${address} in another slot`;
    return new RingyardError("BUSY", message, next);
  }
  if (error.errno === ENOENT || error.errno === ENODEV) return missing(error, door);
  if (error.errno === EBUSY || (error.errno === EINVAL && isBind(error))) {
    const message = `${address} is in use by another process`;
    const node = device.characterDevice();
    const files = [device.group, ...(node === "" ? [] : [`devices/${node}`])]
      .filter((file) => existsSync(join(machine.dev, "vfio", file)))
      .map((file) => `/dev/vfio/${file}`);
    return new RingyardError("BUSY", message, `fuser -v ${files.join(" ")} names it`);
  }
  if (error.errno === EPERM && JOINS.some((call) => error.message.includes(call))) {
    const message = `the machine does not remap interrupts, so ${address} could raise any`;
    const next = "turn interrupt remapping on in the firmware; where nothing else helps, allow_unsafe_interrupts=1";
    return new RingyardError("UNSUPPORTED", message, next);
  }
  if (error.errno === EACCES || error.errno === EPERM) {
    const next = "start ringyard as root, or give its user the files below /dev/vfio";
    return new RingyardError("PERMISSION", `${address} may not be opened (${error.message})`, next);
  }
  return new RingyardError("SYSTEM", `${address} cannot be opened by ${door} (${error.message})`, "dmesg says more");
}

/** Where a device comes under the IOMMU: refused (EPERM) without interrupt remapping, to root as well. */
const JOINS = ["VFIO_SET_IOMMU", "VFIO_DEVICE_ATTACH_IOMMUFD_PT"];

/** A second user of a character device gets EINVAL from the bind (vfio_main.c: vfio_df_device_first_open's caller). */
function isBind(error: SysError): boolean {
  return error.message.includes("BIND_IOMMUFD");
}

function missing(error: SysError, door: Door): RingyardError {
  if (door === "iommufd") {
    const next = "use iommu=type1, or a kernel with IOMMUFD and VFIO_DEVICE_CDEV";
    return new RingyardError("MISSING", `the kernel has no iommufd for devices (${error.message})`, next);
  }
  return new RingyardError("MISSING", `VFIO is not there (${error.message})`, "modprobe -a vfio-pci vfio_iommu_type1");
}
