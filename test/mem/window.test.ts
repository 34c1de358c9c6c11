// The window table: slots are shared by those who add the same memory, reused when the last one is gone, and limited.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_WINDOWS, WindowTable } from "../../src/mem/window.ts";
import { mapAnonymous, unmap, viewOf } from "../../src/sys/memory.ts";

const SIZE = MAX_WINDOWS * 64;
const address = mapAnonymous(SIZE);
const bytes = new Uint8Array(viewOf(address, 0, SIZE));
afterAll(() => unmap(address, SIZE));

test("views of a window show the memory it was made over", () => {
  const windows = new WindowTable();
  const index = windows.add(address + 64, 130);
  bytes.set([1, 2, 3, 4], 64 + 4);
  expect(windows.size[index]).toBe(130);
  expect([windows.u8[index].length, windows.i32[index].length, windows.view[index].byteLength]).toEqual([130, 32, 130]);
  expect(windows.u8[index][4]).toBe(1);
  expect(windows.i32[index][1]).toBe(0x04030201);
  windows.view[index].setUint8(129, 9);
  expect(bytes[64 + 129]).toBe(9);
});

test("any sequence of adding and removing keeps one slot per memory, as long as somebody uses it", () => {
  const step = fc.record({ add: fc.boolean(), place: fc.nat(5), large: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const windows = new WindowTable();
      const users = new Map<string, { index: number; count: number }>();
      for (const { add, place, large } of steps) {
        const key = `${place} ${large}`;
        const used = users.get(key);
        if (add) {
          const index = windows.add(address + place * 64, large ? 128 : 64);
          if (used === undefined) users.set(key, { index, count: 1 });
          else {
            expect(index).toBe(used.index);
            used.count++;
          }
        } else if (used !== undefined) {
          windows.remove(used.index);
          if (--used.count === 0) users.delete(key);
        }
        const live = [...users.values()].map(({ index }) => index);
        expect(new Set(live).size).toBe(live.length);
        for (const [index, view] of windows.u8.entries()) {
          expect(view.length > 0).toBe(live.includes(index));
          expect(windows.size[index] > 0).toBe(live.includes(index));
        }
        // Slots are reused before new ones are made.
        expect(windows.u8.length).toBeLessThanOrEqual(12);
      }
    }),
    { numRuns: 200 },
  );
});

test("the table is full at MAX_WINDOWS, and has room again when one is given back", () => {
  const windows = new WindowTable();
  for (let n = 0; n < MAX_WINDOWS; n++) windows.add(address + n * 64, 64);
  expect(() => windows.add(address, 32)).toThrow(`more than ${MAX_WINDOWS} memory windows`);
  expect(windows.add(address + 640, 64)).toBe(10);
  windows.remove(17);
  expect(windows.add(address, 32)).toBe(17);
});

test("a window has an IOVA while it lies in a range that NICs reach, whichever came first", () => {
  const windows = new WindowTable();
  const inside = windows.add(address + 4096, 1024);
  const across = windows.add(address + 8192 - 64, 128);
  expect([windows.iova[inside], windows.iova[across]]).toEqual([-1, -1]);
  windows.mapDma({ address: address + 4096, size: 4096, iova: 0 });
  const later = windows.add(address + 8192 - 128, 128);
  expect([windows.iova[inside], windows.iova[across], windows.iova[later]]).toEqual([0, -1, 4096 - 128]);
  windows.mapDma({ address: address + 8192, size: 4096, iova: 2 ** 40 });
  // Two ranges side by side in memory may be far from each other for a NIC.
  expect(windows.iova[across]).toBe(-1);
  windows.remove(later);
  expect(windows.iova[later]).toBe(-1);
  windows.unmapDma(address + 4096);
  expect(windows.iova[inside]).toBe(-1);
  expect(windows.iova[windows.add(address + 8192, 64)]).toBe(2 ** 40);
});
