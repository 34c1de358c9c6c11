// The fdb under rules of ports: addresses that stay, ports that give none up. Asked without the lock and again under it, since another
// thread may have been faster.

import { describe, expect, test } from "bun:test";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import {
  allocateFdb,
  FDB_KNOWN,
  FDB_LEARNED,
  FDB_MOVED,
  FDB_PORT_FULL,
  FDB_STATIC,
  FDB_STAYS,
  type Fdb,
} from "../../src/dataplane/fdb-layout.ts";
import { fdbLearnUnknown } from "../../src/dataplane/fdb-learn.ts";
import { fdbPortUse } from "../../src/dataplane/fdb-show.ts";
import { fdbLimitSteps } from "../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic, fdbSetAgeing } from "../../src/dataplane/fdb-table.ts";
import { allSteps } from "../support/steps.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

const STICKY = 1;
const FULL = 2;
const FREE = 3;
const VID = 5;
/** Seconds; static entries have no such age. */
const NOW_S = 1000;
const [FIRST, SECOND] = [macAt(1), macAt(2)];

/** Of a sticky port, and of one that gives up no address. */
function rulesOf() {
  const rules = { stays: new Uint8Array(256), evicts: new Uint8Array(256).fill(1) };
  rules.stays[STICKY] = 1;
  rules.evicts[FULL] = 0;
  return rules;
}

describe.each([
  ["asked without the lock", fdbLearn],
  ["asked under the lock", fdbLearnUnknown],
])("%s", (_, learnBy) => {
  const rules = rulesOf();
  const learn = (fdb: Fdb, { lo, hi } = FIRST, port = FREE, nowS = NOW_S) =>
    learnBy(fdb, lo, hi, port, nowS, VID, rules);
  const whereIs = (fdb: Fdb, { lo, hi } = FIRST, nowS = NOW_S) => fdbLookup(fdb, lo, hi, nowS, VID);

  test("an address stays at a sticky port until it has aged, by its VLAN's time", () => {
    const fdb = allocateFdb(64);
    fdbSetAgeing(fdb, 300, new Map([[VID, 20]]));
    expect(learn(fdb, FIRST, STICKY)).toBe(FDB_LEARNED);
    expect(learn(fdb, FIRST, FREE, NOW_S + 20)).toBe(FDB_STAYS);
    expect(whereIs(fdb)).toBe(STICKY);
    expect(learn(fdb, FIRST, STICKY, NOW_S + 10)).toBe(FDB_KNOWN);
    expect(learn(fdb, FIRST, FREE, NOW_S + 30)).toBe(FDB_STAYS);
    expect(learn(fdb, FIRST, FREE, NOW_S + 31)).toBe(FDB_MOVED);
    expect(whereIs(fdb, FIRST, NOW_S + 31)).toBe(FREE);
    checkFdb(fdb);
  });

  test("a static one of a sticky port stays, that of another port is what it is without rules", () => {
    const fdb = allocateFdb(64);
    fdbAddStatic(fdb, macText(FIRST), STICKY, VID);
    fdbAddStatic(fdb, macText(SECOND), FREE, VID);
    allSteps(fdbLimitSteps(fdb, FULL, 0));
    expect([learn(fdb), learn(fdb, SECOND, STICKY), learn(fdb, SECOND, FULL)]).toEqual([
      FDB_STAYS,
      FDB_STATIC,
      FDB_STATIC,
    ]);
    expect([whereIs(fdb), whereIs(fdb, SECOND)]).toEqual([STICKY, FREE]);
  });

  test("a port that gives none up learns none at its limit, new or from elsewhere, and goes on with its own", () => {
    const fdb = allocateFdb(64);
    allSteps(fdbLimitSteps(fdb, FULL, 1));
    expect(learn(fdb, FIRST, FULL)).toBe(FDB_LEARNED);
    expect(learn(fdb, SECOND, FULL)).toBe(FDB_PORT_FULL);
    expect(learn(fdb, SECOND, FREE)).toBe(FDB_LEARNED);
    expect(learn(fdb, SECOND, FULL)).toBe(FDB_PORT_FULL);
    expect(learn(fdb, FIRST, FULL, NOW_S + 1)).toBe(FDB_KNOWN);
    expect([whereIs(fdb), whereIs(fdb, SECOND)]).toEqual([FULL, FREE]);
    // Its only address leaves: there is room.
    expect(learn(fdb, FIRST, FREE)).toBe(FDB_MOVED);
    expect(learn(fdb, SECOND, FULL)).toBe(FDB_MOVED);
    expect(fdbPortUse(fdb, FULL).count).toBe(1);
    checkFdb(fdb);
  });
});
