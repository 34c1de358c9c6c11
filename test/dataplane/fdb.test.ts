// What the forwarder sees of the fdb: lookup and learn, one rule per test.

import { expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbTryLock, fdbUnlock } from "../../src/dataplane/fdb-entry.ts";
import {
  allocateFdb,
  FDB_BUSY,
  FDB_KNOWN,
  FDB_LEARNED,
  FDB_MOVED,
  FDB_PORT_REFUSED,
  FDB_STATIC,
  type Fdb,
  viewFdb,
} from "../../src/dataplane/fdb-layout.ts";
import { fdbLearnUnknown } from "../../src/dataplane/fdb-learn.ts";
import { fdbTotals } from "../../src/dataplane/fdb-show.ts";
import { fdbAddStatic, fdbSetAgeing } from "../../src/dataplane/fdb-table.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

const MAC = macAt(1);
const learn = (fdb: Fdb, port: number, nowS: number) => fdbLearn(fdb, MAC.lo, MAC.hi, port, nowS);
const lookup = (fdb: Fdb, nowS: number) => fdbLookup(fdb, MAC.lo, MAC.hi, nowS);

test("an address is unknown, then learned, then known", () => {
  const fdb = allocateFdb(64);
  expect(lookup(fdb, 10)).toBe(-1);
  expect(learn(fdb, 3, 10)).toBe(FDB_LEARNED);
  expect(lookup(fdb, 10)).toBe(3);
  expect(learn(fdb, 3, 10)).toBe(FDB_KNOWN);
  checkFdb(fdb);
});

test("addresses that share lo, or hi, or are zero, are different addresses", () => {
  const fdb = allocateFdb(64);
  const macs = [0, 2, -2, 0x7ffffffe, -2147483648].flatMap((lo) => [0, 1, 0xffff].map((hi) => ({ lo, hi })));
  for (const [port, { lo, hi }] of macs.entries()) {
    expect(fdbLookup(fdb, lo, hi, 0)).toBe(-1);
    expect(fdbLearn(fdb, lo, hi, port, 0)).toBe(FDB_LEARNED);
  }
  for (const [port, { lo, hi }] of macs.entries()) expect(fdbLookup(fdb, lo, hi, 0)).toBe(port);
  checkFdb(fdb);
});

test("every port index works, and what is no port is refused", () => {
  const fdb = allocateFdb(256);
  for (let port = 0; port < 256; port++) {
    expect(learn(fdb, port, 0)).toBe(port === 0 ? FDB_LEARNED : FDB_MOVED);
    expect(lookup(fdb, 0)).toBe(port);
  }
  for (const port of [256, -1]) expect(learn(fdb, port, 0)).toBe(FDB_PORT_REFUSED);
  checkFdb(fdb);
});

test("an address that appears on another port moves there", () => {
  const fdb = allocateFdb(64);
  learn(fdb, 1, 10);
  expect(learn(fdb, 2, 10)).toBe(FDB_MOVED);
  expect(lookup(fdb, 10)).toBe(2);
  expect(fdbTotals(fdb)).toMatchObject({ count: 1, learned: 1, moved: 1, evicted: 0 });
  checkFdb(fdb);
});

test("an entry is unknown once it is older than the ageing time, until it is seen again", () => {
  const fdb = allocateFdb(64);
  learn(fdb, 1, 10);
  expect(lookup(fdb, 310)).toBe(1);
  expect(lookup(fdb, 311)).toBe(-1);
  expect(learn(fdb, 1, 311)).toBe(FDB_KNOWN);
  expect(lookup(fdb, 611)).toBe(1);
});

test("a changed ageing time holds at once, in every view", () => {
  const fdb = allocateFdb(64);
  const other = viewFdb(fdb.buffer);
  learn(fdb, 1, 10);
  fdbSetAgeing(fdb, 20);
  expect([lookup(other, 30), lookup(other, 31)]).toEqual([1, -1]);
});

test("a clock that lags behind the entry's, or wraps, does not age it", () => {
  const fdb = allocateFdb(64);
  learn(fdb, 1, 10);
  expect(lookup(fdb, 9)).toBe(1);
  learn(fdb, 1, 0x7fffffff);
  expect([lookup(fdb, -2147483648), lookup(fdb, -2147483648 + 299), lookup(fdb, -2147483648 + 300)]).toEqual([
    1, 1, -1,
  ]);
});

test("a static entry neither ages nor moves", () => {
  const fdb = allocateFdb(64);
  fdbAddStatic(fdb, macText(MAC), 5);
  expect(learn(fdb, 5, 1000)).toBe(FDB_KNOWN);
  expect(learn(fdb, 6, 1000)).toBe(FDB_STATIC);
  expect(lookup(fdb, 1_000_000)).toBe(5);
  checkFdb(fdb);
});

test("while another thread changes the table, the known is refreshed and found, the new waits for its next frame", () => {
  const fdb = allocateFdb(64);
  learn(fdb, 1, 10);
  expect(fdbTryLock(fdb)).toBe(true);
  expect(learn(fdb, 1, 300)).toBe(FDB_KNOWN);
  expect(lookup(fdb, 600)).toBe(1);
  const fresh = macAt(2);
  expect(fdbLearn(fdb, fresh.lo, fresh.hi, 1, 300)).toBe(FDB_BUSY);
  expect(learn(fdb, 2, 300)).toBe(FDB_BUSY);
  fdbUnlock(fdb);
  expect(fdbLookup(fdb, fresh.lo, fresh.hi, 300)).toBe(-1);
  expect(fdbLearn(fdb, fresh.lo, fresh.hi, 1, 300)).toBe(FDB_LEARNED);
  expect(learn(fdb, 2, 300)).toBe(FDB_MOVED);
  checkFdb(fdb);
});

test("an address that another thread learned while this one came for the lock is refreshed, or moved from there", () => {
  const fdb = allocateFdb(64);
  learn(fdb, 1, 10);
  expect(fdbLearnUnknown(fdb, MAC.lo, MAC.hi, 1, 300)).toBe(FDB_KNOWN);
  expect(lookup(fdb, 600)).toBe(1);
  expect(fdbLearnUnknown(fdb, MAC.lo, MAC.hi, 2, 300)).toBe(FDB_MOVED);
  fdbAddStatic(fdb, macText(MAC), 3);
  expect(fdbLearnUnknown(fdb, MAC.lo, MAC.hi, 3, 300)).toBe(FDB_KNOWN);
  expect(fdbLearnUnknown(fdb, MAC.lo, MAC.hi, 2, 300)).toBe(FDB_STATIC);
  expect(lookup(fdb, 600)).toBe(3);
  checkFdb(fdb);
});

test("a buffer that holds no table is refused, and so is a senseless limit", () => {
  expect(() => viewFdb(new SharedArrayBuffer(4096))).toThrow(/no MAC table/);
  for (const limit of [0, -1, 1.5, Number.NaN, 1_048_577]) expect(() => allocateFdb(limit)).toThrow(/not in 1/);
});
