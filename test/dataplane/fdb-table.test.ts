// The control side of the fdb: list, add, delete, flush, sweep.

import { expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbTryLock, fdbUnlock } from "../../src/dataplane/fdb-entry.ts";
import { allocateFdb, FDB_LEARNED, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries, fdbPortUse, fdbTotals } from "../../src/dataplane/fdb-show.ts";
import { fdbFlushSteps, fdbLimitSteps, fdbSweepSteps } from "../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic, fdbDelete, fdbSetAgeing } from "../../src/dataplane/fdb-table.ts";
import { allSteps } from "../support/steps.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

/** Addresses 0 to `count` - 1, learned on ports 0 to 3 in turn, one a second. */
function filled(count: number, limit = 1000): Fdb {
  const fdb = allocateFdb(limit);
  for (let index = 0; index < count; index++) {
    const { lo, hi } = macAt(index);
    expect(fdbLearn(fdb, lo, hi, index % 4, index)).toBe(FDB_LEARNED);
  }
  return fdb;
}

test("the list shows address, port, age and kind, of one port if asked", () => {
  const fdb = filled(2);
  fdbAddStatic(fdb, "02:00:00:00:aB:cD", 9);
  const byMac = (a: { mac: string }, b: { mac: string }) => a.mac.localeCompare(b.mac);
  expect([...fdbEntries(fdb, 50)].flat().sort(byMac)).toEqual([
    { mac: "02:00:00:00:00:00", vid: 0, port: 0, ageS: 50, static: false },
    { mac: "02:00:00:00:00:01", vid: 0, port: 1, ageS: 49, static: false },
    { mac: "02:00:00:00:ab:cd", vid: 0, port: 9, ageS: 0, static: true },
  ]);
  expect([...fdbEntries(fdb, 50, 1)].flat().map((entry) => entry.mac)).toEqual(["02:00:00:00:00:01"]);
});

test("the list leaves out what a lookup would not find", () => {
  const fdb = filled(2);
  expect([...fdbEntries(fdb, 301)].flat().map((entry) => entry.mac)).toEqual(["02:00:00:00:00:01"]);
});

test("the list shows age 0 where a worker's clock is ahead", () => {
  const fdb = filled(2);
  expect([...fdbEntries(fdb, 0)].flat().map((entry) => entry.ageS)).toEqual([0, 0]);
});

test("a static entry replaces a learned or a static one", () => {
  const fdb = filled(4);
  const { lo, hi } = macAt(2);
  for (const port of [7, 8]) {
    fdbAddStatic(fdb, macText(macAt(2)), port);
    expect(fdbLookup(fdb, lo, hi, 0)).toBe(port);
    expect(fdbPortUse(fdb, 2).count).toBe(0);
    checkFdb(fdb);
  }
  expect(fdbTotals(fdb).count).toBe(4);
});

test("delete removes either kind, once", () => {
  const fdb = filled(4);
  fdbAddStatic(fdb, macText(macAt(3)), 3);
  for (const index of [0, 3]) {
    const { lo, hi } = macAt(index);
    expect(fdbDelete(fdb, macText(macAt(index)))).toBe(true);
    expect(fdbDelete(fdb, macText(macAt(index)))).toBe(false);
    expect(fdbLookup(fdb, lo, hi, 0)).toBe(-1);
  }
  checkFdb(fdb);
});

test.each([4, 1000, 5000])("flush removes what it is asked to, in a table of %d", (limit) => {
  const count = Math.min(limit, 400);
  const fdb = filled(count, limit);
  fdbAddStatic(fdb, macText(macAt(1)), 1);
  fdbAddStatic(fdb, macText(macAt(2)), 2);
  const size = () => fdbTotals(fdb).count;
  expect([allSteps(fdbFlushSteps(fdb, { port: 1 })), size()]).toEqual([count / 4 - 1, count - (count / 4 - 1)]);
  expect([allSteps(fdbFlushSteps(fdb)), size()]).toEqual([count / 2 + count / 4 - 1, 2]);
  expect([allSteps(fdbFlushSteps(fdb, { port: 2, statics: true })), size()]).toEqual([1, 1]);
  expect([allSteps(fdbFlushSteps(fdb, { statics: true })), size()]).toEqual([1, 0]);
  checkFdb(fdb);
});

test("the sweep frees the slots of aged entries, a stretch at a time, all within one round", () => {
  const fdb = filled(400);
  fdbAddStatic(fdb, macText(macAt(0)), 0);
  const buckets = fdb.slotCount / 4;
  let removed = 0;
  for (let swept = 0; swept < buckets; swept += 8) removed += allSteps(fdbSweepSteps(fdb, 500, 8));
  // At 500 s, those seen before 200 s are aged: 1 to 199.
  expect(removed).toBe(199);
  expect(fdbTotals(fdb)).toMatchObject({ count: 201, aged: 199 });
  for (let index = 1; index < 400; index++) {
    const { lo, hi } = macAt(index);
    expect(fdbLookup(fdb, lo, hi, 500)).toBe(index < 200 ? -1 : index % 4);
  }
  checkFdb(fdb);
});

test.each([1, 63, 64, 100, 511, 10_000])("a sweep of %d buckets at a time misses none", (maxBuckets) => {
  const fdb = filled(400);
  let removed = 0;
  for (let swept = 0; swept < fdb.slotCount / 4; swept += maxBuckets)
    removed += allSteps(fdbSweepSteps(fdb, 10_000, maxBuckets));
  expect(removed).toBe(400);
});

test("the default sweep takes 16 calls for a round", () => {
  const fdb = filled(400, 5000);
  let removed = 0;
  for (let call = 0; call < 16; call++) removed += allSteps(fdbSweepSteps(fdb, 10_000));
  expect(removed).toBe(400);
});

test("a lock that stays taken ends in an error, not in a hang, and nothing changed", () => {
  const fdb = filled(4);
  fdbTryLock(fdb);
  for (const change of [
    () => fdbDelete(fdb, macText(macAt(0))),
    () => fdbAddStatic(fdb, macText(macAt(9)), 0),
    () => allSteps(fdbFlushSteps(fdb)),
    () => allSteps(fdbSweepSteps(fdb, 10_000)),
  ]) {
    expect(change).toThrow(expect.objectContaining({ code: "BUSY" }));
  }
  fdbUnlock(fdb);
  expect(fdbTotals(fdb).count).toBe(4);
  checkFdb(fdb);
});

test("bad input is refused and leaves the table as it was", () => {
  const fdb = filled(4);
  const refused = [
    () => fdbAddStatic(fdb, "02:00", 0),
    () => fdbAddStatic(fdb, "01:00:5e:00:00:01", 0),
    () => fdbAddStatic(fdb, "ff:ff:ff:ff:ff:ff", 0),
    () => fdbAddStatic(fdb, "00:00:00:00:00:00", 0),
    () => fdbAddStatic(fdb, "02:00:00:00:00:09", 256),
    () => fdbAddStatic(fdb, "02:00:00:00:00:09", -1),
    () => fdbDelete(fdb, "everything"),
    () => fdbSetAgeing(fdb, 0),
    () => fdbSetAgeing(fdb, 1.5),
    () => allSteps(fdbLimitSteps(fdb, 0, 1001)),
    () => allSteps(fdbLimitSteps(fdb, 256, 1)),
  ];
  for (const attempt of refused) expect(attempt).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
  expect(fdbTotals(fdb).count).toBe(4);
  checkFdb(fdb);
});
