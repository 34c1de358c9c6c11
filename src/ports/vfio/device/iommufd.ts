// /dev/iommu, call by call: I/O address spaces (IOAS), what is mapped in them, and the page-table objects (HWPT) that the IOMMU
// walks. Each method is one ioctl of linux/iommufd.h and throws SysError; iommufd-nested.ts has those for guests' own page tables.
//
//   IOAS (addresses -> pages) <- attach - device        HWPT (one IOMMU's tables of an IOAS): made by the attach, or here
//
// Pointers in structs lead to pages mapped for the call. Documentation/userspace-api/iommufd.rst. Control thread.

import { mapAnonymous, unmap, viewOf } from "../../../sys/memory.ts";
import {
  IOMMU_DESTROY,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  struct_iommu_destroy,
  struct_iommu_hw_info,
  struct_iommu_hwpt_alloc,
  struct_iommu_hwpt_get_dirty_bitmap,
  struct_iommu_hwpt_set_dirty_tracking,
  struct_iommu_ioas_alloc,
  struct_iommu_ioas_allow_iovas,
  struct_iommu_ioas_change_process,
  struct_iommu_ioas_copy,
  struct_iommu_ioas_iova_ranges,
  struct_iommu_ioas_map,
  struct_iommu_ioas_map_file,
  struct_iommu_ioas_unmap,
  struct_iommu_iova_range,
  struct_iommu_option,
  struct_iommu_vfio_ioas,
} from "../../../uapi/iommufd.ts";
import type { IovaRange } from "./iova.ts";
import type { Machine } from "./machine.ts";
import { KernelStruct, type StructTable } from "./struct.ts";

/** Fixed address, for reading and writing. */
const MAP_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;
/** More than any platform has; the kernel says where it needs more. */
const MAX_RANGES = 128;
const HW_INFO_SIZE = 128;

/** What the kernel says of the IOMMU before a device. */
export interface HwInfo {
  /** IOMMU_HW_INFO_TYPE_*: which struct `data` is. */
  type: number;
  data: Uint8Array;
  /** IOMMU_HW_CAP_* */
  capabilities: number;
  maxPasidLog2: number;
}

export class Iommufd {
  constructor(
    protected readonly machine: Machine,
    readonly fd: number,
  ) {}

  /** One ioctl with a struct; gives it back as the kernel left it. */
  protected call<Field extends string>(
    request: number,
    what: string,
    table: StructTable<Field>,
    values: Partial<Record<Field, number>>,
  ): KernelStruct<Field> {
    const argument = new KernelStruct(table, values);
    this.machine.ioctl(this.fd, request, argument.bytes, what);
    return argument;
  }

  /** Destroys an object that nothing uses; a device's is its own. */
  destroy(id: number): void {
    this.call(IOMMU_DESTROY, "IOMMU_DESTROY", struct_iommu_destroy, { id });
  }

  allocIoas(): number {
    return this.call(IOMMU_IOAS_ALLOC, "IOMMU_IOAS_ALLOC", struct_iommu_ioas_alloc, {}).get("out_ioas_id");
  }

  /** Maps our memory at `iova`, or where the kernel finds room among what is allowed; returns where. */
  map(ioas_id: number, iova: number | undefined, user_va: number, length: number): number {
    const flags = iova === undefined ? MAP_FLAGS & ~IOMMU_IOAS_MAP_FIXED_IOVA : MAP_FLAGS;
    const values = { flags, ioas_id, user_va, length, iova: iova ?? 0 };
    return this.call(IOMMU_IOAS_MAP, "IOMMU_IOAS_MAP", struct_iommu_ioas_map, values).get("iova");
  }

  /**
   * Maps a piece of a memfd, whoever has it mapped; from Linux 6.13. That the piece ends in the file is checked when its pages are
   * pinned: with the first device, or here.
   */
  mapFile(ioas_id: number, iova: number, fd: number, start: number, length: number): void {
    const values = { flags: MAP_FLAGS, ioas_id, fd, start, length, iova };
    this.call(IOMMU_IOAS_MAP_FILE, "IOMMU_IOAS_MAP_FILE", struct_iommu_ioas_map_file, values);
  }

  /** Maps what another address space has mapped, without pinning it twice. */
  copy(to: { ioas: number; iova: number }, from: { ioas: number; iova: number }, length: number): void {
    this.call(IOMMU_IOAS_COPY, "IOMMU_IOAS_COPY", struct_iommu_ioas_copy, {
      flags: MAP_FLAGS,
      dst_ioas_id: to.ioas,
      src_ioas_id: from.ioas,
      length,
      dst_iova: to.iova,
      src_iova: from.iova,
    });
  }

  /** Takes away whole mappings; returns how many bytes they were. */
  unmap(ioas_id: number, iova: number, length: number): number {
    const values = { ioas_id, iova, length };
    return this.call(IOMMU_IOAS_UNMAP, "IOMMU_IOAS_UNMAP", struct_iommu_ioas_unmap, values).get("length");
  }

  /** What may be mapped, given the devices that are attached. */
  iovaRanges(ioas_id: number): { ranges: IovaRange[]; alignment: number } {
    const { size, fields } = struct_iommu_iova_range;
    return this.withBuffer(MAX_RANGES * size, (view, allowed_iovas) => {
      const values = { ioas_id, num_iovas: MAX_RANGES, allowed_iovas };
      const answer = this.call(IOMMU_IOAS_IOVA_RANGES, "IOMMU_IOAS_IOVA_RANGES", struct_iommu_ioas_iova_ranges, values);
      const ranges = Array.from({ length: Math.min(answer.get("num_iovas"), MAX_RANGES) }, (_, index) => ({
        start: Number(view.getBigUint64(index * size + fields.start[0], true)),
        last: Number(view.getBigUint64(index * size + fields.last[0], true)),
      }));
      return { ranges, alignment: answer.get("out_iova_alignment") };
    });
  }

