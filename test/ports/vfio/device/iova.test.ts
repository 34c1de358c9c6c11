// The allocator of IOVAs against a model that marks every page: nothing is given twice, nothing outside the ranges, everything comes
// back.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IovaAllocator, type IovaRange } from "../../../../src/ports/vfio/device/iova.ts";

const MIB = 2 ** 20;
const PAGE = 4096;
/** An Intel IOMMU of 39 bits, with its hole for interrupts. */
const PC: IovaRange[] = [
  { start: 0, last: 0xfedfffff },
  { start: 0xfef00000, last: 2 ** 39 - 1 },
];

describe("addresses", () => {
  test("begin above the first MiB and never touch a reserved piece", () => {
    const iovas = new IovaAllocator(PC);
    expect(iovas.allocate(PAGE)).toBe(MIB);
    expect(iovas.allocate(1000 * MIB)).toBe(2 * MIB);
    expect(iovas.allocate(PAGE)).toBe(MIB + PAGE);
    expect(iovas.allocate(1022 * MIB)).toBe(1002 * MIB);
    expect(iovas.allocate(1022 * MIB)).toBe(2024 * MIB);
    expect(iovas.allocate(1022 * MIB)).toBe(3046 * MIB);
    // 0xfee00000 is 4078 MiB: ten are left before the doorbells, and what does not fit goes behind them.
    expect(iovas.allocate(12 * MIB)).toBe(0xff000000);
    expect(iovas.allocate(10 * MIB)).toBe(4068 * MIB);
  });

  test("are congruent to the memory's, so that large pages stay large", () => {
    const iovas = new IovaAllocator(PC);
    expect(iovas.allocate(4 * MIB, 0x7f00_0012_3000)).toBe(0x0012_3000);
    expect(iovas.allocate(2 ** 30, 0x7f40_0020_0000)! % 2 ** 30).toBe(0x7f40_0020_0000 % 2 ** 30);
    expect(iovas.allocate(PAGE, 0x7f00_0012_3000)! % PAGE).toBe(0);
  });

  test("are any that fit where no congruent place is left", () => {
    const iovas = new IovaAllocator([{ start: 3 * MIB, last: 6 * MIB - 1 }]);
    expect(iovas.allocate(3 * MIB)).toBe(3 * MIB);
  });

  test("run out, and come back", () => {
    const iovas = new IovaAllocator([{ start: 0, last: 3 * MIB - 1 }]);
    const first = iovas.allocate(MIB)!;
    expect(iovas.allocate(MIB)).toBe(2 * MIB);
    expect(iovas.allocate(PAGE)).toBeUndefined();
    expect(iovas.free(first)).toBe(MIB);
    expect(iovas.free(first)).toBeUndefined();
    expect(iovas.used).toBe(MIB);
    expect(iovas.allocate(MIB)).toBe(first);
  });

  const orders = [{ order: [0, 1, 2] }, { order: [2, 1, 0] }, { order: [1, 0, 2] }, { order: [0, 2, 1] }];
  test.each(orders)("freed in any order they are one piece again: $order", ({ order }) => {
    const iovas = new IovaAllocator([{ start: MIB, last: 4 * MIB - 1 }]);
    const taken = [0, 1, 2].map(() => iovas.allocate(MIB)!);
    for (const index of order) iovas.free(taken[index]);
    expect(iovas.allocate(3 * MIB)).toBe(MIB);
  });

  test("the last address of 64 bits is no address of ours", () => {
    const iovas = new IovaAllocator([{ start: 2 ** 53 - 2 * PAGE, last: 2 ** 64 }]);
    expect(iovas.allocate(PAGE)).toBe(2 ** 53 - 2 * PAGE);
    expect(iovas.allocate(PAGE)).toBe(2 ** 53 - PAGE);
    expect(iovas.allocate(PAGE)).toBeUndefined();
  });
});

describe("ranges that change", () => {
  test("keep what is taken out of the new ones", () => {
    const iovas = new IovaAllocator(PC);
    expect(iovas.allocate(PAGE)).toBe(MIB);
    expect(iovas.restrict([{ start: 0, last: MIB + 3 * PAGE - 1 }])).toBe(true);
    expect([iovas.allocate(PAGE), iovas.allocate(PAGE), iovas.allocate(PAGE)]).toEqual([
      MIB + PAGE,
      MIB + 2 * PAGE,
      undefined,
    ]);
  });

  test("are refused where something taken lies outside, and then nothing changes", () => {
    const iovas = new IovaAllocator(PC);
    iovas.allocate(PAGE);
    expect(iovas.restrict([{ start: 16 * MIB, last: 32 * MIB - 1 }])).toBe(false);
    expect(iovas.allocate(PAGE)).toBe(MIB + PAGE);
  });
});

test("any sequence: no overlap, only usable pages, all of them again at the end", () => {
  const range = fc.record({ start: fc.integer({ min: 0, max: 900 }), size: fc.integer({ min: 1, max: 300 }) });
  const step = fc.record({
    size: fc.integer({ min: 1, max: 40 }),
    address: fc.nat(5000),
    free: fc.nat(10),
    first: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 4 }), fc.array(step, { maxLength: 60 }), (made, steps) => {
      const usable = new Set<number>();
      const ranges: IovaRange[] = [];
      for (const { start, size } of made) {
        // Disjoint, as the kernel's are.
        const pages = Array.from({ length: size }, (_, index) => start + index);
        if (pages.some((page) => usable.has(page))) continue;
        for (const page of pages) usable.add(page);
        ranges.push({ start: start * PAGE, last: (start + size) * PAGE - 1 });
      }
      for (const page of [...usable]) if (page < MIB / PAGE) usable.delete(page);
      const iovas = new IovaAllocator(ranges);
      const taken = new Map<number, number>();
      const owned = new Set<number>();
      for (const { size, address, free, first } of steps) {
        const [victim] = first ? [...taken.keys()] : [...taken.keys()].slice(-1);
        if (free < 4 && victim !== undefined) {
          expect(iovas.free(victim)).toBe(taken.get(victim)! * PAGE);
          for (let page = 0; page < taken.get(victim)!; page++) owned.delete(victim / PAGE + page);
          taken.delete(victim);
          continue;
        }
        const iova = iovas.allocate(size * PAGE, address * PAGE);
        if (iova === undefined) continue;
        for (let page = iova / PAGE; page < iova / PAGE + size; page++) {
          expect(usable.has(page) && !owned.has(page)).toBe(true);
          owned.add(page);
        }
        taken.set(iova, size);
        expect(iovas.used).toBe(owned.size * PAGE);
      }
      for (const iova of taken.keys()) iovas.free(iova);
      let again = 0;
      while (iovas.allocate(PAGE) !== undefined) again++;
      expect(again).toBe(usable.size);
    }),
  );
});
