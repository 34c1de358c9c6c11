// What is known of an address at the place that it prefers must be what the whole table says of it, or nothing.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import { fdbKnownAt, fdbPlace, fdbPortAt } from "../../src/dataplane/fdb-burst.ts";
import { allocateFdb, FDB_AGEING_DEFAULT_S, FDB_KNOWN } from "../../src/dataplane/fdb-layout.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import { macAt, macText, seedAt } from "./fdb-check.ts";

/** As many as fit, so that buckets are full, and addresses lie in their second ones. */
const ADDRESSES = 32;

const heard = fc.record({
  index: fc.nat(ADDRESSES - 1),
  port: fc.nat(3),
  second: fc.nat(2 * FDB_AGEING_DEFAULT_S),
  isStatic: fc.boolean(),
});

test("of any address, its place says what a look-up says, or nothing", () => {
  let known = 0;
  let silent = 0;
  fc.assert(
    fc.property(fc.nat(1000), fc.array(heard, { minLength: 60, maxLength: 120 }), (seed, stations) => {
      const fdb = allocateFdb(ADDRESSES, seedAt(seed));
      for (const { index, port, second, isStatic } of stations) {
        const mac = macAt(index);
        if (isStatic) fdbAddStatic(fdb, macText(mac), port);
        else fdbLearn(fdb, mac.lo, mac.hi, port, second);
      }
      const nowS = 2 * FDB_AGEING_DEFAULT_S;
      for (let index = 0; index < 2 * ADDRESSES; index++) {
        const { lo, hi } = macAt(index);
        const at = fdbPlace(fdb, lo, hi);
        const whole = fdbLookup(fdb, lo, hi, nowS);
        const port = fdbPortAt(fdb, at, lo, hi, nowS);
        if (port >= 0) {
          expect(port).toBe(whole);
          known++;
        } else if (whole >= 0) silent++;
        const known4 = [0, 1, 2, 3].filter((from) => fdbKnownAt(fdb, at, lo, hi, from, nowS));
        for (const from of known4) expect(fdbLearn(fdb, lo, hi, from, nowS)).toBe(FDB_KNOWN);
        expect(known4).toEqual(port >= 0 && known4.length > 0 ? [whole] : []);
      }
    }),
    { seed: 6, numRuns: 200 },
  );
  // Both ways were walked, and the short one far more often.
  expect(silent).toBeGreaterThan(0);
  expect(known).toBeGreaterThan(4 * silent);
});

test("nothing is left to learn only of who was heard on this port in this second", () => {
  const fdb = allocateFdb(64, seedAt(1));
  const { lo, hi } = macAt(7);
  const at = fdbPlace(fdb, lo, hi);
  expect(fdbKnownAt(fdb, at, lo, hi, 2, 10)).toBe(false);
  fdbLearn(fdb, lo, hi, 2, 10);
  expect(fdbKnownAt(fdb, at, lo, hi, 2, 10)).toBe(true);
  expect(fdbKnownAt(fdb, at, lo, hi, 3, 10)).toBe(false);
  expect(fdbKnownAt(fdb, at, lo, hi, 2, 11)).toBe(false);
});
