// GuestMemory.find against the obvious look-up in a list of regions, over sparse memory, so that regions may be gigabytes
// and lie anywhere below 2^53.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { GuestMemory, MAX_RANGES, windowCount } from "../../src/mem/guest-memory.ts";
import { WINDOW_OVERLAP, WINDOW_SPAN, WindowTable } from "../../src/mem/window.ts";
import { closeFd } from "../../src/sys/fd.ts";
import { mapShared, memfd, unmap } from "../../src/sys/memory.ts";
import { sized } from "../support/scale.ts";

const GIB = 2 ** 30;
const SPACE = 8 * GIB;
const fd = memfd("guest-memory-test", SPACE);
const base = mapShared(fd, SPACE, 0);
closeFd(fd);
afterAll(() => unmap(base, SPACE));

interface Region {
  guest: number;
  size: number;
  /** Where in `base` it is mapped. */
  at: number;
}

interface Found {
  length: number;
  address: number;
}

/** Slowly, without windows: how much of the range lies in one region from its first byte on, and where that is. */
function lookUp(regions: readonly Region[], address: number, length: number): Found {
  const region = regions.find(({ guest, size }) => address >= guest && address < guest + size);
  if (region === undefined) return { length: 0, address: 0 };
  const offset = address - region.guest;
  return { length: Math.min(length, region.size - offset), address: base + region.at + offset };
}

function find(memory: GuestMemory, address: number, length: number): Found {
  const found = memory.find((address % 2 ** 32) | 0, Math.floor(address / 2 ** 32), length);
  if (found === 0) return { length: 0, address: 0 };
  const { foundWindow, foundOffset, windows } = memory;
  if (foundOffset + found > windows.size[foundWindow]) throw new Error("the window ends before the piece");
  return { length: found, address: windows.address[foundWindow] + foundOffset };
}

