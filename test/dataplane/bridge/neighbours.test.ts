// The table of who has which address: shares of ports, disputes, and what a held lock does. What frames say is suppress.test.ts's.

import { expect, test } from "bun:test";
import {
  ask,
  claim,
  FAMILY_IP4,
  FAMILY_IP6,
  NEIGHBOURS_SIZE,
  Neighbour,
  seedNeighbours,
} from "../../../src/dataplane/bridge/neighbours.ts";
import { allocateFdb, FDB_SWITCH_AGEING } from "../../../src/dataplane/fdb-layout.ts";

const fdb = allocateFdb(64);
const AGEING_S = fdb.words[FDB_SWITCH_AGEING];
const [MINE, THEIRS] = [1, 2];

class Table {
  readonly words = new Int32Array(NEIGHBOURS_SIZE / 4);
  nowS = 1;

  constructor() {
    seedNeighbours(this.words);
  }

  /** Station `lo` at `port` says it has address `a`. */
  claim(a: number, lo: number, port: number, tag = FAMILY_IP4): void {
    claim(this.words, fdb, this.neighbour(a, tag, lo), port, this.nowS);
  }

  /** Who is asked, 0: all. */
  ask(a: number, tag = FAMILY_IP4): number {
    const it = this.neighbour(a, tag);
    return ask(this.words, fdb, it, this.nowS) ? it.lo : 0;
  }

  private neighbour(a: number, tag: number, lo = 0): Neighbour {
    return Object.assign(new Neighbour(), { a, tag, lo, hi: 7 });
  }
}

const range = (from: number, count: number) => Array.from({ length: count }, (_, k) => from + k);

/** What the table's first bucket has, aged or not. (To ask is to wait for an answer: it makes requests flooded later.) */
function firstBucket({ words }: Table): Set<number> {
  return new Set(range(0, 8).map((k) => words[32 + 16 * k + 1]));
}

/** Addresses that lie in the first bucket of the table, which is empty. */
function ofFirstBucket(table: Table, count: number): number[] {
  const found: number[] = [];
  for (let a = 0x0a000000; found.length < count; a++) {
    table.claim(a, MINE, 1);
    if (firstBucket(table).has(a)) found.push(a);
    table.words.fill(0, 32, 32 + 8 * 16);
  }
  table.words.fill(0, 32);
  return found;
}

test("a port has what is free, 2,000 addresses and more, until others come; of its share nobody pushes anything out", () => {
  const table = new Table();
  const held = (addresses: number[]) => addresses.filter((a) => table.ask(a) !== 0);
  const flood = (port: number) => range(port << 24, 50_000);
  const own = range(0x0a000000, 2000);
  for (const a of own) table.claim(a, MINE, 1);
  expect(held(own).length).toBeGreaterThan(1990);
  const before = held(own);
  // 8 entries in each of 2048 buckets, and in few has the first port so many that the second one takes any.
  for (const a of flood(2)) table.claim(a, THEIRS, 2);
  expect(held(own).length).toBeGreaterThan(1980);
  // All of the table but the last place of a bucket that few of them fell into, now and then.
  expect(held(own).length + held(flood(2)).length).toBeGreaterThan(16_370);
  for (const port of [3, 4, 5]) for (const a of flood(port)) table.claim(a, THEIRS, port);
  const safe = held(own);
  expect(safe.length).toBeGreaterThan(1700);
  expect(before).toEqual(expect.arrayContaining(safe));
  // All have their shares by now.
  for (const port of [6, 7, 8]) for (const a of flood(port)) table.claim(a, THEIRS, port);
  expect(held(own)).toEqual(safe);
  for (const port of [2, 3, 4]) expect(held(flood(port)).length).toBeGreaterThanOrEqual(4096);
  // A full bucket has room again when what is in it has aged.
  table.nowS += AGEING_S + 1;
  for (const a of own) table.claim(a, MINE, 1);
  expect(held(own).length).toBeGreaterThan(1990);
});

test("what is lent is taken back, the oldest first, and from the port that has most", () => {
  const table = new Table();
  const bucket = ofFirstBucket(table, 20);
  const claimNext = (port: number, count: number) => {
    const claimed = bucket.splice(0, count);
    for (const a of claimed) {
      table.nowS++;
      table.claim(a, port, port);
    }
    return claimed;
  };
  const held = (addresses: number[]) => addresses.map((a) => firstBucket(table).has(a));
  const [first, second] = [claimNext(1, 3), claimNext(2, 5)];
  expect([held(first), held(second)]).toEqual([Array(3).fill(true), Array(5).fill(true)]);
  const third = claimNext(3, 2);
  expect([held(first), held(second)]).toEqual([Array(3).fill(true), [false, false, true, true, true]]);
  // With its share it goes on with its own.
  const more = claimNext(3, 2);
  expect([held(third), held(more)]).toEqual([Array(2).fill(false), Array(2).fill(true)]);
  expect([held(first), held(second)]).toEqual([Array(3).fill(true), [false, false, true, true, true]]);
  const fourth = claimNext(4, 2);
  expect([held(first), held(second), held(fourth)]).toEqual([
    [false, true, true],
    [false, false, false, true, true],
    [true, true],
  ]);
  // All have their shares: a fifth one finds nothing.
  expect(held(claimNext(5, 2))).toEqual([false, false]);
});

