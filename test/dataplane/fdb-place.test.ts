// Nearly every address lies in the slot that it prefers, since a bucket's pilot sets those apart that are at home there; and who moves
// them into these slots loses nothing, neither of what they are nor to those who read meanwhile.

import { expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { nextNode, oldestNode } from "../../src/dataplane/fdb-entry.ts";
import { fdbFind, fdbHash, fdbPreferred, hitAt } from "../../src/dataplane/fdb-find.ts";
import {
  allocateFdb,
  ENTRY_STAMP,
  FDB_LEARNED,
  FDB_LOCK,
  FDB_MOVING,
  FDB_SLOTS,
  type Fdb,
} from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../src/dataplane/fdb-show.ts";
import { fdbAddStatic, fdbDelete } from "../../src/dataplane/fdb-table.ts";
import { sized } from "../support/scale.ts";
import { until } from "../support/until.ts";
import { checkFdb, macAt, macText, seedAt } from "./fdb-check.ts";
import { neighbours, startStress } from "./fdb-stress.ts";
import { CHANGES, STOP, STRANGER_PORT } from "./fdb-stress-task.ts";

function learn(fdb: Fdb, index: number, port: number, second = 0): void {
  const { lo, hi } = macAt(index);
  expect(fdbLearn(fdb, lo, hi, port, second)).toBe(FDB_LEARNED);
}

function placeOf(fdb: Fdb, index: number): number {
  const { lo, hi } = macAt(index);
  return hitAt(fdbFind(fdb, lo, hi));
}

function isPreferred(fdb: Fdb, index: number): boolean {
  const { lo, hi } = macAt(index);
  return placeOf(fdb, index) === fdbPreferred(fdb, fdbHash(fdb, lo, hi));
}

test("of 100,000 random addresses 99 of 100 lie in the slot that they prefer, also when half of them have been replaced", () => {
  const count = 100_000;
  const fdb = allocateFdb(count);
  const drawn = crypto.getRandomValues(new Uint32Array((3 * count) / 2));
  // Different from one another by the number's multiplication, which no two of them share.
  const indices = Array.from(drawn, (random, n) => (random >>> 18) * 2 ** 26 + n);
  const share = (ones: readonly number[]) => ones.filter((index) => isPreferred(fdb, index)).length / ones.length;
  for (const index of indices.slice(0, count)) learn(fdb, index, 1);
  expect(share(indices.slice(0, count))).toBeGreaterThan(0.99);
  for (const index of indices.slice(0, count / 2)) expect(fdbDelete(fdb, macText(macAt(index)))).toBe(true);
  for (const index of indices.slice(count)) learn(fdb, index, 2);
  expect(share(indices.slice(count / 2))).toBeGreaterThan(0.99);
});

test("four addresses of a bucket lie where they prefer to, as good as always, and are what they were", () => {
  let moved = 0;
  let outside = 0;
  for (let seed = 0; seed < 500; seed++) {
    const fdb = allocateFdb(32, seedAt(seed));
    const four = [0, ...neighbours(fdb, 3, 0)];
    const places: number[] = [];
    for (const [turn, index] of four.entries()) {
      if (turn === 1) fdbAddStatic(fdb, macText(macAt(index)), turn);
      else learn(fdb, index, turn, 10 + turn);
      moved += places.filter((place, before) => placeOf(fdb, four[before]) !== place).length;
      places.splice(0, places.length, ...four.slice(0, turn + 1).map((each) => placeOf(fdb, each)));
      checkFdb(fdb);
    }
    outside += four.filter((index) => !isPreferred(fdb, index)).length;
    expect(
      four.map((index) => [...fdbEntries(fdb, 20)].flat().find(({ mac }) => mac === macText(macAt(index)))),
    ).toEqual(
      four.map((index, port) => ({
        mac: macText(macAt(index)),
        vid: 0,
        port,
        ageS: port === 1 ? 0 : 10 - port,
        static: port === 1,
      })),
    );
  }
  expect(moved).toBeGreaterThan(500);
  // A bucket with four for which no pilot does: some in a hundred of them.
  expect(outside).toBeLessThan(25);
});

test("who is moved keeps the place in its port's order of learning", () => {
  for (let seed = 0; seed < 200; seed++) {
    const fdb = allocateFdb(32, seedAt(seed));
    for (let index = 0; index < 32; index++) learn(fdb, index, 3, index);
    const seconds: number[] = [];
    for (let node = oldestNode(fdb, 3); node < fdb.slotCount; node = nextNode(fdb, node)) {
      seconds.push(fdb.words[FDB_SLOTS + node * 4 + ENTRY_STAMP]);
    }
    expect(seconds).toEqual(Array.from({ length: 32 }, (_, index) => index));
  }
});

test("a thread that stands still while it moves entries holds up nobody", () => {
  const fdb = allocateFdb(32, seedAt(1));
  for (let index = 0; index < 32; index++) learn(fdb, index, 3);
  fdb.words[FDB_MOVING]++;
  const ports = Array.from({ length: 64 }, (_, index) => fdbLookup(fdb, macAt(index).lo, macAt(index).hi, 0));
  expect(ports).toEqual(ports.map((_, index) => (index < 32 ? 3 : -1)));
});

test("while two threads have entries of its bucket moved without end, an address is found where it is, every time", async () => {
  const fdb = allocateFdb(32);
  const [learned, ...others] = neighbours(fdb, 7, 0);
  fdbAddStatic(fdb, macText(macAt(0)), 1);
  learn(fdb, learned, 2);
  const state = new Int32Array(new SharedArrayBuffer(12));
  const task = { buffer: fdb.buffer, state, vid: 0, ports: [STRANGER_PORT] };
  const ended = Promise.all([
    startStress({ ...task, thread: 0, indices: others.slice(0, 3) }),
    startStress({ ...task, thread: 1, indices: others.slice(3) }),
  ]);
  const [fixed, mobile] = [macAt(0), macAt(learned)];
  const wanted = sized(200_000, 5_000_000);
  const before = Atomics.load(fdb.words, FDB_MOVING);
  const places = new Set<number>();
  let wrong = 0;
  await until(
    "both threads to change the table often",
    () => {
      for (let burst = 0; burst < 50_000; burst++) {
        Atomics.load(fdb.words, FDB_LOCK); // as the engine does: what follows is read from memory again
        if (fdbLookup(fdb, fixed.lo, fixed.hi, 0) !== 1) wrong++;
        if (fdbLookup(fdb, mobile.lo, mobile.hi, 0) !== 2) wrong++;
      }
      places.add(placeOf(fdb, learned));
      return [0, 1].every((thread) => Atomics.load(state, CHANGES + thread) >= wanted);
    },
    { timeoutMs: 50_000, everyMs: 0, context: () => `changes ${state.subarray(CHANGES)}` },
  ).finally(() => Atomics.store(state, STOP, 1));
  await ended;
  expect(wrong).toBe(0);
  expect(places.size).toBeGreaterThan(1);
  expect(Atomics.load(fdb.words, FDB_MOVING) - before).toBeGreaterThan(1000);
  checkFdb(fdb);
}, 60_000);
