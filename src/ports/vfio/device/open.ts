// Opens a NIC that is bound to vfio-pci: finds the door, says in words why it does not open, and gives back the device.
//
//   openVfioDevice("0000:03:00.0", { door: "auto" }) -> VfioDevice, in the address space of its door
//
// `auto` takes the newer door (/dev/iommu and the device's own file) where the kernel has it, else group and container; devices
// of one process go through one door as long as all of them say auto. Control thread; a failed open leaves nothing behind.

import { existsSync } from "node:fs";
import { RingyardError } from "../../../core/errors.ts";
import type { DmaSpace } from "../../../mem/dma.ts";
import { Doors } from "./doors.ts";
import { type Machine, thisMachine } from "./machine.ts";
import { PciSysfs } from "./pci-sysfs.ts";
import { type Door, openError, refuseEarly } from "./refusals.ts";
import { VfioDevice } from "./vfio-device.ts";

export interface OpenOptions {
  door?: "auto" | Door;
  /** For tests. */
  machine?: Machine;
}

const doorsOf = new WeakMap<Machine, Doors>();

function doorsFor(machine: Machine): Doors {
  const doors = doorsOf.get(machine) ?? new Doors(machine);
  doorsOf.set(machine, doors);
  return doors;
}

/** Throws RingyardError. */
export function openVfioDevice(address: string, options: OpenOptions = {}): VfioDevice {
  const machine = options.machine ?? thisMachine;
  const device = new PciSysfs(machine, address);
  refuseEarly(machine, device);
  const door = chooseDoor(machine, device, options.door ?? "auto");
  const doors = doorsFor(machine);
  try {
    const opened = doors.openDevice(address, door, device.group, device.characterDevice());
    try {
      return new VfioDevice(machine, device, opened);
    } catch (error) {
      opened.release();
      throw error;
    }
  } catch (error) {
    throw openError(machine, device, door, error);
  }
}

/** The address spaces that this process's devices are in: where a guest's memory is mapped for them. */
export function dmaSpacesInUse(machine: Machine = thisMachine): DmaSpace[] {
  return doorsFor(machine).spaces();
}

function chooseDoor(machine: Machine, device: PciSysfs, wanted: "auto" | Door): Door {
  if (wanted === "type1") return wanted;
  const node = device.characterDevice();
  const usable = node !== "" && existsSync(`${machine.dev}/vfio/devices/${node}`) && existsSync(`${machine.dev}/iommu`);
  if (usable) return "iommufd";
  if (wanted === "auto") return "type1";
  const lacks = existsSync(`${machine.dev}/iommu`) ? "character devices for VFIO" : "/dev/iommu";
  const next = "use iommu=type1, or a kernel with IOMMUFD and VFIO_DEVICE_CDEV";
  throw new RingyardError("MISSING", `this kernel has no ${lacks}`, next);
}
