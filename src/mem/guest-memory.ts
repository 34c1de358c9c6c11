// HOT
// A driver's memory as one worker sees it: the list of windows that together make the driver's address space, and the
// look-up from a driver's address to (window, offset).
//
//   driver address ---> which window? ---> window index, byte offset, bytes left
//
//   1. that of the last hit, at the beginning the largest
//   2. that of the address's GiB: windows end where a GiB of addresses does, so most have theirs for themselves
//   3. the list by address
//
// 64-bit addresses arrive as two 32-bit words. For the first two ways they stay that; for the list they become one double, exact below
// 2^53, and anything above is refused.
// Windows of one region overlap (see window.ts); what is contiguous across two regions is found piece by piece.
// Used by one worker thread. `add` is cold; `find` runs per descriptor.

import { RingyardError } from "../core/errors.ts";
import { WINDOW_OVERLAP, WINDOW_SPAN, type WindowTable } from "./window.ts";

/**
 * Windows of one driver: the 256 GiB that a port may have, and two for each of the 64 pieces that they come in by vhost-user. By VDUSE they may
 * come in more; what there are no windows for is left out there.
 */
export const MAX_RANGES = 384;
/** An address word above this makes the address 2^53 or more. */
const MAX_HIGH_WORD = 0x1fffff;
const HIGH = 2 ** 32;
/** GiB that have a place of their own in the map: those of a port, where they follow one another. GiB n and n + 256 share one. */
const MAP_MASK = 255;
// Words of the map: a window's start, its bytes as in `near`, its index; the first two as in startHi and startLo.
const MAP_LO = 1;
const MAP_NEAR = 2;
const MAP_WINDOW = 3;

/** How many of a worker's windows a region takes: each ends where a GiB of addresses does. */
export function windowCount(guest: number, size: number): number {
  return Math.ceil(((guest % WINDOW_SPAN) + size) / WINDOW_SPAN);
}

