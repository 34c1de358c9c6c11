// The front end's memory, as SET_MEM_TABLE or ADD_MEM_REG describe it and as it is mapped here:
//
//   front end's address (user_addr, in ring addresses)  -->  guest address (in descriptors)  -->  our mapping
//
// Regions may not overlap, and there is a limit to all of them together, so that no port uses up the address space of the
// others. Control thread only.

import { closeFd } from "../../sys/fd.ts";
import { unmap } from "../../sys/memory.ts";
import { struct_vhost_user_memory_region } from "../../uapi/vhost_user.ts";
import type { RegionConfig } from "../../virtio/virtqueue-open.ts";
import type { MemoryShare, PortHost } from "../port.ts";
import { type FileMapping, mapFile } from "../shared-file.ts";
import { protocolError, readU64 } from "./message.ts";

/** What GET_MAX_MEM_SLOTS answers. */
export const MAX_MEM_SLOTS = 64;
/** Windows of one port cover 256 GiB, and 256 ports of that fit into the half of the address space that mmap has. */
const MAX_MEMORY_SIZE = 256 * 2 ** 30;

export interface RegionRequest {
  guest: number;
  size: number;
  user: number;
  offset: number;
}

export interface Region extends RegionRequest, FileMapping {
  /** How often the front end added it and did not remove it. */
  uses: number;
  /** With the switch's NICs. */
  share?: MemoryShare;
}

/** Reads a struct vhost_user_memory_region. Throws RingyardError PROTOCOL for numbers that cannot be. */
export function readRegion(view: DataView, at: number): RegionRequest {
  const { fields } = struct_vhost_user_memory_region;
  const guest = readU64(view, at + fields.guest_addr[0], "guest address");
  const size = readU64(view, at + fields.size[0], "region size");
  const user = readU64(view, at + fields.user_addr[0], "user address");
  const offset = readU64(view, at + fields.mmap_offset[0], "mmap offset");
  if (size === 0 || size > MAX_MEMORY_SIZE) throw protocolError(`memory region of ${size} bytes`);
  if (guest + size > 2 ** 53 || user + size > 2 ** 53) throw protocolError("memory region ends above 2^53");
  return { guest, size, user, offset };
}

/** Maps a region; takes `fd` over and closes it in any case. Throws RingyardError PROTOCOL or SysError. */
export function mapRegion(request: RegionRequest, fd: number): Region {
  try {
    if (request.guest % 4 !== 0) throw protocolError("misaligned memory region");
    return { ...request, ...mapFile(fd, request.offset, request.size), uses: 1 };
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
    return this.regions.map(({ guest, size, address }) => ({ guest, size, address }));
  }

  get totalSize(): number {
    return this.regions.reduce((sum, region) => sum + region.size, 0);
  }

  get allSealed(): boolean {
    return this.regions.every((region) => region.sealed);
  }

  /**
   * Adds a mapped region, or counts it where the table has it already: QEMU 7.2 adds and removes every region once for
   * each queue pair. Throws RingyardError PROTOCOL where it overlaps another or is one too many; it
   * is unmapped then.
   */
  add(region: Region): void {
    const same = this.find(region);
    if (same !== undefined && same.offset === region.offset) {
      same.uses++;
      unmap(region.base, region.mapped);
      return;
    }
    const clash = this.regions.some(
      ({ guest, user, size }) =>
        overlap(guest, size, region.guest, region.size) || overlap(user, size, region.user, region.size),
    );
    const slotsLeft = this.regions.length < MAX_MEM_SLOTS;
    if (!clash && slotsLeft && this.totalSize + region.size <= MAX_MEMORY_SIZE) {
      this.regions.push(region);
      return;
    }
    unmap(region.base, region.mapped);
    if (clash) throw protocolError("memory regions overlap");
    throw protocolError(slotsLeft ? "more than 256 GiB of memory" : `more than ${MAX_MEM_SLOTS} memory regions`);
  }

  /** Gives one use of a region back. Returns the region, still mapped, after its last use; throws where there is none. */
  take(request: RegionRequest): Region | undefined {
    const region = this.find(request);
    if (region === undefined) throw protocolError("REM_MEM_REG of a region that is not there");
    if (--region.uses > 0) return undefined;
    this.regions.splice(this.regions.indexOf(region), 1);
    return region;
  }

  private find({ guest, user, size }: RegionRequest): Region | undefined {
    return this.regions.find((region) => region.guest === guest && region.user === user && region.size === size);
  }

  /** The guest address of a front end's address, or undefined. */
  guestAddress(user: number): number | undefined {
    const region = this.regions.find((r) => user >= r.user && user < r.user + r.size);
    return region === undefined ? undefined : user - region.user + region.guest;
  }

  /** Our address of a guest address with `size` bytes behind it, or undefined. */
  address(guest: number, size: number): number | undefined {
    const region = this.regions.find((r) => guest >= r.guest && guest + size <= r.guest + r.size);
    return region === undefined ? undefined : region.address + guest - region.guest;
  }

  /** Lets the switch's NICs reach what was added. Before lanes use it. */
  async share(host: Pick<PortHost, "shareMemory">): Promise<void> {
    for (const region of this.regions) region.share ??= await host.shareMemory([region]);
  }

  /** No NIC reaches the memory when this resolves. After the lanes are closed, and before `clear`. */
  async unshare(): Promise<void> {
    await Promise.all(this.regions.map(({ share }) => share?.release()));
  }

  /** Unmaps everything. No worker may hold a view any more, and nothing is shared. */
  clear(): void {
    for (const region of this.regions) unmap(region.base, region.mapped);
    this.regions = [];
  }
}

function overlap(a: number, aSize: number, b: number, bSize: number): boolean {
  return a < b + bSize && b < a + aSize;
}
