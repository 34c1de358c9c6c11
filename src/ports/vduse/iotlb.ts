// The driver's address space of a VDUSE device, mapped: every region the kernel names, at once.
//
//   virtio-vdpa   |bounce area, 64 MiB, once the driver has mapped its first buffer| ... |a ring| |a ring|   of the kernel's
//   vhost-vdpa    the memory of a VM or a DPDK program, in pieces of its files; DPDK names each huge page by itself, so pieces
//                 that continue one another in the same file become one
//
// Pages of the bounce area come with the driver's buffers, and touching one before is SIGBUS: nothing here, and nobody else,
// touches more than what a descriptor names. With memory of our own in its place (UMEM) that cannot happen. Control thread.

import { fstatSync } from "node:fs";
import { RingyardError } from "../../core/errors.ts";
import { MAX_RANGES, windowCount } from "../../mem/guest-memory.ts";
import { EACCES, ENOMEM, EPERM, SysError } from "../../sys/errno.ts";
import { closeFd } from "../../sys/fd.ts";
import { raiseLockedMemoryLimit } from "../../sys/limits.ts";
import { mapAnonymous, mapShared, PAGE_SIZE, unmap } from "../../sys/memory.ts";
import { VDUSE_ACCESS_RW } from "../../uapi/vduse.ts";
import type { RegionConfig } from "../../virtio/virtqueue-open.ts";
import type { SharedRegion } from "../port.ts";
import { isServedElsewhere, mapFile } from "../shared-file.ts";
import type { IotlbEntry, VduseDevice } from "./device.ts";

/** More than any VM has pieces of memory. Windows for them are counted by themselves. */
const MAX_REGIONS = 240;
/** A hostile user of vhost-vdpa can map page by page; 4 GiB of 2 MiB pages is what anybody gets. */
const MAX_ENTRIES = 2048;
/** As for vhost-user: no port uses up the address space of the others. */
const MAX_MEMORY_SIZE = 256 * 2 ** 30;

const NOT_WRITABLE = "may not be written";

interface Mapping extends RegionConfig {
  base: number;
  mapped: number;
  /** Of a VM's or a program's file. The kernel's pages come and go with its driver's buffers, and may not be pinned. */
  ofFile: boolean;
  /** Whether the memory can vanish under us (a file of a VM's that may shrink). */
  sealed: boolean;
}

export class Iotlb {
  private mappings: Mapping[] = [];
  private ownMemory: { address: number; size: number } | undefined;
  /** Regions that were left out, and why: a frame in one of them is dropped as malformed. */
  readonly refused: string[] = [];
  /** Whether the kernel's own driver is at the other end, which bounces its buffers. */
  kernelDriver = false;
  hasBounceArea = false;

  constructor(private readonly device: VduseDevice) {}

  get config(): RegionConfig[] {
    return this.mappings.map(({ guest, size, address }) => ({ guest, size, address }));
  }

  /** What the switch's NICs may reach, too. */
  get shareable(): SharedRegion[] {
    return this.mappings.filter(({ ofFile }) => ofFile).map(({ address, size }) => ({ address, size }));
  }

  get count(): number {
    return this.mappings.length;
  }

  get totalSize(): number {
    return this.mappings.reduce((sum, { size }) => sum + size, 0);
  }

  get allSealed(): boolean {
    return this.mappings.every(({ sealed }) => sealed);
  }

  /** Whether the bounce area is our own memory. */
  get umem(): boolean {
    return this.ownMemory !== undefined;
  }

  /** The driver can have buffers now: frames are possible. */
  get complete(): boolean {
    return this.mappings.length > 0 && (!this.kernelDriver || this.hasBounceArea);
  }

  /** Maps the address space anew. No worker may hold a view of the old one. Throws SysError for a broken device. */
  resolve(umem: boolean): void {
    this.clear();
    let piece = this.device.region(0);
    for (let entries = 1; piece !== null; entries++) {
      const next: IotlbEntry | null = this.device.region(piece.start + piece.size);
      if (next !== null && continues(piece, next)) {
        closeFd(next.fd);
        piece.size += next.size;
      } else {
        this.add(piece);
        piece = next;
      }
      if (piece === null || (this.mappings.length < MAX_REGIONS && entries < MAX_ENTRIES)) continue;
      closeFd(piece.fd);
      this.refused.push(`regions from 0x${piece.start.toString(16)} on: too many pieces`);
      break;
    }
    if (umem) this.useOwnMemory();
  }

