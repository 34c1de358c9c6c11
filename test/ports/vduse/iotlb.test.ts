// The driver's address space, mapped: which pieces are taken, which are left out and why, and that all of it is given back.

import { afterAll, describe, expect, test } from "bun:test";
import { GuestMemory, MAX_RANGES } from "../../../src/mem/guest-memory.ts";
import { WINDOW_SPAN, WindowTable } from "../../../src/mem/window.ts";
import type { VduseDevice } from "../../../src/ports/vduse/device.ts";
import { Iotlb } from "../../../src/ports/vduse/iotlb.ts";
import { closeFd } from "../../../src/sys/fd.ts";
import { PAGE_SIZE, viewOf } from "../../../src/sys/memory.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { FakeDevice, type FakeRegion, MEMORY_SIZE, memoryFile } from "./rig.ts";

const file = memoryFile();
afterAll(() => closeFd(file));

function resolved(...regions: FakeRegion[]): Iotlb {
  const device = new FakeDevice([]);
  device.regions = regions;
  const iotlb = new Iotlb(device as unknown as VduseDevice);
  iotlb.resolve(false);
  return iotlb;
}

test("pieces are found by address, and nothing between them", () => {
  const iotlb = resolved(
    { start: 0, size: PAGE_SIZE, file },
    { start: 2 ** 40, size: 2 * PAGE_SIZE, offset: PAGE_SIZE, file },
  );
  expect([iotlb.count, iotlb.totalSize, iotlb.complete, iotlb.allSealed]).toEqual([2, 3 * PAGE_SIZE, true, true]);
  new Uint8Array(viewOf(iotlb.address(2 ** 40, 1)!, 0, 1))[0] = 0x77;
  const whole = resolved({ start: 0, size: MEMORY_SIZE, file });
  expect(new Uint8Array(viewOf(whole.address(PAGE_SIZE, 1)!, 0, 1))[0]).toBe(0x77);
  expect(iotlb.address(PAGE_SIZE - 1, 2)).toBeUndefined();
  expect(iotlb.address(PAGE_SIZE, 1)).toBeUndefined();
  expect(iotlb.address(2 ** 40 - 1, 1)).toBeUndefined();
  expect(iotlb.address(2 ** 40 + 2 * PAGE_SIZE - 4, 4)).toBeDefined();
  expect(iotlb.address(2 ** 40 + 2 * PAGE_SIZE - 3, 4)).toBeUndefined();
  iotlb.clear();
  whole.clear();
  expect([iotlb.count, iotlb.complete, iotlb.address(0, 1)]).toEqual([0, false, undefined]);
});

describe("left out, by name, with the rest in use", () => {
  test.each<[string, Partial<FakeRegion>, RegExp]>([
    ["memory that may not be written", { readOnly: true }, /0x100000: may not be written/],
    ["memory that the driver lets nobody write, in a file that could be", { perm: 1 }, /0x100000: may not be written/],
    ["memory beyond its file", { size: MEMORY_SIZE + PAGE_SIZE }, /0x100000: .*file of 65536 bytes/],
    ["memory within a page of its file", { offset: 8, size: PAGE_SIZE }, /0x100000: misaligned/],
    ["more memory than an address space has", { size: 2 ** 39 }, /0x100000: more than 256 GiB/],
  ])("%s", (_name, region, why) => {
    const iotlb = resolved(
      { start: 0, size: PAGE_SIZE, file },
      { start: 0x100000, size: PAGE_SIZE, file, ...region },
      { start: 2 ** 41, size: PAGE_SIZE, file },
    );
    expect(iotlb.refused.length).toBe(1);
    expect(iotlb.refused[0]).toMatch(why);
    expect(iotlb.config.map(({ guest }) => guest)).toEqual([0, 2 ** 41]);
    iotlb.clear();
  });

  test("pieces that take two windows each, where there are too many", () => {
    const regions = Array.from({ length: 200 }, (_, n) => ({
      start: (n + 1) * WINDOW_SPAN - PAGE_SIZE,
      size: 2 * PAGE_SIZE,
      file,
    }));
    const iotlb = resolved(...regions);
    expect([iotlb.count, iotlb.refused.length]).toEqual([MAX_RANGES / 2, 200 - MAX_RANGES / 2]);
    expect(iotlb.refused[0]).toMatch(/too many pieces of a GiB/);
    const memory = new GuestMemory(new WindowTable());
    for (const { guest, size, address } of iotlb.config) memory.add(guest, size, address);
    memory.clear();
    iotlb.clear();
  });

  test("more pieces than a VM has", () => {
    const pages = Array.from({ length: 1000 }, (_, n) => ({ start: n * 2 * PAGE_SIZE, size: PAGE_SIZE, file }));
    const iotlb = resolved(...pages);
    expect(iotlb.count).toBe(240);
    expect(iotlb.refused).toEqual(["regions from 0x1e0000 on: too many pieces"]);
    iotlb.clear();
  });

  test("more entries than anybody gets, one page each", () => {
    const pages = Array.from({ length: 3000 }, (_, n) => ({
      start: n * PAGE_SIZE,
      size: PAGE_SIZE,
      offset: n * PAGE_SIZE,
      file,
    }));
    const iotlb = resolved(...pages);
    // The file ends long before: the one long piece is refused, and so is the rest.
    expect(iotlb.count).toBe(0);
    expect(iotlb.refused.at(-1)).toContain("too many pieces");
    iotlb.clear();
  });
});

describe("pieces that continue one another", () => {
  const page = (n: number, offset = n): FakeRegion => ({
    start: n * PAGE_SIZE,
    size: PAGE_SIZE,
    offset: offset * PAGE_SIZE,
    file,
  });

  test("in the same file are one", () => {
    const iotlb = resolved(page(0), page(1), page(2), page(4), page(5));
    expect(iotlb.config.map(({ guest, size }) => [guest / PAGE_SIZE, size / PAGE_SIZE])).toEqual([
      [0, 3],
      [4, 2],
    ]);
    expect(iotlb.address(0, 3 * PAGE_SIZE)).toBeDefined();
    iotlb.clear();
  });

  test("elsewhere in the file, or in another, are not", () => {
    const other = memoryFile();
    const iotlb = resolved(
      page(0),
      page(1, 3),
      { ...page(2, 4), file: other },
      { ...page(3, 5), file: other, perm: 1 },
    );
    expect(iotlb.config.map(({ guest }) => guest / PAGE_SIZE)).toEqual([0, 1, 2]);
    iotlb.clear();
    closeFd(other);
  });
});

test("nothing is held after it was given back, a hundred times", () => {
  const iotlb = resolved(
    { start: 0, size: PAGE_SIZE, file },
    { start: 0x100000, size: PAGE_SIZE, readOnly: true, file },
  );
  iotlb.clear();
  const held = holdings(process.pid);
  for (let n = 0; n < 100; n++) {
    iotlb.resolve(false);
    if (n % 2 === 0) iotlb.clear();
  }
  iotlb.clear();
  expect(heldDifference(held, holdings(process.pid))).toEqual([]);
});
