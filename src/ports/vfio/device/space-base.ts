// What both doors to the IOMMU share: an allocator of IOVAs, a count of what is mapped, and the order of things when either call
// to the kernel fails. A door adds the two calls.
//
// When the last device leaves, the kernel takes every mapping away with the address space; what others still hold there (a guest's
// memory) they may unmap later all the same: it is gone already. Control thread.

import { RingyardError } from "../../../core/errors.ts";
import type { DmaSpace } from "../../../mem/dma.ts";
import { SysError } from "../../../sys/errno.ts";
import { PAGE_SIZE } from "../../../sys/memory.ts";
import { IovaAllocator, type IovaRange } from "./iova.ts";
import type { Machine } from "./machine.ts";
import { mapError } from "./memlock.ts";

export abstract class SpaceBase implements DmaSpace {
  abstract readonly door: "type1" | "iommufd";
  protected readonly iovas = new IovaAllocator([]);
  private closed = false;

  constructor(protected readonly machine: Machine) {}

  get mappedSize(): number {
    return this.closed ? 0 : this.iovas.used;
  }

  map(address: number, size: number): number {
    return this.mapBy(address, size, (iova) => this.mapAt(iova, address, size));
  }

  unmap(iova: number): void {
    if (this.closed) return;
    const size = this.iovas.sizeAt(iova);
    if (size === undefined) {
      throw new RingyardError("BAD_REQUEST", `nothing is mapped for DMA at 0x${iova.toString(16)}`);
    }
    try {
      this.unmapAt(iova, size);
    } catch (error) {
      // The address stays taken: the kernel has it mapped.
      if (!(error instanceof SysError)) throw error;
      throw new RingyardError("SYSTEM", `cannot take DMA memory back (${error.message})`, "dmesg says more");
    }
    this.iovas.free(iova);
  }

  /** Chooses an IOVA congruent to `address` and lets `map` use it. */
  protected mapBy(address: number, size: number, map: (iova: number) => void): number {
    if (this.closed) throw new RingyardError("BAD_REQUEST", "no device is in this address space any more");
    if (size <= 0 || size % PAGE_SIZE !== 0 || address % PAGE_SIZE !== 0) {
      throw new RingyardError("BAD_REQUEST", `${size} bytes at 0x${address.toString(16)} are not whole pages`);
    }
    const before = this.iovas.used;
    const iova = this.iovas.allocate(size, address);
    if (iova === undefined) {
      const next = "use fewer or smaller guests on this switch, or another door (iommu=)";
      throw new RingyardError("LIMIT", `the IOMMU's address space has no ${size} bytes in one piece left`, next);
    }
    try {
      map(iova);
      return iova;
    } catch (error) {
      this.iovas.free(iova);
      throw mapError(this.machine, error, size, before);
    }
  }

  /** The ranges that devices may be given, which change when one joins. Throws RingyardError where a mapping lies outside. */
  protected useRanges(ranges: readonly IovaRange[], who: string): void {
    if (this.iovas.restrict(ranges)) return;
    const next = "add it to the switch before the other ports, or give it a switch of its own";
    throw new RingyardError("BUSY", `${who} cannot reach memory that is mapped for other devices already`, next);
  }

  /** The kernel forgets the address space. Idempotent. */
  protected forget(): void {
    this.closed = true;
  }

  protected abstract mapAt(iova: number, address: number, size: number): void;
  protected abstract unmapAt(iova: number, size: number): void;
}
