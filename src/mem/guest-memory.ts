// HOT
// A driver's memory as one worker sees it: the list of windows that together make the driver's address space, and the
// look-up from a driver's address to (window, offset).
//
//   driver address ---> which window? (last hit first, then the list by address) ---> window index, byte offset, bytes left
//
// 64-bit addresses arrive as two 32-bit words. Those in the window of the last hit, which most are, stay that; others become one
// double, exact below 2^53, and anything above is refused.
// Windows of one region overlap (see window.ts); what is contiguous across two regions is found piece by piece.
// Used by one worker thread. `add` is cold; `find` runs per descriptor.

import { RingyardError } from "../core/errors.ts";
import { WINDOW_OVERLAP, WINDOW_SPAN, type WindowTable } from "./window.ts";

/** Windows of one driver: the 256 GiB that a port may have, and the pieces that it comes in. */
export const MAX_RANGES = 320;
/** An address word above this makes the address 2^53 or more. */
const MAX_HIGH_WORD = 0x1fffff;

export class GuestMemory {
  private readonly start = new Float64Array(MAX_RANGES);
  private readonly bytes = new Float64Array(MAX_RANGES);
  private readonly window = new Int32Array(MAX_RANGES);
  private count = 0;
  // Of the window of the last hit, what has its first byte's high address word: that word, the low one, bytes, and the slot.
  private lastHi = 0;
  private lastLo = 0;
  private lastBytes = 0;
  private lastWindow = 0;

  /** Results of the last successful `find`. */
  foundWindow = 0;
  foundOffset = 0;

  constructor(readonly windows: WindowTable) {}

  /**
   * Adds a mapped region that overlaps no other: `guest` is the driver's address of its first byte. Throws RingyardError
   * LIMIT. Cold.
   */
  add(guest: number, size: number, address: number): void {
    for (let offset = 0; offset < size; offset += WINDOW_SPAN) {
      const span = Math.min(size - offset, WINDOW_SPAN + WINDOW_OVERLAP);
      if (this.count === MAX_RANGES) throw tooManyRanges();
      const window = this.windows.add(address + offset, span);
      let index = this.count++;
      for (; index > 0 && this.start[index - 1] > guest + offset; index--) this.move(index - 1, index);
      this.start[index] = guest + offset;
      this.bytes[index] = span;
      this.window[index] = window;
    }
    // Most drivers have all their buffers in their largest region. Where no other is ever searched for, the engine leaves the search out of
    // the loops around `find`, which are a third quicker then.
    let largest = 0;
    for (let index = 1; index < this.count; index++) {
      if (this.bytes[index] > this.bytes[largest]) largest = index;
    }
    this.remember(largest);
  }

  /** Cold. */
  private move(from: number, to: number): void {
    this.start[to] = this.start[from];
    this.bytes[to] = this.bytes[from];
    this.window[to] = this.window[from];
  }

  /**
   * Finds the window that holds address (`hi`, `lo`); sets foundWindow and foundOffset. Returns how many of `length` bytes
   * lie there from that address on: `length` in the normal case, fewer at the end of a region, 0 for no such memory.
   */
  find(lo: number, hi: number, length: number): number {
    // Addresses below the window wrap around to offsets that are negative or behind it.
    const offset = (lo - this.lastLo) | 0;
    if (hi === this.lastHi && offset >= 0 && offset <= this.lastBytes - length) {
      this.foundWindow = this.lastWindow;
      this.foundOffset = offset;
      return length;
    }
    return this.search(lo, hi, length);
  }

  /**
   * The rest of `find`. Among overlapping windows the last that starts at or before the address has the most behind it;
   * halving finds it, so that addresses which jump between hundreds of windows cost their driver's neighbours little.
   */
  private search(lo: number, hi: number, length: number): number {
    if (hi >>> 0 > MAX_HIGH_WORD) return 0;
    const address = (lo >>> 0) + (hi >>> 0) * 4294967296;
    let above = this.count;
    let low = 0;
    while (low < above) {
      const middle = (low + above) >>> 1;
      if (this.start[middle] <= address) low = middle + 1;
      else above = middle;
    }
    if (low === 0) return 0;
    const index = low - 1;
    const offset = address - this.start[index];
    const left = this.bytes[index] - offset;
    if (left <= 0) return 0;
    this.foundWindow = this.window[index];
    this.foundOffset = offset | 0;
    this.remember(index);
    return Math.min(left, length);
  }

  private remember(index: number): void {
    const start = this.start[index];
    const below = 4294967296 - (start % 4294967296);
    this.lastHi = (start / 4294967296) | 0;
    this.lastLo = start | 0;
    this.lastBytes = Math.min(this.bytes[index], below);
    this.lastWindow = this.window[index];
  }

  /** Gives all windows back; every address is unknown afterwards. Cold. */
  clear(): void {
    for (let index = 0; index < this.count; index++) this.windows.remove(this.window[index]);
    this.count = 0;
    this.lastBytes = 0;
    this.start.fill(0);
    this.bytes.fill(0);
  }
}

/** Cold. */
function tooManyRanges(): RingyardError {
  return new RingyardError("LIMIT", `more than ${MAX_RANGES} memory windows on one port`, "use fewer, larger regions");
}
