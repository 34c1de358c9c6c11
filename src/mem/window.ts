// Windows: the views of foreign memory (a guest's, the kernel's, our own scratch) that a worker reads and writes frames
// through. A frame's place is a pair of small integers, (window index, byte offset); no object travels with it.
//
//   the driver's addresses            ........ 1 GiB ........ 2 GiB ........ 3 GiB ....
//   region (one mapping, any size)          |------------------------------|
//   its windows                             |- 0 -|+1 MiB
//                                                 |---- window 1 ----|+1 MiB ...
//
// A window is at most WINDOW_SPAN + WINDOW_OVERLAP bytes, so every offset is a small int32 (typed-array indices past 2^31
// leave the engine's fast path, an ArrayBuffer ends at 4 GiB). The overlap holds a ring of any legal size and a frame of
// any legal length, so what starts before the GiB's end also ends in that window (guest-memory.ts cuts regions so).
// Some of the memory is mapped for the switch's NICs, too (mem/dma.ts): a window that lies in such a range whole has an IOVA.
// One table per worker thread; slots are reused. Cold, except for the arrays, which hot code indexes.

import { RingyardError } from "../core/errors.ts";
import { viewOf } from "../sys/memory.ts";

export const WINDOW_SPAN = 1 << 30;
/** Above 16 * 32768 (the largest descriptor table) and 64 KiB + 14 (the largest frame). */
export const WINDOW_OVERLAP = 1 << 20;
/** Room for 256 ports with all the windows a port may have (guest-memory.ts) and one for each lane: none takes another's. */
export const MAX_WINDOWS = 1 << 17;

export class WindowTable {
  readonly u8: Uint8Array[] = [];
  readonly i32: Int32Array[] = [];
  readonly view: DataView[] = [];
  /** Address of each window in this process, for raw copies. */
  readonly address = new Float64Array(MAX_WINDOWS);
  /** Bytes in each window; 0 for a free slot, so that a stale index fails every bounds check. */
  readonly size = new Int32Array(MAX_WINDOWS);
  /** Where the NICs have each window's first byte; negative where they do not reach it. Slots never used have 0 here. */
  readonly iova = new Float64Array(MAX_WINDOWS);
  /** Ranges of this process's memory that the NICs reach. */
  private mapped: DmaRange[] = [];
  private readonly free: number[] = [];
  /** Slot of each address and size in use. */
  private readonly slots = new Map<string, number>();
  private readonly users = new Int32Array(MAX_WINDOWS);

  /**
   * A window over mapped memory of at most WINDOW_SPAN + WINDOW_OVERLAP bytes; lanes of one port that add the same memory
   * share it. Throws RingyardError LIMIT.
   */
  add(address: number, size: number): number {
    const key = `${address} ${size}`;
    const shared = this.slots.get(key);
    if (shared !== undefined) {
      this.users[shared]++;
      return shared;
    }
    const index = this.free.pop() ?? this.u8.length;
    if (index >= MAX_WINDOWS) {
      throw new RingyardError("LIMIT", `more than ${MAX_WINDOWS} memory windows`, "detach ports or use larger regions");
    }
    const buffer = viewOf(address, 0, size);
    this.u8[index] = new Uint8Array(buffer);
    this.i32[index] = new Int32Array(buffer, 0, size >> 2);
    this.view[index] = new DataView(buffer);
    this.address[index] = address;
    this.size[index] = size;
    this.iova[index] = this.findIova(address, size);
    this.users[index] = 1;
    this.slots.set(key, index);
    return index;
  }

  /** Gives a window back; the last user's call forgets the views, and after that the memory may be unmapped. */
  remove(index: number): void {
    if (--this.users[index] > 0) return;
    this.slots.delete(`${this.address[index]} ${this.size[index]}`);
    this.u8[index] = emptyU8;
    this.i32[index] = emptyI32;
    this.view[index] = emptyView;
    this.address[index] = 0;
    this.size[index] = 0;
    this.iova[index] = -1;
    this.free.push(index);
  }

  /** The NICs reach this range from now on; ranges do not overlap. */
  mapDma(range: DmaRange): void {
    this.mapped.push(range);
    this.setIovas();
  }

  /** No NIC is told of this range any more. */
  unmapDma(address: number): void {
    this.mapped = this.mapped.filter((range) => range.address !== address);
    this.setIovas();
  }

  private setIovas(): void {
    for (let index = 0; index < this.u8.length; index++) {
      if (this.size[index] > 0) this.iova[index] = this.findIova(this.address[index], this.size[index]);
    }
  }

  private findIova(address: number, size: number): number {
    for (const range of this.mapped) {
      const offset = address - range.address;
      if (offset >= 0 && offset + size <= range.size) return range.iova + offset;
    }
    return -1;
  }
}

/** Memory of this process that the NICs reach at `iova`. Plain data: it crosses the mailbox. */
export interface DmaRange {
  address: number;
  size: number;
  iova: number;
}

const emptyU8 = new Uint8Array(0);
const emptyI32 = new Int32Array(0);
const emptyView = new DataView(new ArrayBuffer(0));
