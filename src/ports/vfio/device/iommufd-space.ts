// The newer door's address space: an IOAS of /dev/iommu, to which each device is attached by its own character device.
//
//   /dev/iommu: IOAS <- ATTACH_IOMMUFD_PT - /dev/vfio/devices/vfioN, bound by BIND_IOMMUFD
//
// One IOAS for all devices of the switch: the kernel keeps as many page tables below it as there are IOMMUs. Ranges are asked for
// after each attach. A memory file may be mapped without having it mapped here (`mapFile`). Control thread.

import {
  struct_vfio_device_attach_iommufd_pt,
  struct_vfio_device_bind_iommufd,
  struct_vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from "../../../uapi/vfio.ts";
import { NestedIommufd } from "./iommufd-nested.ts";
import type { Machine } from "./machine.ts";
import { SpaceBase } from "./space-base.ts";
import { KernelStruct } from "./struct.ts";

export class IommufdSpace extends SpaceBase {
  readonly door = "iommufd";

  private constructor(
    machine: Machine,
    /** For what the space itself does not do: options, page-table objects, dirty tracking. */
    readonly iommu: NestedIommufd,
    readonly ioas: number,
  ) {
    super(machine);
  }

  /** Throws SysError. */
  static open(machine: Machine): IommufdSpace {
    const iommu = new NestedIommufd(machine, machine.open(`${machine.dev}/iommu`));
    try {
      return new IommufdSpace(machine, iommu, iommu.allocIoas());
    } catch (error) {
      iommu.close();
      throw error;
    }
  }

  /** Takes a device (its open character device) in; returns its id for /dev/iommu. Closing the file takes it out again. */
  attach(device: number, who: string): number {
    const bind = new KernelStruct(struct_vfio_device_bind_iommufd, { iommufd: this.iommu.fd });
    this.machine.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, bind.bytes, "VFIO_DEVICE_BIND_IOMMUFD");
    this.attachTo(device, this.ioas);
    this.useRanges(this.iommu.iovaRanges(this.ioas).ranges, who);
    return bind.get("out_devid");
  }

  /** Attaches a bound device to an IOAS or a page-table object in the place of what it has; returns the page tables' id. */
  attachTo(device: number, pt_id: number): number {
    const attach = new KernelStruct(struct_vfio_device_attach_iommufd_pt, { pt_id });
    this.machine.ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, attach.bytes, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
    return attach.get("pt_id");
  }

  /** The device reaches no memory at all from here on. */
  detach(device: number): void {
    const detach = new KernelStruct(struct_vfio_device_detach_iommufd_pt, {});
    this.machine.ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, detach.bytes, "VFIO_DEVICE_DETACH_IOMMUFD_PT");
  }

  /** Maps `size` bytes of a memfd from `start`; as `map` otherwise. */
  mapFile(fd: number, start: number, size: number): number {
    return this.mapBy(start, size, (iova) => this.iommu.mapFile(this.ioas, iova, fd, start, size));
  }

  protected mapAt(iova: number, address: number, size: number): void {
    this.iommu.map(this.ioas, iova, address, size);
  }

  protected unmapAt(iova: number, size: number): void {
    this.iommu.unmap(this.ioas, iova, size);
  }

  /** Gives /dev/iommu back, with every object in it; the devices are closed. */
  close(): void {
    this.forget();
    this.iommu.close();
  }
}
