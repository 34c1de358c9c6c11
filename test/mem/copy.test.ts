// copyBytes against Uint8Array.set, over every kind of alignment, length and place: what is inside both windows is copied
// exactly, what is not is refused without touching a byte.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { copyBytes } from "../../src/mem/copy.ts";
import { MAX_WINDOWS, WindowTable } from "../../src/mem/window.ts";
import { mapAnonymous, unmap, viewOf } from "../../src/sys/memory.ts";
import { sized } from "../support/scale.ts";

const ARENA = 64 * 1024;
/** Windows of odd and even sizes, at odd multiples of four, with bytes between them. */
const PLACES = [
  { offset: 4, size: 1 },
  { offset: 12, size: 700 },
  { offset: 1024, size: 701 },
  { offset: 2052, size: 128 },
  { offset: 4096, size: 20_000 },
  { offset: 32_768, size: 20_003 },
];

const address = mapAnonymous(ARENA);
const arena = new Uint8Array(viewOf(address, 0, ARENA));
const windows = new WindowTable();
const indices = PLACES.map(({ offset, size }) => windows.add(address + offset, size));

afterAll(() => unmap(address, ARENA));

function fill(seed: number): void {
  for (let i = 0; i < ARENA; i++) arena[i] = (i * 31 + (i >> 8) * 7 + seed) & 0xff;
}

/** Does the copy, and the same by the obvious way in a copy of the arena; compares all bytes and the answer. */
function check(to: number, toOffset: number, from: number, fromOffset: number, length: number): void {
  const wanted = arena.slice();
  const inside = (place: number, offset: number) =>
    PLACES[place] !== undefined && offset >= 0 && length >= 0 && offset + length <= PLACES[place].size;
  const sound = inside(to, toOffset) && inside(from, fromOffset);
  if (sound) {
    const source = PLACES[from].offset + fromOffset;
    wanted.set(arena.slice(source, source + length), PLACES[to].offset + toOffset);
  }
  const done = copyBytes(windows, indices[to] ?? to, toOffset, indices[from] ?? from, fromOffset, length);
  if (done !== sound || Buffer.compare(arena, wanted) !== 0) {
    throw new Error(`copy of ${length} from ${from}:${fromOffset} to ${to}:${toOffset} gave ${done}, wanted ${sound}`);
  }
}

const extreme = fc.constantFrom(-1, -4, 2 ** 31 - 1, -(2 ** 31), 2 ** 31 - 20_000, 1 << 30);
const anyPlace = fc.nat(PLACES.length - 1);
const anyOffset = fc.oneof({ weight: 6, arbitrary: fc.nat(800) }, fc.nat(21_000), extreme);
const anyLength = fc.oneof({ weight: 4, arbitrary: fc.nat(300) }, fc.nat(21_000), extreme);

test("copies what lies inside both windows, refuses the rest untouched", () => {
  fc.assert(
    fc.property(anyPlace, anyOffset, anyPlace, anyOffset, anyLength, fc.nat(255), (to, toAt, from, fromAt, n, seed) => {
      if (to === from) return;
      fill(seed);
      check(to, toAt, from, fromAt, n);
    }),
    { numRuns: sized(1500, 200_000) },
  );
});

test("every alignment and every length up to past the switch to memcpy", () => {
  fill(1);
  for (let length = 0; length <= 140; length++) {
    for (let toAt = 0; toAt < 4; toAt++) for (let fromAt = 0; fromAt < 4; fromAt++) check(4, toAt, 5, fromAt, length);
  }
});

test("up to the last byte of a window, and not one further", () => {
  fill(2);
  for (const length of [0, 1, 3, 4, 15, 16, 17, 63, 64, 65, 127, 128, 129, 512]) {
    for (let past = -2; past <= 2; past++) {
      check(1, 700 - length + past, 5, 0, length);
      check(4, 0, 2, 701 - length + past, length);
    }
  }
});

test("words that would be NaNs as floats keep their bits", () => {
  // As much as is copied word by word.
  const words = new Uint32Array(arena.buffer, 4096, 4);
  for (let n = 0; n < 10_000; n++) {
    words.fill(0x7ff00001 + n);
    expect(copyBytes(windows, indices[5], 0, indices[4], 0, 16)).toBe(true);
    if (new Uint32Array(arena.buffer, 32_768, 4).some((word) => word !== 0x7ff00001 + n)) throw new Error(`word ${n}`);
  }
});

test("a window that was given back, or never was, takes and gives nothing", () => {
  const table = new WindowTable();
  const good = table.add(address, 4096);
  const stale = table.add(address + 4096, 4096);
  table.remove(stale);
  for (const bad of [stale, stale + 1, MAX_WINDOWS, -1]) {
    for (const length of [1, 64, 4000]) {
      expect(copyBytes(table, good, 0, bad, 0, length)).toBe(false);
      expect(copyBytes(table, bad, 0, good, 0, length)).toBe(false);
    }
  }
});
