// Limits of the fdb: who loses an entry when a port or the table is full. Others' entries stay: a flood of addresses
// must not make the switch flood the traffic of bystanders.

import { expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import {
  allocateFdb,
  FDB_FULL,
  FDB_LEARNED,
  FDB_MOVED,
  FDB_PORT_REFUSED,
  type Fdb,
} from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries, fdbPortUse, fdbTotals } from "../../src/dataplane/fdb-show.ts";
import { fdbLimitSteps } from "../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import { allSteps } from "../support/steps.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

const VICTIM = 1;
const FLOODER = 2;

function learnAt(fdb: Fdb, index: number, port: number, nowS = 0): number {
  const { lo, hi } = macAt(index);
  return fdbLearn(fdb, lo, hi, port, nowS);
}

function lookupAt(fdb: Fdb, index: number, nowS = 0): number {
  const { lo, hi } = macAt(index);
  return fdbLookup(fdb, lo, hi, nowS);
}

function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

test("a flood pushes out the flooder's own addresses and nobody else's", () => {
  const fdb = allocateFdb(1000);
  // Half of the table is the most that a bystander can hold without being the heaviest port itself.
  for (const index of range(0, 500)) learnAt(fdb, index, VICTIM);
  for (const index of range(10_000, 50_000)) expect(learnAt(fdb, index, FLOODER, 1)).toBe(FDB_LEARNED);
  for (const index of range(0, 500)) expect(lookupAt(fdb, index, 1)).toBe(VICTIM);
  expect(lookupAt(fdb, 59_999, 1)).toBe(FLOODER);
  expect(fdbPortUse(fdb, FLOODER).count).toBe(500);
  expect(fdbTotals(fdb)).toMatchObject({ count: 1000, evicted: 49_500 });
  checkFdb(fdb);
});

test("under a flood the others still learn, at the flooder's cost", () => {
  const fdb = allocateFdb(1000);
  for (const index of range(10_000, 2000)) learnAt(fdb, index, FLOODER);
  for (const index of range(0, 400)) {
    expect(learnAt(fdb, index, VICTIM)).toBe(FDB_LEARNED);
    learnAt(fdb, 20_000 + index, FLOODER);
  }
  for (const index of range(0, 400)) expect(lookupAt(fdb, index)).toBe(VICTIM);
  expect(fdbPortUse(fdb, FLOODER).count).toBe(600);
  checkFdb(fdb);
});

test("a flood from many ports levels them, and the small ports keep all", () => {
  const fdb = allocateFdb(1000);
  for (const index of range(0, 50)) learnAt(fdb, index, VICTIM);
  for (const index of range(10_000, 20_000)) learnAt(fdb, index, 10 + (index % 10));
  for (const index of range(0, 50)) expect(lookupAt(fdb, index)).toBe(VICTIM);
  for (const port of range(10, 10)) expect(fdbPortUse(fdb, port).count).toBeWithin(94, 97);
  checkFdb(fdb);
});

test("a port at its own limit replaces its own, and never grows", () => {
  const fdb = allocateFdb(1000);
  allSteps(fdbLimitSteps(fdb, FLOODER, 10));
  for (const index of range(0, 100)) learnAt(fdb, index, VICTIM);
  for (const index of range(10_000, 1000)) {
    expect(learnAt(fdb, index, FLOODER)).toBe(FDB_LEARNED);
    expect(fdbPortUse(fdb, FLOODER).count).toBeLessThanOrEqual(10);
    expect(lookupAt(fdb, index)).toBe(FLOODER);
  }
  for (const index of range(0, 100)) expect(lookupAt(fdb, index)).toBe(VICTIM);
  checkFdb(fdb);
});

test("an address that moves to a port at its limit replaces one of that port", () => {
  const fdb = allocateFdb(1000);
  allSteps(fdbLimitSteps(fdb, FLOODER, 2));
  for (const [index, port] of [VICTIM, FLOODER, FLOODER].entries()) learnAt(fdb, index, port);
  expect(learnAt(fdb, 0, FLOODER)).toBe(FDB_MOVED);
  expect(lookupAt(fdb, 0)).toBe(FLOODER);
  expect(fdbPortUse(fdb, FLOODER).count).toBe(2);
  expect(fdbPortUse(fdb, VICTIM).count).toBe(0);
  checkFdb(fdb);
});

test("limit 0 turns learning off, for new addresses and for moves", () => {
  const fdb = allocateFdb(1000);
  learnAt(fdb, 0, VICTIM);
  allSteps(fdbLimitSteps(fdb, FLOODER, 0));
  expect(learnAt(fdb, 1, FLOODER)).toBe(FDB_PORT_REFUSED);
  expect(learnAt(fdb, 0, FLOODER)).toBe(FDB_PORT_REFUSED);
  expect(lookupAt(fdb, 0)).toBe(VICTIM);
  checkFdb(fdb);
});

test("a lowered limit evicts the surplus at once", () => {
  const fdb = allocateFdb(1000);
  for (const index of range(0, 300)) learnAt(fdb, index, VICTIM);
  allSteps(fdbLimitSteps(fdb, VICTIM, 7));
  expect(fdbPortUse(fdb, VICTIM)).toMatchObject({ count: 7, limit: 7 });
  checkFdb(fdb);
});

test("the one evicted is of the oldest, and most addresses in use survive a flood on their own port", () => {
  const fdb = allocateFdb(1000);
  allSteps(fdbLimitSteps(fdb, FLOODER, 64));
  const busy = range(0, 20);
  for (const index of busy) learnAt(fdb, index, FLOODER, 0);
  let lost = 0;
  for (const index of range(10_000, 2000)) {
    const nowS = (index - 10_000) >> 3;
    learnAt(fdb, index, FLOODER, nowS);
    for (const used of busy) if (learnAt(fdb, used, FLOODER, nowS) === FDB_LEARNED) lost++;
  }
  // First in, first out would evict each of the 20 every 44 learns, about 900 times in all.
  expect(lost).toBeLessThan(900 / 4);
  checkFdb(fdb);
});

test("static entries are not evicted, count towards the table's limit and not the port's", () => {
  const fdb = allocateFdb(10);
  allSteps(fdbLimitSteps(fdb, FLOODER, 3));
  for (const index of range(0, 8)) fdbAddStatic(fdb, macText(macAt(index)), FLOODER);
  for (const index of range(100, 50)) expect(learnAt(fdb, index, FLOODER)).toBe(FDB_LEARNED);
  expect(fdbPortUse(fdb, FLOODER).count).toBe(2);
  for (const index of range(8, 2)) fdbAddStatic(fdb, macText(macAt(index)), FLOODER);
  expect(fdbPortUse(fdb, FLOODER).count).toBe(0);
  expect(learnAt(fdb, 100, FLOODER)).toBe(FDB_FULL);
  expect(learnAt(fdb, 100, VICTIM)).toBe(FDB_FULL);
  expect(() => fdbAddStatic(fdb, macText(macAt(10)), VICTIM)).toThrow(expect.objectContaining({ code: "LIMIT" }));
  expect([...fdbEntries(fdb, 0)].flat().every((entry) => entry.static && entry.port === FLOODER)).toBe(true);
  checkFdb(fdb);
});