  private add(entry: IotlbEntry): void {
    try {
      // The kernel's file may be writable where the driver's mapping is not: a VM's ROM.
      if (entry.perm !== VDUSE_ACCESS_RW) throw new RingyardError("PROTOCOL", NOT_WRITABLE);
      if (this.totalSize + entry.size > MAX_MEMORY_SIZE) {
        throw new RingyardError("LIMIT", `more than ${MAX_MEMORY_SIZE / 2 ** 30} GiB of memory`);
      }
      const windows = this.mappings.reduce(
        (sum, { guest, size }) => sum + windowCount(guest, size),
        windowCount(entry.start, entry.size),
      );
      if (windows > MAX_RANGES) throw new RingyardError("LIMIT", "too many pieces of a GiB");
      const size = (entry.size + 3) & ~3;
      if (entry.ofKernel) {
        this.kernelDriver = true;
        if (entry.start === 0) this.hasBounceArea = true;
        const mapped = Math.ceil(entry.size / PAGE_SIZE) * PAGE_SIZE;
        const base = mapShared(entry.fd, mapped, entry.offset);
        this.mappings.push({ guest: entry.start, size, address: base, base, mapped, ofFile: false, sealed: true });
      } else {
        const file = mapFile(entry.fd, entry.offset, entry.size);
        this.mappings.push({ guest: entry.start, size: entry.size, ofFile: true, ...file });
      }
    } catch (error) {
      if (!(error instanceof RingyardError) && !(error instanceof SysError)) throw error;
      const denied = error instanceof SysError && (error.errno === EACCES || error.errno === EPERM);
      const why = denied ? NOT_WRITABLE : error.message;
      this.refused.push(`0x${entry.start.toString(16)}: ${why}`);
    } finally {
      closeFd(entry.fd);
    }
  }

  /** Puts our own memory in the place of the bounce area. Where the kernel refuses (memlock), its pages serve as well. */
  private useOwnMemory(): void {
    const size = this.device.bounceSize();
    const bounce = this.mappings.find(({ guest }) => guest === 0);
    if (size === 0 || bounce === undefined || bounce.size !== size) return;
    const address = mapAnonymous(size);
    try {
      this.give(address, size);
    } catch (error) {
      unmap(address, size);
      this.refused.push(`own memory for the bounce area: ${(error as Error).message}`);
      return;
    }
    unmap(bounce.base, bounce.mapped);
    this.mappings.splice(this.mappings.indexOf(bounce), 1);
    this.ownMemory = { address, size };
    this.mappings.push({ guest: 0, size, address, base: address, mapped: size, ofFile: false, sealed: true });
  }

  /** The kernel counts what it pins against the limit of locked memory, whoever asks. */
  private give(address: number, size: number): void {
    try {
      this.device.giveMemory(address, size);
    } catch (error) {
      if (!(error instanceof SysError && error.errno === ENOMEM && raiseLockedMemoryLimit())) throw error;
      this.device.giveMemory(address, size);
    }
  }

  /** Our address of `size` bytes at IOVA `guest`, or undefined. */
  address(guest: number, size: number): number | undefined {
    const found = this.mappings.find((region) => guest >= region.guest && guest + size <= region.guest + region.size);
    return found === undefined ? undefined : found.address + guest - found.guest;
  }

  /** Unmaps everything. No worker may hold a view any more, and no NIC reach it. */
  clear(): void {
    if (this.ownMemory !== undefined) {
      try {
        this.device.takeMemory(this.ownMemory.size);
      } catch (error) {
        // A broken device gives it back when it is closed; the pages stay pinned, and mapped elsewhere, until then.
        if (!(error instanceof SysError)) throw error;
      }
      this.ownMemory = undefined;
    }
    for (const { base, mapped } of this.mappings) unmap(base, mapped);
    this.mappings = [];
    this.refused.length = 0;
    this.kernelDriver = false;
    this.hasBounceArea = false;
  }
}

/** Whether `next` is the same file's continuation of `piece`, in both address spaces. */
function continues(piece: IotlbEntry, next: IotlbEntry): boolean {
  if (next.start !== piece.start + piece.size || next.offset !== piece.offset + piece.size) return false;
  if (next.perm !== piece.perm || piece.ofKernel || next.ofKernel) return false;
  // Nobody waits for such a file's server, which would have to say what it is; `add` refuses it.
  if (isServedElsewhere(piece.fd) || isServedElsewhere(next.fd)) return false;
  const [a, b] = [fstatSync(piece.fd), fstatSync(next.fd)];
  return a.dev === b.dev && a.ino === b.ino;
}
