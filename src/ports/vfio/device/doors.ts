// The two doors to a device and its address space, each shared by all devices of the process that go through it.
//
//   type1      container <- group (one open file for all our devices of the group) -> GET_DEVICE_FD -> device file
//   iommufd    IOAS      <- /dev/vfio/devices/vfioN is the device file
//
// A space lives as long as a device uses it; memory is mapped once for all of them. Control thread.

import { RingyardError } from "../../../core/errors.ts";
import type { DmaSpace } from "../../../mem/dma.ts";
import { cString, EBUSY, SysError } from "../../../sys/errno.ts";
import {
  struct_vfio_group_status,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
} from "../../../uapi/vfio.ts";
import { IommufdSpace } from "./iommufd-space.ts";
import type { Machine } from "./machine.ts";
import type { Door } from "./refusals.ts";
import { KernelStruct } from "./struct.ts";
import { Type1Space } from "./type1-space.ts";

/** An open device in an address space. */
export interface OpenedDevice {
  fd: number;
  space: DmaSpace;
  /** The device's id for /dev/iommu, where that is the door. */
  iommuId?: number;
  /** Closes the device's file and gives group and space back. */
  release(): void;
}

interface Group {
  fd: number;
  users: number;
}

export class Doors {
  private readonly groups = new Map<string, Group>();
  private type1: Type1Space | undefined;
  private iommufd: IommufdSpace | undefined;
  private attached = 0;
  private readonly open = new Set<string>();

  constructor(private readonly machine: Machine) {}

  /** The address spaces that devices are in. */
  spaces(): DmaSpace[] {
    return [this.type1, this.iommufd].filter((space) => space !== undefined);
  }

  /** Throws SysError or RingyardError, leaving nothing open. `node` is the device's own file, `vfio0`. */
  openDevice(address: string, door: Door, group: string, node: string): OpenedDevice {
    // The older door would open it a second time for the same process.
    if (this.open.has(address)) throw new RingyardError("BUSY", `${address} is a port of this switch already`);
    const opened = door === "type1" ? this.openType1(address, group) : this.openIommufd(address, node);
    this.open.add(address);
    const release = () => {
      this.open.delete(address);
      opened.release();
    };
    return { ...opened, release };
  }

  private openType1(address: string, group: string): OpenedDevice {
    const shared = this.enterGroup(address, group);
    try {
      const space = this.type1 as Type1Space;
      const name = cString(address);
      const fd = this.machine.ioctl(shared.fd, VFIO_GROUP_GET_DEVICE_FD, name, "VFIO_GROUP_GET_DEVICE_FD");
      const release = () => {
        this.machine.close(fd);
        this.leaveGroup(group);
      };
      return { fd, space, release };
    } catch (error) {
      this.leaveGroup(group);
      throw error;
    }
  }

  private enterGroup(address: string, name: string): Group {
    const known = this.groups.get(name);
    if (known !== undefined) {
      known.users++;
      return known;
    }
    const { machine } = this;
    const fd = machine.open(`${machine.dev}/vfio/${name}`);
    try {
      const status = new KernelStruct(struct_vfio_group_status);
      machine.ioctl(fd, VFIO_GROUP_GET_STATUS, status.bytes, "VFIO_GROUP_GET_STATUS");
      if ((status.get("flags") & VFIO_GROUP_FLAGS_VIABLE) === 0) throw new SysError("group", EBUSY, "not viable");
      this.type1 ??= Type1Space.open(machine);
      this.type1.join(fd, address);
    } catch (error) {
      machine.close(fd);
      this.dropType1();
      throw error;
    }
    const group = { fd, users: 1 };
    this.groups.set(name, group);
    return group;
  }

  private leaveGroup(name: string): void {
    const group = this.groups.get(name);
    if (group === undefined || --group.users > 0) return;
    this.groups.delete(name);
    this.type1?.leave(group.fd);
    this.machine.close(group.fd);
    this.dropType1();
  }

  private dropType1(): void {
    if (this.groups.size > 0) return;
    this.type1?.close();
    this.type1 = undefined;
  }

  private openIommufd(address: string, node: string): OpenedDevice {
    const { machine } = this;
    const fd = machine.open(`${machine.dev}/vfio/devices/${node}`);
    try {
      this.iommufd ??= IommufdSpace.open(machine);
      const space = this.iommufd;
      const iommuId = space.attach(fd, address);
      this.attached++;
      const release = () => {
        machine.close(fd);
        this.attached--;
        this.dropIommufd();
      };
      return { fd, space, iommuId, release };
    } catch (error) {
      machine.close(fd);
      this.dropIommufd();
      throw error;
    }
  }

  private dropIommufd(): void {
    if (this.attached > 0) return;
    this.iommufd?.close();
    this.iommufd = undefined;
  }
}
