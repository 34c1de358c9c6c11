// A guest's memory as a front end holds it: one shared file per region, mapped here, with three addresses for every byte
// (QEMU docs/interop/vhost-user.rst, "Memory region description").
//
//   guest address  what descriptors say        user address  what SET_VRING_ADDR says        ours  where tests write
//
// `alloc` hands out guest addresses. Main thread of a test process; whoever makes it closes it.

import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeFd } from "../../src/sys/fd.ts";
import { mapShared, memfd, unmap, viewOf } from "../../src/sys/memory.ts";

export interface RamRegion {
  guest: number;
  size: number;
  user: number;
  /** Where the region starts in its file. */
  offset: number;
  fd: number;
  address: number;
  bytes: Uint8Array;
}

export interface RamOptions {
  regions?: readonly { guest: number; size: number; offset?: number }[];
  /** False: files that can be shrunk, as memory without F_SEAL_SHRINK. */
  sealed?: boolean;
}

/** Front ends' addresses have nothing to do with the guest's. */
const USER_BASE = 2 ** 44;
const USER_STRIDE = 2 ** 38;

function plainFile(size: number): number {
  const folder = mkdtempSync(join(tmpdir(), "ringyard-ram-"));
  const fd = openSync(join(folder, "ram"), "w+");
  ftruncateSync(fd, size);
  rmSync(folder, { recursive: true });
  return fd;
}

export class GuestRam {
  readonly regions: RamRegion[];
  private heap: number[];

  constructor({ regions = [{ guest: 2 ** 32, size: 1 << 21 }], sealed = true }: RamOptions = {}) {
    this.heap = regions.map(() => 0);
    this.regions = regions.map(({ guest, size, offset = 0 }, i) => {
      const fd = sealed ? memfd("ringyard-front-end", offset + size) : plainFile(offset + size);
      const address = mapShared(fd, offset + size, 0);
      const bytes = new Uint8Array(viewOf(address, offset, size));
      return { guest, size, user: USER_BASE + i * USER_STRIDE, offset, fd, address, bytes };
    });
  }

  /** Guest address of fresh bytes of a region. */
  alloc(size: number, region = 0, alignment = 64): number {
    const offset = Math.ceil(this.heap[region] / alignment) * alignment;
    this.heap[region] = offset + size;
    if (this.heap[region] > this.regions[region].size) throw new Error(`region ${region} of the front end is full`);
    return this.regions[region].guest + offset;
  }

  /** The bytes at a guest address, to the end of the region or `length`. */
  view(guest: number, length: number): Uint8Array {
    const region = this.regions.find((r) => guest >= r.guest && guest < r.guest + r.size);
    if (region === undefined) throw new Error(`no region of the front end at 0x${guest.toString(16)}`);
    return region.bytes.subarray(guest - region.guest, guest - region.guest + length);
  }

  userAddress(guest: number): number {
    const region = this.regions.find((r) => guest >= r.guest && guest < r.guest + r.size);
    return region === undefined ? guest : guest - region.guest + region.user;
  }

  close(): void {
    for (const { fd, address, offset, size } of this.regions) {
      unmap(address, offset + size);
      // Both kinds of files are plain descriptors; node's are closed by node.
      if (fd >= 0) closeFd(fd);
    }
    this.regions.length = 0;
  }
}

/** A descriptor of a file that no guest's memory can be. */
export function openPath(path: string, flags: string): { fd: number; close: () => void } {
  const fd = openSync(path, flags);
  return { fd, close: () => closeSync(fd) };
}
