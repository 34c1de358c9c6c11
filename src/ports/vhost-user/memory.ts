// The front end's memory, as SET_MEM_TABLE or ADD_MEM_REG describe it and as it is mapped here:
//
//   front end's address (user_addr, in ring addresses)  -->  guest address (in descriptors)  -->  our mapping
//
// A region is mapped from offset 0 of its file up to its end (as the kernel wants it for hugetlbfs), rounded to the file's
// block size. A file that is too short for its region is refused, since touching the hole would be SIGBUS; whether it can
// shrink later is reported (F_SEAL_SHRINK). Regions may not overlap. Control thread only.

import { fstatSync } from "node:fs";
import { closeFd } from "../../sys/fd.ts";
import { mapShared, PAGE_SIZE, sealedAgainstShrinking, unmap } from "../../sys/memory.ts";
import { struct_vhost_user_memory_region } from "../../uapi/vhost_user.ts";
import type { RegionConfig } from "../port.ts";
import { protocolError, readU64 } from "./message.ts";

/** What GET_MAX_MEM_SLOTS answers. */
export const MAX_MEM_SLOTS = 64;
/** Windows of one port cover 256 GiB; one region may take a quarter. */
const MAX_REGION_SIZE = 64 * 2 ** 30;

export interface RegionRequest {
  guest: number;
  size: number;
  user: number;
  offset: number;
}

export interface Region extends RegionRequest {
  base: number;
  mapped: number;
  sealed: boolean;
}

/** Reads a struct vhost_user_memory_region. Throws RingyardError PROTOCOL for numbers that cannot be. */
export function readRegion(view: DataView, at: number): RegionRequest {
  const { fields } = struct_vhost_user_memory_region;
  const guest = readU64(view, at + fields.guest_addr[0], "guest address");
  const size = readU64(view, at + fields.size[0], "region size");
  const user = readU64(view, at + fields.user_addr[0], "user address");
  const offset = readU64(view, at + fields.mmap_offset[0], "mmap offset");
  if (size === 0 || size > MAX_REGION_SIZE) throw protocolError(`memory region of ${size} bytes`);
  if (guest + size > 2 ** 53 || user + size > 2 ** 53) throw protocolError("memory region ends above 2^53");
  return { guest, size, user, offset };
}

/** Maps a region; takes `fd` over and closes it in any case. Throws RingyardError PROTOCOL or SysError. */
export function mapRegion(request: RegionRequest, fd: number): Region {
  try {
    const { size: fileSize, blksize } = fstatSync(fd);
    const end = request.offset + request.size;
    if (end > fileSize) throw protocolError(`memory region ends at ${end} of a file of ${fileSize} bytes`);
    if (request.offset % PAGE_SIZE !== 0 || request.guest % 4 !== 0) throw protocolError("misaligned memory region");
    const mapped = Math.ceil(end / blksize) * blksize;
    return { ...request, base: mapShared(fd, mapped, 0), mapped, sealed: sealedAgainstShrinking(fd) };
  } finally {
    closeFd(fd);
  }
}

export class MemoryTable {
  private regions: Region[] = [];

  get count(): number {
    return this.regions.length;
  }

  /** For a worker; changes whenever the table does. */
  get config(): RegionConfig[] {
    return this.regions.map(({ guest, size, base, offset }) => ({ guest, size, address: base + offset }));
  }

  get totalSize(): number {
    return this.regions.reduce((sum, region) => sum + region.size, 0);
  }

  get allSealed(): boolean {
    return this.regions.every((region) => region.sealed);
  }

  /** Adds a mapped region. Throws RingyardError PROTOCOL where it overlaps another or is one too many; it is unmapped then. */
  add(region: Region): void {
    const clash = this.regions.some(
      ({ guest, user, size }) =>
        overlap(guest, size, region.guest, region.size) || overlap(user, size, region.user, region.size),
    );
    if (!clash && this.regions.length < MAX_MEM_SLOTS) {
      this.regions.push(region);
      return;
    }
    unmap(region.base, region.mapped);
    throw protocolError(clash ? "memory regions overlap" : `more than ${MAX_MEM_SLOTS} memory regions`);
  }

  /** Takes a region out of the table and returns it, still mapped; undefined where there is none like it. */
  take(request: RegionRequest): Region | undefined {
    const index = this.regions.findIndex(
      (region) => region.guest === request.guest && region.user === request.user && region.size === request.size,
    );
    return index < 0 ? undefined : this.regions.splice(index, 1)[0];
  }

  /** The guest address of a front end's address, or undefined. */
  guestAddress(user: number): number | undefined {
    const region = this.regions.find((r) => user >= r.user && user < r.user + r.size);
    return region === undefined ? undefined : user - region.user + region.guest;
  }

  /** Our address of a guest address with `size` bytes behind it, or undefined. */
  address(guest: number, size: number): number | undefined {
    const region = this.regions.find((r) => guest >= r.guest && guest + size <= r.guest + r.size);
    return region === undefined ? undefined : region.base + region.offset + guest - region.guest;
  }

  /** Unmaps everything. No worker may hold a view any more. */
  clear(): void {
    for (const region of this.regions) unmap(region.base, region.mapped);
    this.regions = [];
  }
}

function overlap(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize;
}
