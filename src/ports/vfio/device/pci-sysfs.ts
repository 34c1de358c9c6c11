// What sysfs says of a PCI device before it is opened: its driver, its IOMMU group and who shares that, its character device.
//
//   /sys/bus/pci/devices/0000:03:00.0/driver -> …/vfio-pci
//                                     iommu_group -> …/iommu_groups/7, whose devices/ has every member
//                                     vfio-dev/vfio0      there when bound to vfio-pci; /dev/vfio/devices/vfio0 where the kernel
//                                                         has character devices for VFIO
//
// Read-only; binding is `ringyard nic take`. Control thread.

import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import type { Machine } from "./machine.ts";

const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;
export const VFIO_DRIVER = "vfio-pci";

/** `0000:03:00.0`, as sysfs spells it. */
export function isPciAddress(text: string): boolean {
  return ADDRESS.test(text);
}

export interface GroupMember {
  address: string;
  /** "" for none. */
  driver: string;
  isBridge: boolean;
}

export class PciSysfs {
  private readonly folder: string;

  constructor(
    private readonly machine: Machine,
    readonly address: string,
  ) {
    this.folder = join(machine.sysfs, "bus/pci/devices", address);
  }

  get exists(): boolean {
    return existsSync(this.folder);
  }

  /** "" for none. */
  get driver(): string {
    return this.link("driver");
  }

  /** The IOMMU group's number, or "" without an IOMMU. */
  get group(): string {
    return this.link("iommu_group");
  }

  id(file: "vendor" | "device" | "class"): number {
    return Number(readFileSync(join(this.folder, file), "utf8"));
  }

  /** Everybody in the IOMMU group but this device. */
  neighbours(): GroupMember[] {
    const folder = join(this.folder, "iommu_group/devices");
    const others = existsSync(folder) ? readdirSync(folder).filter((address) => address !== this.address) : [];
    return others.sort().map((address) => {
      const other = new PciSysfs(this.machine, address);
      return { address, driver: other.driver, isBridge: other.exists && other.id("class") >> 16 === 0x06 };
    });
  }

  /** `vfio0`, the name of its character device where the kernel has those; "" where it is not bound to vfio-pci. */
  characterDevice(): string {
    const folder = join(this.folder, "vfio-dev");
    return existsSync(folder) ? (readdirSync(folder)[0] ?? "") : "";
  }

  private link(name: string): string {
    try {
      return basename(readlinkSync(join(this.folder, name)));
    } catch {
      return "";
    }
  }
}