export class GuestMemory {
  private readonly start = new Float64Array(MAX_RANGES);
  private readonly bytes = new Float64Array(MAX_RANGES);
  private readonly window = new Int32Array(MAX_RANGES);
  // The same in 32-bit words. Bytes up to the end, or to where the high word of addresses changes: none of them wraps around.
  private readonly startHi = new Int32Array(MAX_RANGES);
  private readonly startLo = new Int32Array(MAX_RANGES);
  private readonly near = new Int32Array(MAX_RANGES);
  private count = 0;
  /** The largest window of each GiB, and its bytes. */
  private readonly map = new Int32Array(4 * (MAP_MASK + 1));
  private readonly mapBytes = new Int32Array(MAP_MASK + 1);
  /** Bytes of the largest of all. */
  private largest = 0;
  // Of the window of the last hit.
  private lastHi = 0;
  private lastLo = 0;
  private lastNear = 0;
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
    for (let offset = 0, left = 0; offset < size; offset += left) {
      left = WINDOW_SPAN - ((guest + offset) % WINDOW_SPAN);
      const span = Math.min(size - offset, left + WINDOW_OVERLAP);
      if (this.count === MAX_RANGES) throw tooManyRanges();
      const window = this.windows.add(address + offset, span);
      let index = this.count++;
      for (; index > 0 && this.start[index - 1] > guest + offset; index--) this.move(index - 1, index);
      this.place(index, guest + offset, span, window);
      this.enterMap(index);
      if (span <= this.largest) continue;
      this.largest = span;
      this.remember(index);
    }
  }

  /** Cold. */
  private enterMap(index: number): void {
    const { map } = this;
    const at = mapAt(this.startLo[index], this.startHi[index]);
    if (this.bytes[index] <= this.mapBytes[at >> 2]) return;
    this.mapBytes[at >> 2] = this.bytes[index];
    map[at] = this.startHi[index];
    map[at + MAP_LO] = this.startLo[index];
    map[at + MAP_NEAR] = this.near[index];
    map[at + MAP_WINDOW] = this.window[index];
  }

  /** Cold. */
  private place(index: number, start: number, bytes: number, window: number): void {
    this.start[index] = start;
    this.bytes[index] = bytes;
    this.window[index] = window;
    this.startHi[index] = Math.floor(start / HIGH);
    this.startLo[index] = start % HIGH;
    this.near[index] = Math.min(bytes, HIGH - (start % HIGH));
  }

  /** Cold. */
  private move(from: number, to: number): void {
    this.place(to, this.start[from], this.bytes[from], this.window[from]);
  }

  /**
   * Finds the window that holds address (`hi`, `lo`); sets foundWindow and foundOffset. Returns how many of `length` bytes
   * lie there from that address on: `length` in the normal case, fewer at the end of a region, 0 for no such memory.
   */
  find(lo: number, hi: number, length: number): number {
    // Below the window this wraps around to what is negative or behind `near`: a low word in between would be one of the next high word.
    const offset = (lo - this.lastLo) | 0;
    if (hi === this.lastHi && offset >= 0 && offset <= this.lastNear - length) {
      this.foundWindow = this.lastWindow;
      this.foundOffset = offset;
      return length;
    }
    return this.findMapped(lo, hi, length);
  }

  /**
   * The second of the ways, without a call: where nothing else is ever searched for, the engine leaves the search out of the loops
   * around `find`, which are a quarter quicker then.
   */
  private findMapped(lo: number, hi: number, length: number): number {
    const { map } = this;
    const at = mapAt(lo, hi);
    const start = map[at + MAP_LO];
    const near = map[at + MAP_NEAR];
    const offset = (lo - start) | 0;
    if (hi !== map[at] || offset < 0 || offset > near - length) return this.search(lo, hi, length);
    const window = map[at + MAP_WINDOW];
    this.lastHi = hi;
    this.lastLo = start;
    this.lastNear = near;
    this.lastWindow = window;
    this.foundWindow = window;
    this.foundOffset = offset;
    return length;
  }

  /** The same for a ring's part, which is looked up once: leaves no trace in what `find` asks first. Cold. */
  locate(address: number, length: number): number {
    return this.take(this.indexOf(address), address, length);
  }

  private search(lo: number, hi: number, length: number): number {
    if (hi >>> 0 > MAX_HIGH_WORD) return 0;
    const address = (lo >>> 0) + (hi >>> 0) * HIGH;
    const index = this.indexOf(address);
    const found = this.take(index, address, length);
    if (found > 0) this.remember(index);
    return found;
  }

  /**
   * Among overlapping windows the last that starts at or before the address has the most behind it; halving finds it, so that addresses
   * which jump between hundreds of windows cost their driver's neighbours little. -1: none starts there.
   */
  private indexOf(address: number): number {
    let above = this.count;
    let low = 0;
    while (low < above) {
      const middle = (low + above) >>> 1;
      if (this.start[middle] <= address) low = middle + 1;
      else above = middle;
    }
    return low - 1;
  }

  private take(index: number, address: number, length: number): number {
    if (index < 0) return 0;
    const offset = address - this.start[index];
    const left = this.bytes[index] - offset;
    if (left <= 0) return 0;
    this.foundWindow = this.window[index];
    this.foundOffset = offset | 0;
    return Math.min(left, length);
  }

  private remember(index: number): void {
    this.lastHi = this.startHi[index];
    this.lastLo = this.startLo[index];
    this.lastNear = this.near[index];
    this.lastWindow = this.window[index];
  }

  /** Gives all windows back; every address is unknown afterwards. Cold. */
  clear(): void {
    for (let index = 0; index < this.count; index++) this.windows.remove(this.window[index]);
    this.count = 0;
    this.lastNear = 0;
    this.map.fill(0);
    this.mapBytes.fill(0);
    this.largest = 0;
    this.start.fill(0);
    this.bytes.fill(0);
  }
}

/** Where in the map the GiB of an address is. */
function mapAt(lo: number, hi: number): number {
  return (((hi << 2) | (lo >>> 30)) & MAP_MASK) << 2;
}

/** Cold. */
function tooManyRanges(): RingyardError {
  return new RingyardError("LIMIT", `more than ${MAX_RANGES} memory windows on one port`, "use fewer, larger regions");
}
