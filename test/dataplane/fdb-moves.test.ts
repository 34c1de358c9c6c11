// Moves of addresses as the fdb notes them: counted for the port to which they go, and kept for who looks once a second.

import { expect, test } from "bun:test";
import { fdbLearn } from "../../src/dataplane/fdb.ts";
import { allocateFdb, MOVES_KEPT, viewFdb } from "../../src/dataplane/fdb-layout.ts";
import { MoveReader } from "../../src/dataplane/fdb-moves.ts";
import { fdbPortUse } from "../../src/dataplane/fdb-show.ts";
import { fdbResetSteps } from "../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import { allSteps } from "../support/steps.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

test("a move is noted once, with address, VLAN, ports and second, and counted for the port to which it goes", () => {
  const fdb = allocateFdb(64);
  const reader = new MoveReader(viewFdb(fdb.buffer));
  const { lo, hi } = macAt(0xffffff);
  fdbLearn(fdb, lo, hi, 255, 7, 4094);
  fdbLearn(fdb, lo, hi, 255, 8, 4094);
  // Of another VLAN: another station, which does not move.
  fdbLearn(fdb, lo, hi, 3, 8, 5);
  expect(reader.take()).toEqual([]);
  fdbLearn(fdb, lo, hi, 3, 9, 4094);
  fdbLearn(fdb, lo, hi, 0, 10, 4094);
  const mac = macText({ lo, hi });
  expect(reader.take()).toEqual([
    { mac, vid: 4094, from: 255, to: 3, second: 9 },
    { mac, vid: 4094, from: 3, to: 0, second: 10 },
  ]);
  expect(reader.take()).toEqual([]);
  expect([255, 3, 0].map((port) => fdbPortUse(fdb, port).moved)).toEqual([0, 1, 1]);
  allSteps(fdbResetSteps(fdb, 3, 64));
  expect([3, 0].map((port) => fdbPortUse(fdb, port).moved)).toEqual([0, 1]);
  checkFdb(fdb);
});

test("an address that a person moves is none that moved by itself", () => {
  const fdb = allocateFdb(64);
  const reader = new MoveReader(fdb);
  const { lo, hi } = macAt(1);
  fdbLearn(fdb, lo, hi, 1, 0);
  fdbAddStatic(fdb, macText({ lo, hi }), 2);
  fdbLearn(fdb, lo, hi, 3, 0);
  expect(reader.take()).toEqual([]);
});

test("of more moves than there is room for, the newest are seen, in order; a reader begins with the next one", () => {
  const fdb = allocateFdb(64);
  const early = new MoveReader(fdb);
  const { lo, hi } = macAt(1);
  const learn = (count: number) => {
    for (let turn = 0; turn < count; turn++) fdbLearn(fdb, lo, hi, turn & 1, turn);
  };
  // The first learn is no move.
  learn(2 * MOVES_KEPT + 11);
  const late = new MoveReader(fdb);
  const seconds = early.take().map(({ second }) => second);
  expect(seconds).toEqual(Array.from({ length: MOVES_KEPT }, (_, index) => MOVES_KEPT + 11 + index));
  learn(3);
  // It is at port 0 by now, which is where the first of the three finds it.
  expect(late.take()).toHaveLength(2);
});
