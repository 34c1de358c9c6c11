// Finding must cost the same for 2 addresses and for 100,000, whatever they look like: every address in one of two
// buckets, nearly all in their first.

import { expect, test } from "bun:test";
import type { Mac } from "../../src/core/mac.ts";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbFind, fdbHash, fdbPreferred, fdbStep, hitAt } from "../../src/dataplane/fdb-find.ts";
import { allocateFdb, FDB_LEARNED, FDB_SLOTS, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries, fdbTotals } from "../../src/dataplane/fdb-show.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import { checkFdb, macAt, macText, seedAt } from "./fdb-check.ts";

/** The steps of a Weyl sequence, spread over 48 bits by a multiplication: looks random, repeats from run to run. */
function scattered(index: number): Mac {
  const lo = Math.imul(index + 1, 0x9e3779b1);
  return { lo: (lo ^ (lo >>> 15)) & ~1, hi: Math.imul(lo, 0x85ebca77) >>> 16 };
}

const SHAPES: Record<string, (index: number) => Mac> = {
  consecutive: macAt,
  "one in 256": (index) => macAt(index * 256),
  "one in 65,536": (index) => macAt(index * 65_536),
  "one vendor, device in the middle bytes": (index) => ({ lo: 0x525400 | (index << 24), hi: index >> 8 }),
  "low bits of lo": (index) => ({ lo: index << 1, hi: 0 }),
  scattered,
};

function fill(fdb: Fdb, shape: (index: number) => Mac, count: number): void {
  for (let index = 0; index < count; index++) {
    const { lo, hi } = shape(index);
    if (fdbLearn(fdb, lo, hi, index & 0xff, 0) !== FDB_LEARNED) expect.unreachable(`address ${index} was not learned`);
  }
}

/** The shares of addresses that lie in their second bucket, and in the slot that they prefer. */
function shares(fdb: Fdb, shape: (index: number) => Mac, count: number): { second: number; preferred: number } {
  let second = 0;
  let preferred = 0;
  for (let index = 0; index < count; index++) {
    const { lo, hi } = shape(index);
    const slot = (hitAt(fdbFind(fdb, lo, hi)) - FDB_SLOTS) >> 2;
    const hash = fdbHash(fdb, lo, hi);
    if (slot >> 2 !== hash >>> fdb.shift) second++;
    if (FDB_SLOTS + slot * 4 === fdbPreferred(fdb, hash)) preferred++;
  }
  return { second: second / count, preferred: preferred / count };
}

test("100,000 addresses are all found, and no others", () => {
  const count = 100_000;
  const fdb = allocateFdb(count);
  fill(fdb, macAt, count);
  expect(fdbTotals(fdb)).toMatchObject({ count, learned: count, evicted: 0 });
  let wrong = 0;
  for (let index = 0; index < count; index++) {
    const { lo, hi } = macAt(index);
    const stranger = macAt(index + count);
    if (fdbLookup(fdb, lo, hi, 0) !== (index & 0xff)) wrong++;
    if (fdbLookup(fdb, stranger.lo, stranger.hi, 0) !== -1) wrong++;
  }
  expect(wrong).toBe(0);
});

test.each(Object.entries(SHAPES))(
  "a table at its limit of %s addresses keeps nearly all in their first bucket, and these in the slot asked first",
  (_, shape) => {
    // Poisson with mean 1 puts 0.4 % of the entries beyond a bucket of 4.
    for (let seed = 0; seed < 100; seed++) {
      const fdb = allocateFdb(4096, seedAt(seed));
      fill(fdb, shape, 4096);
      const { second, preferred } = shares(fdb, shape, 4096);
      expect(second).toBeLessThan(0.012);
      expect(preferred).toBeGreaterThan(0.985);
    }
  },
);

test("the smallest table holds as many as it says, full buckets and all", () => {
  for (let seed = 0; seed < 200; seed++) {
    const fdb = allocateFdb(32, seedAt(seed));
    fill(fdb, scattered, 32);
    checkFdb(fdb);
  }
});

test("the two buckets of an address differ and lie in the table", () => {
  for (const limit of [1, 32, 65_536]) {
    const fdb = allocateFdb(limit);
    for (let index = 0; index < 1000; index++) {
      const { lo, hi } = scattered(index);
      const hash = fdbHash(fdb, lo, hi);
      const first = hash >>> fdb.shift;
      const second = first ^ fdbStep(fdb, hash);
      expect(second).not.toBe(first);
      expect(Math.max(first, second)).toBeLessThan(fdb.slotCount / 4);
      expect(Math.min(first, second)).toBeGreaterThanOrEqual(0);
    }
  }
});

test("an entry that makes room for another stays what it is", () => {
  for (let seed = 0; seed < 200; seed++) {
    const fdb = allocateFdb(32, seedAt(seed));
    const expected = new Map<string, object>();
    for (let index = 0; index < 32; index++) {
      const isStatic = index % 2 === 0;
      const mac = scattered(index);
      const vid = (index % 3) * 2047;
      if (isStatic) fdbAddStatic(fdb, macText(mac), index, vid);
      else expect(fdbLearn(fdb, mac.lo, mac.hi, index, index, vid)).toBe(FDB_LEARNED);
      const text = macText(mac);
      expected.set(text, { mac: text, vid, port: index, ageS: isStatic ? 0 : 100 - index, static: isStatic });
    }
    expect(new Map<string, object>([...fdbEntries(fdb, 100)].flat().map((entry) => [entry.mac, entry]))).toEqual(
      expected,
    );
    checkFdb(fdb);
  }
});

test("two tables place the same addresses differently, so nobody can choose ones that collide", () => {
  const homes = (fdb: Fdb) => Array.from({ length: 64 }, (_, index) => fdbHash(fdb, macAt(index).lo, macAt(index).hi));
  expect(homes(allocateFdb())).not.toEqual(homes(allocateFdb()));
});