test("whatever ports claim, none loses an entry to another but its oldest one, and that beyond its share", () => {
  const table = new Table();
  const bucket = ofFirstBucket(table, 60);
  const pick = (count: number) => Math.floor(Math.random() * count);
  const pushedOut = { own: 0, other: 0 };
  for (let round = 0; round < 100; round++) {
    table.words.fill(0, 32);
    const held = new Map<number, { port: number; atS: number }>();
    // The first ports are quicker.
    for (let k = 0; k < 60; k++) {
      table.nowS++;
      const port = pick(pick(6) + 1);
      const a = bucket[port * 10 + pick(10)];
      table.claim(a, MINE, port);
      const now = firstBucket(table);
      const lost = [...held].filter(([other]) => !now.has(other));
      expect(lost.length).toBeLessThanOrEqual(1);
      for (const [other, { port: of, atS }] of lost) {
        held.delete(other);
        const left = [...held.values()].filter((entry) => entry.port === of);
        for (const entry of left) expect(entry.atS).toBeGreaterThan(atS);
        if (of !== port) expect(left.length).toBeGreaterThanOrEqual(2);
        pushedOut[of === port ? "own" : "other"]++;
      }
      if (now.has(a)) held.set(a, { port, atS: table.nowS });
    }
  }
  expect(Math.min(pushedOut.own, pushedOut.other)).toBeGreaterThan(100);
});

test("of its own entries a port loses the oldest", () => {
  const table = new Table();
  const many = range(0x0a000000, 100_000);
  for (const [k, a] of many.entries()) {
    table.nowS = 1 + Math.floor(k / 1000);
    table.claim(a, MINE, 1);
  }
  const kept = many.filter((a) => table.ask(a) !== 0);
  // The last thousand can have lost few: at most to one another.
  expect(kept.filter((a) => a >= many[99_000]).length).toBeGreaterThan(990);
  expect(kept).not.toContain(many[0]);
});

test("the same address in another VLAN, or of the other family, is another's", () => {
  const table = new Table();
  table.claim(9, MINE, 1, FAMILY_IP4 | 10);
  table.claim(9, THEIRS, 2, FAMILY_IP4 | 20);
  const tags = [FAMILY_IP4 | 10, FAMILY_IP4 | 20, FAMILY_IP4, FAMILY_IP6 | 10];
  expect(tags.map((tag) => table.ask(9, tag))).toEqual([MINE, THEIRS, 0, 0]);
  // Among so many some lie in one bucket.
  for (const a of range(100, 10)) table.claim(a, MINE, a, FAMILY_IP4 | 10);
  const found = range(100, 10).flatMap((a) => range(0, 4095).filter((vid) => table.ask(a, FAMILY_IP4 | vid) !== 0));
  expect(found).toEqual(Array(10).fill(10));
});

test("a dispute is not ended by the owner's going to another port", () => {
  const table = new Table();
  table.claim(9, MINE, 1);
  table.claim(9, THEIRS, 2);
  table.claim(9, MINE, 3);
  expect(table.ask(9)).toBe(0);
  table.nowS += AGEING_S;
  table.claim(9, MINE, 3);
  expect(table.ask(9)).toBe(0);
  table.nowS += 1;
  expect(table.ask(9)).toBe(MINE);
});

test("a dispute ends with the address's next owner", () => {
  const table = new Table();
  table.claim(9, MINE, 1);
  table.nowS += AGEING_S;
  table.claim(9, THEIRS, 2);
  table.nowS += 1;
  table.claim(9, THEIRS, 2);
  expect(table.ask(9)).toBe(THEIRS);
});

test("a claim waits for nobody: while another worker writes it changes nothing, and what is known is refreshed all the same", () => {
  const table = new Table();
  table.claim(9, MINE, 1);
  table.words[0] = 1;
  table.nowS += AGEING_S;
  table.claim(9, MINE, 1);
  table.claim(8, MINE, 1);
  table.nowS += 1;
  expect([table.ask(9), table.ask(8)]).toEqual([MINE, 0]);
  table.words[0] = 0;
  table.claim(8, MINE, 1);
  expect(table.ask(8)).toBe(MINE);
});