  /**
   * Where the kernel may place what has no fixed address; a device that reserves any of it is refused, and so is a range that a device
   * reserves already (EADDRINUSE). A fixed address may lie elsewhere. None: anywhere.
   */
  allowIovas(ioas_id: number, ranges: readonly IovaRange[]): void {
    const { size, fields } = struct_iommu_iova_range;
    this.withBuffer(Math.max(ranges.length, 1) * size, (view, allowed_iovas) => {
      for (const [index, { start, last }] of ranges.entries()) {
        view.setBigUint64(index * size + fields.start[0], BigInt(start), true);
        view.setBigUint64(index * size + fields.last[0], BigInt(last), true);
      }
      const values = { ioas_id, num_iovas: ranges.length, allowed_iovas };
      this.call(IOMMU_IOAS_ALLOW_IOVAS, "IOMMU_IOAS_ALLOW_IOVAS", struct_iommu_ioas_allow_iovas, values);
    });
  }

  /** An option (IOMMU_OPTION_*) of an object, or of the whole (object 0). */
  option(option_id: number, object_id: number): number {
    const values = { option_id, object_id, op: IOMMU_OPTION_OP_GET };
    return this.call(IOMMU_OPTION, "IOMMU_OPTION", struct_iommu_option, values).get("val64");
  }

  setOption(option_id: number, object_id: number, val64: number): void {
    const values = { option_id, object_id, op: IOMMU_OPTION_OP_SET, val64 };
    this.call(IOMMU_OPTION, "IOMMU_OPTION", struct_iommu_option, values);
  }

  /** Which IOAS the ioctls of the older door work on, where this file stands in for a container. */
  vfioIoas(): number {
    const values = { op: IOMMU_VFIO_IOAS_GET };
    return this.call(IOMMU_VFIO_IOAS, "IOMMU_VFIO_IOAS", struct_iommu_vfio_ioas, values).get("ioas_id");
  }

  setVfioIoas(ioas_id: number): void {
    this.call(IOMMU_VFIO_IOAS, "IOMMU_VFIO_IOAS", struct_iommu_vfio_ioas, { ioas_id, op: IOMMU_VFIO_IOAS_SET });
  }

  clearVfioIoas(): void {
    this.call(IOMMU_VFIO_IOAS, "IOMMU_VFIO_IOAS", struct_iommu_vfio_ioas, { op: IOMMU_VFIO_IOAS_CLEAR });
  }

  /** The calling process takes over what another one mapped, with its count of locked memory; only where all is mapped by file. */
  changeProcess(): void {
    this.call(IOMMU_IOAS_CHANGE_PROCESS, "IOMMU_IOAS_CHANGE_PROCESS", struct_iommu_ioas_change_process, {});
  }

  hwInfo(dev_id: number): HwInfo {
    return this.withBuffer(HW_INFO_SIZE, (view, data_uptr) => {
      const values = { dev_id, data_len: HW_INFO_SIZE, data_uptr };
      const info = this.call(IOMMU_GET_HW_INFO, "IOMMU_GET_HW_INFO", struct_iommu_hw_info, values);
      const size = Math.min(info.get("data_len"), HW_INFO_SIZE);
      return {
        type: info.get("out_data_type"),
        data: new Uint8Array(view.buffer, 0, size).slice(),
        capabilities: info.get("out_capabilities"),
        maxPasidLog2: info.get("out_max_pasid_log2"),
      };
    });
  }

  /** Page tables for a device over an IOAS (`parent`), to be attached in its place; `flags` are IOMMU_HWPT_ALLOC_*. */
  allocHwpt(dev_id: number, parent: number, flags: number): number {
    const values = { flags, dev_id, pt_id: parent };
    return this.call(IOMMU_HWPT_ALLOC, "IOMMU_HWPT_ALLOC", struct_iommu_hwpt_alloc, values).get("out_hwpt_id");
  }

  /** Begins or ends to note which pages devices write; `flags` is IOMMU_HWPT_DIRTY_TRACKING_ENABLE or 0. */
  setDirtyTracking(hwpt_id: number, flags: number): void {
    const what = "IOMMU_HWPT_SET_DIRTY_TRACKING";
    this.call(IOMMU_HWPT_SET_DIRTY_TRACKING, what, struct_iommu_hwpt_set_dirty_tracking, { flags, hwpt_id });
  }

  /** One bit for each `page_size` bytes of the `length` bytes from `iova`: whether a device wrote there since the last call. */
  dirtyBitmap(hwpt_id: number, iova: number, length: number, page_size: number, flags = 0): Uint8Array {
    const size = Math.ceil(length / page_size / 8);
    return this.withBuffer(size, (view, data) => {
      const values = { hwpt_id, flags, iova, length, page_size, data };
      const what = "IOMMU_HWPT_GET_DIRTY_BITMAP";
      this.call(IOMMU_HWPT_GET_DIRTY_BITMAP, what, struct_iommu_hwpt_get_dirty_bitmap, values);
      return new Uint8Array(view.buffer, 0, size).slice();
    });
  }

  /** Runs `use` with zeroed memory at an address that a struct may carry. */
  protected withBuffer<T>(size: number, use: (view: DataView, address: number) => T): T {
    const address = mapAnonymous(size);
    try {
      return use(new DataView(viewOf(address, 0, size)), address);
    } finally {
      unmap(address, size);
    }
  }

  close(): void {
    this.machine.close(this.fd);
  }
}
