// The older door's address space: a VFIO container with the type1v2 IOMMU, which all IOMMU groups of the switch join.
//
//   /dev/vfio/vfio (container) <- SET_CONTAINER - /dev/vfio/GROUP ...      SET_IOMMU with the first group
//
// The ranges come with GET_INFO's capability chain (IOVA_RANGE) and are asked for after each group that joins. From Linux 4.6.
// Documentation/driver-api/vfio.rst. Control thread.

import { RingyardError } from "../../../core/errors.ts";
import { SysError } from "../../../sys/errno.ts";
import {
  struct_vfio_iommu_type1_dma_map,
  struct_vfio_iommu_type1_dma_unmap,
  struct_vfio_iommu_type1_info,
  struct_vfio_iova_range,
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_INFO_CAPS,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../../../uapi/vfio.ts";
import type { IovaRange } from "./iova.ts";
import type { Machine } from "./machine.ts";
import { SpaceBase } from "./space-base.ts";
import { infoCapabilities, KernelStruct } from "./struct.ts";

/** In struct vfio_iommu_type1_info_cap_iova_range: header (8), nr_iovas, reserved, then the ranges. */
const RANGE_COUNT = 8;
const RANGES = 16;
/** In struct vfio_iommu_type1_info_dma_avail: header (8), avail. */
const AVAILABLE = 8;
/** Without the capability nothing is known to be reserved but what every x86 reserves: the interrupt doorbells. */
const DEFAULT_RANGES: readonly IovaRange[] = [
  { start: 0, last: 0xfedfffff },
  { start: 0xfef00000, last: 2 ** 39 - 1 },
];

export class Type1Space extends SpaceBase {
  readonly door = "type1";
  private groups = 0;

  private constructor(
    machine: Machine,
    private readonly container: number,
  ) {
    super(machine);
  }

  /** Opens the container. Throws SysError, or RingyardError where the kernel's VFIO is no type1v2. */
  static open(machine: Machine): Type1Space {
    const container = machine.open(`${machine.dev}/vfio/vfio`);
    try {
      const version = machine.ioctlValue(container, VFIO_GET_API_VERSION, 0, "VFIO_GET_API_VERSION");
      if (version !== VFIO_API_VERSION) throw new RingyardError("UNSUPPORTED", `VFIO version ${version} is unknown`);
      if (machine.ioctlValue(container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU, "VFIO_CHECK_EXTENSION") === 0) {
        const next = "modprobe vfio_iommu_type1";
        throw new RingyardError("MISSING", "the kernel's VFIO has no type1 IOMMU", next);
      }
      return new Type1Space(machine, container);
    } catch (error) {
      machine.close(container);
      throw error;
    }
  }

  /** Puts a group's devices into this address space; `who` is for errors. Throws SysError or RingyardError. */
  join(group: number, who: string): void {
    const { machine, container } = this;
    machine.ioctl(group, VFIO_GROUP_SET_CONTAINER, int(container), "VFIO_GROUP_SET_CONTAINER");
    try {
      if (this.groups === 0) machine.ioctlValue(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU, "VFIO_SET_IOMMU");
      this.useRanges(this.info().ranges, who);
    } catch (error) {
      this.unset(group);
      throw error;
    }
    this.groups++;
  }

  /** Takes a group out; its devices are closed by then. With the last one every mapping goes. */
  leave(group: number): void {
    this.unset(group);
    this.groups--;
  }

  private unset(group: number): void {
    try {
      this.machine.ioctlValue(group, VFIO_GROUP_UNSET_CONTAINER, 0, "VFIO_GROUP_UNSET_CONTAINER");
    } catch (error) {
      // Closing the group does the same.
      if (!(error instanceof SysError)) throw error;
    }
  }

  /** What the IOMMU says: the ranges that it translates, and how many more mappings the kernel takes. */
  info(): { ranges: IovaRange[]; mappingsLeft: number | undefined } {
    const ask = (size: number) => {
      const info = new KernelStruct(struct_vfio_iommu_type1_info, {}, size);
      this.machine.ioctl(this.container, VFIO_IOMMU_GET_INFO, info.bytes, "VFIO_IOMMU_GET_INFO");
      return info;
    };
    const short = ask(struct_vfio_iommu_type1_info.size);
    if ((short.get("flags") & VFIO_IOMMU_INFO_CAPS) === 0) {
      return { ranges: [...DEFAULT_RANGES], mappingsLeft: undefined };
    }
    const info = ask(Math.max(short.get("argsz"), struct_vfio_iommu_type1_info.size));
    let ranges = [...DEFAULT_RANGES];
    let mappingsLeft: number | undefined;
    for (const { id, offset } of infoCapabilities(info, info.get("cap_offset"))) {
      if (id === VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) mappingsLeft = info.at(offset + AVAILABLE, 4);
      if (id !== VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) continue;
      const { size, fields } = struct_vfio_iova_range;
      const count = Math.min(info.at(offset + RANGE_COUNT, 4), Math.floor(info.bytes.length / size));
      ranges = Array.from({ length: count }, (_, index) => {
        const at = offset + RANGES + index * size;
        return { start: info.at(at + fields.start[0], 8), last: info.at(at + fields.end[0], 8) };
      });
    }
    return { ranges, mappingsLeft };
  }

  protected mapAt(iova: number, vaddr: number, size: number): void {
    const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
    const map = new KernelStruct(struct_vfio_iommu_type1_dma_map, { flags, vaddr, iova, size });
    this.machine.ioctl(this.container, VFIO_IOMMU_MAP_DMA, map.bytes, "VFIO_IOMMU_MAP_DMA");
  }

  protected unmapAt(iova: number, size: number): void {
    const unmap = new KernelStruct(struct_vfio_iommu_type1_dma_unmap, { iova, size });
    this.machine.ioctl(this.container, VFIO_IOMMU_UNMAP_DMA, unmap.bytes, "VFIO_IOMMU_UNMAP_DMA");
  }

  /** Gives the container back; every group has left. */
  close(): void {
    this.forget();
    this.machine.close(this.container);
  }
}

/** An argument that is a pointer to an int. */
function int(value: number): Uint8Array {
  return new Uint8Array(new Int32Array([value]).buffer);
}