/** Regions one after the other in guest addresses, with gaps that are often nothing. */
const anyRegions = fc
  .record({
    start: fc.constantFrom(0, 4096, GIB / 2, 2 ** 32 - 2 ** 20, 2 ** 32, 2 ** 40, 2 ** 53 - 8 * GIB),
    parts: fc.array(
      fc.record({
        // 256 GiB on, a place in the map is shared.
        gap: fc.constantFrom(0, 0, 4096, 2 ** 20, 256 * GIB),
        size: fc.oneof(
          fc.integer({ min: 1, max: 2 ** 21 }).map((n) => n * 4),
          fc.constantFrom(4, 4096, 2 ** 20, GIB - 4, GIB, GIB + 4, GIB + 2 ** 20, 2 * GIB + 8192),
        ),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    order: fc.boolean(),
  })
  .map(({ start, parts, order }) => {
    const regions: Region[] = [];
    let guest = start;
    let at = 0;
    for (const { gap, size } of parts) {
      if (guest + gap + size > 2 ** 53 || at + size > SPACE) break;
      regions.push({ guest: guest + gap, size, at });
      guest += gap + size;
      at += Math.ceil(size / 4096) * 4096;
    }
    return order ? regions : regions.reverse();
  });

/** A place near something interesting: a region's border, a window's border, anywhere. */
const anyQuery = fc.record({
  region: fc.nat(3),
  anchor: fc.constantFrom("start", "end", "window", "any", "far"),
  near: fc.integer({ min: -70_000, max: 70_000 }),
  fraction: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.integer({ min: 1, max: 70_000 }), fc.constantFrom(1, 16, WINDOW_OVERLAP)),
});

test("finds what the obvious look-up finds, in any order of queries", () => {
  fc.assert(
    fc.property(anyRegions, fc.array(anyQuery, { maxLength: 60 }), (regions, queries) => {
      if (regions.length === 0) return;
      const memory = new GuestMemory(new WindowTable());
      for (const { guest, size, at } of regions) memory.add(guest, size, base + at);
      for (const { region, anchor, near, fraction, length } of queries) {
        const { guest, size } = regions[region % regions.length];
        const places = {
          start: guest + near,
          end: guest + size + near,
          window: (Math.floor(guest / WINDOW_SPAN) + Math.round((fraction * size) / WINDOW_SPAN)) * WINDOW_SPAN + near,
          any: guest + Math.floor(fraction * size),
          far: Math.floor(fraction * 2 ** 53),
        };
        const address = places[anchor as keyof typeof places];
        if (address < 0 || address >= 2 ** 53) continue;
        expect(find(memory, address, length)).toEqual(lookUp(regions, address, length));
      }
      memory.clear();
      expect(find(memory, regions[0].guest, 1)).toEqual({ length: 0, address: 0 });
      expect(memory.windows.size.some((size) => size > 0)).toBe(false);
    }),
    { numRuns: sized(300, 20_000) },
  );
});

test("an address of 2^53 or more is nobody's, wherever the last one was found", () => {
  for (const guest of [0, 2 ** 32, 2 ** 53 - GIB]) {
    const memory = new GuestMemory(new WindowTable());
    memory.add(guest, GIB, base);
    for (const hi of [0x200000, 0x200001, 0x7fffffff, -2147483648, -1]) {
      for (const lo of [0, 1, -1, -2147483648, -4096]) {
        expect(find(memory, guest, 64).length).toBe(64);
        expect(memory.find(lo, hi, 1)).toBe(0);
        expect(memory.find(lo, hi, 4096)).toBe(0);
      }
    }
  }
});

test("a low address is not taken for one behind the border of 4 GiB that the last window crosses", () => {
  const memory = new GuestMemory(new WindowTable());
  memory.add(2 ** 32 - 2 ** 20, 2 ** 21, base);
  for (const address of [2 ** 32 - 4096, 2 ** 32, 2 ** 32 + 4096]) expect(find(memory, address, 64).length).toBe(64);
  expect(find(memory, 2 ** 32 - 4096, 64).length).toBe(64);
  for (const address of [0, 4096, 2 ** 20 - 64, 2 ** 31]) expect(find(memory, address, 64).length).toBe(0);
  expect(find(memory, 2 ** 32 - 32, 64)).toEqual({ length: 64, address: base + 2 ** 20 - 32 });
});

test("what a ring's part is looked up by finds the same, and changes nothing", () => {
  const memory = new GuestMemory(new WindowTable());
  memory.add(0, 4096, base);
  memory.add(2 ** 40, 2 ** 20, base + 2 ** 20);
  expect(memory.locate(2 ** 40 + 16, 64)).toBe(64);
  expect(memory.foundOffset).toBe(16);
  expect([memory.locate(4090, 64), memory.locate(4096, 1), memory.locate(2 ** 41, 1)]).toEqual([6, 0, 0]);
});

test("there are windows for 256 GiB in 64 pieces, wherever they begin", () => {
  // Each as awkward as can be: a little of one GiB, and a little of another.
  const pieces = Array.from({ length: 64 }, (_, n) => (n < 63 ? 4 * GIB + 8 : 4 * GIB - 63 * 8));
  const total = pieces.reduce((sum, size) => sum + size, 0);
  expect(total).toBe(256 * GIB);
  expect(pieces.reduce((sum, size) => sum + windowCount(GIB - 4, size), 0)).toBeLessThanOrEqual(MAX_RANGES);
});

test("windows are as many as is said before", () => {
  for (const [guest, size] of [
    [0, GIB],
    [4096, GIB],
    [GIB - 4, 8],
    [2 ** 40 + 4, 3 * GIB],
    [2 ** 40 + 4, 3 * GIB - 4],
    [7 * GIB, 4],
  ]) {
    const memory = new GuestMemory(new WindowTable());
    memory.add(guest, size, base);
    expect(memory.windows.size.filter((bytes) => bytes > 0).length).toBe(windowCount(guest, size));
  }
});

test("one port may have 384 windows, and no more", () => {
  const memory = new GuestMemory(new WindowTable());
  const span = 4096;
  for (let n = 0; n < 384; n++) memory.add(n * span * 2, span, base + n * span);
  expect(() => memory.add(2 ** 40, span, base)).toThrow("more than 384 memory windows on one port");
  memory.clear();
  memory.add(2 ** 40, span, base);
  expect(find(memory, 2 ** 40, 16).length).toBe(16);
});
