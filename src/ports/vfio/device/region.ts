// A region of a VFIO device: a BAR, the expansion ROM or configuration space, each a range of offsets of the device's file.
//
//   VFIO_DEVICE_GET_REGION_INFO: struct vfio_region_info (32) | capability chain: sparse mmap, MSI-X mappable
//
// What may be mapped is either all of it or the areas that a sparse-mmap capability lists (linux/vfio.h). Control thread.

import {
  struct_vfio_region_info,
  struct_vfio_region_sparse_mmap_area,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  VFIO_REGION_INFO_FLAG_CAPS,
  VFIO_REGION_INFO_FLAG_MMAP,
} from "../../../uapi/vfio.ts";
import type { Machine } from "./machine.ts";
import { infoCapabilities, KernelStruct, type StructBytes } from "./struct.ts";

export interface Area {
  /** Of the first byte, in the region. */
  at: number;
  size: number;
}

export interface Region {
  index: number;
  /** 0 where the device has no such region. */
  size: number;
  /** Of the first byte, in the device's file. */
  offset: number;
  /** What the kernel lets us map; empty for none of it. */
  mappable: Area[];
  /** The page with the MSI-X table may be mapped with the rest. */
  msixMappable: boolean;
}

/** In struct vfio_region_info_cap_sparse_mmap: header (8), nr_areas, reserved, then the areas. */
const AREA_COUNT = 8;
const AREAS = 16;
/** Larger chains are not the kernel's. */
const MAX_INFO_SIZE = 65536;

/** Throws SysError. */
export function readRegion(machine: Machine, fd: number, index: number): Region {
  const ask = (size: number) => {
    const info = new KernelStruct(struct_vfio_region_info, { index }, size);
    machine.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, info.bytes, "VFIO_DEVICE_GET_REGION_INFO");
    return info;
  };
  const short = ask(struct_vfio_region_info.size);
  const wanted = Math.min(Math.max(short.get("argsz"), struct_vfio_region_info.size), MAX_INFO_SIZE);
  const info = wanted > struct_vfio_region_info.size ? ask(wanted) : short;
  const flags = info.get("flags");
  const size = info.get("size");
  const whole = (flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0 && size > 0;
  const region = {
    index,
    size,
    offset: info.get("offset"),
    mappable: whole ? [{ at: 0, size }] : [],
    msixMappable: false,
  };
  if ((flags & VFIO_REGION_INFO_FLAG_CAPS) === 0) return region;
  for (const { id, offset } of infoCapabilities(info, info.get("cap_offset"))) {
    if (id === VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) region.msixMappable = true;
    if (id === VFIO_REGION_INFO_CAP_SPARSE_MMAP) region.mappable = whole ? sparseAreas(info, offset, size) : [];
  }
  return region;
}

/** The areas of a capability at `offset`, those that lie inside the region. */
function sparseAreas(info: StructBytes, offset: number, regionSize: number): Area[] {
  const { size, fields } = struct_vfio_region_sparse_mmap_area;
  const count = Math.min(info.at(offset + AREA_COUNT, 4), Math.floor(info.bytes.length / size));
  const areas: Area[] = [];
  for (let index = 0; index < count; index++) {
    const start = offset + AREAS + index * size;
    const area = { at: info.at(start + fields.offset[0], 8), size: info.at(start + fields.size[0], 8) };
    if (area.size > 0 && area.at + area.size <= regionSize) areas.push(area);
  }
  return areas;
}
