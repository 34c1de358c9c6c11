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
import { allocateFdb, FDB_AGEING } from "../../../src/dataplane/fdb-layout.ts";

const fdb = allocateFdb(64);
const AGEING_S = fdb.words[FDB_AGEING];
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

test("a port that claims thousands of addresses takes a quarter of the room, and pushes out no other's", () => {
  const table = new Table();
  const held = (addresses: number[]) => addresses.filter((a) => table.ask(a) !== 0);
  const [own, hostile] = [range(0x0a000000, 500), range(0x0b000000, 50_000)];
  for (const a of own) table.claim(a, MINE, 1);
  // Of its own ones a station may have pushed out some, too.
  const before = held(own);
  expect(before.length).toBeGreaterThan(450);
  for (const a of hostile) table.claim(a, THEIRS, 2);
  // 2 of 8 in each of 2048 buckets, and those that were claimed last.
  expect(held(hostile)).toHaveLength(4096);
  expect(held(own)).toEqual(before);
  for (const port of [3, 4, 5, 6, 7]) for (const a of range(port << 24, 50_000)) table.claim(a, THEIRS, port);
  expect(held(own)).toEqual(before);
  // A full bucket has room again when what is in it has aged.
  table.nowS += AGEING_S + 1;
  for (const a of own) table.claim(a, MINE, 1);
  expect(held(own).length).toBeGreaterThan(450);
});

test("of its own entries a port loses the oldest", () => {
  const table = new Table();
  const many = range(0x0a000000, 20_000);
  for (const [k, a] of many.entries()) {
    table.nowS = 1 + Math.floor(k / 100);
    table.claim(a, MINE, 1);
  }
  const kept = many.filter((a) => table.ask(a) !== 0);
  // The last thousand can have lost few: at most to one another.
  expect(kept.filter((a) => a >= many[19_000]).length).toBeGreaterThan(850);
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
