// The fdb against a plain Map from VLAN and address, by random sequences of everything that can be done to it; and, where the limits bite and
// a model would have to know who is evicted, against the rules that hold whoever it is.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { fdbLearn, fdbLookup } from "../../src/dataplane/fdb.ts";
import {
  allocateFdb,
  FDB_FULL,
  FDB_KNOWN,
  FDB_LEARNED,
  FDB_MOVED,
  FDB_PORT_REFUSED,
  FDB_STATIC,
  type Fdb,
} from "../../src/dataplane/fdb-layout.ts";
import { fdbEntries, fdbPortUse, fdbTotals } from "../../src/dataplane/fdb-show.ts";
import { fdbFlushSteps, fdbLimitSteps, fdbSweepSteps } from "../../src/dataplane/fdb-steps.ts";
import { fdbAddStatic, fdbDelete, fdbSetAgeing } from "../../src/dataplane/fdb-table.ts";
import { allSteps } from "../support/steps.ts";
import { checkFdb, macAt, macText, seedAt } from "./fdb-check.ts";

const AGEING_S = 300;

interface ModelEntry {
  port: number;
  seenS: number;
  static: boolean;
}
/** By VLAN and number of the address. */
type Model = Map<string, ModelEntry>;

// Ids that differ in their highest bit, lowest bit and all bits; 0 is no VLAN.
const VIDS = [0, 1, 2048, 4095];
/** VLANs with an ageing time of their own. */
const OWN_AGEING = new Map([[2048, 100]]);

const anyMac = fc.nat(30);
const anyVid = fc.constantFrom(...VIDS);
const anyPort = fc.nat(3);
const anySeed = fc.record({ a: fc.integer(), b: fc.integer(), c: fc.integer() });
const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant("learn" as const), mac: anyMac, vid: anyVid, port: anyPort }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("wait" as const), seconds: fc.nat(200) }) },
  fc.record({ op: fc.constant("addStatic" as const), mac: anyMac, vid: anyVid, port: anyPort }),
  fc.record({ op: fc.constant("delete" as const), mac: anyMac, vid: anyVid }),
  fc.record({ op: fc.constant("sweep" as const) }),
  fc.record({
    op: fc.constant("flush" as const),
    port: fc.option(anyPort, { nil: undefined }),
    vid: fc.option(anyVid, { nil: undefined }),
    statics: fc.boolean(),
    unless: fc.option(fc.record({ port: anyPort, vid: anyVid }), { nil: undefined }),
  }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

const keyOf = ({ vid, mac }: { vid: number; mac: number }) => `${vid} ${mac}`;
const vidOf = (key: string) => Number(key.split(" ")[0]);
const ageingOf = (vid: number) => OWN_AGEING.get(vid) ?? AGEING_S;

function modelLearn(model: Model, mac: string, port: number, nowS: number): number {
  const entry = model.get(mac);
  if (entry?.static) return entry.port === port ? FDB_KNOWN : FDB_STATIC;
  model.set(mac, { port, seenS: nowS, static: false });
  if (entry === undefined) return FDB_LEARNED;
  return entry.port === port ? FDB_KNOWN : FDB_MOVED;
}

function removeWhere(model: Model, dead: (entry: ModelEntry, vid: number) => boolean): number {
  const gone = [...model].filter(([key, entry]) => dead(entry, vidOf(key)));
  for (const [mac] of gone) model.delete(mac);
  return gone.length;
}

/** Does one step to both and compares what they answer. */
function take(fdb: Fdb, model: Model, step: Step, nowS: number): void {
  switch (step.op) {
    case "learn": {
      const { lo, hi } = macAt(step.mac);
      const outcome = modelLearn(model, keyOf(step), step.port, nowS);
      expect(fdbLearn(fdb, lo, hi, step.port, nowS, step.vid)).toBe(outcome);
      return;
    }
    case "addStatic":
      fdbAddStatic(fdb, macText(macAt(step.mac + 1)), step.port, step.vid);
      model.set(keyOf({ vid: step.vid, mac: step.mac + 1 }), { port: step.port, seenS: 0, static: true });
      return;
    case "delete":
      expect(fdbDelete(fdb, macText(macAt(step.mac)), step.vid)).toBe(model.delete(keyOf(step)));
      return;
    case "sweep":
      expect(allSteps(fdbSweepSteps(fdb, nowS, fdb.slotCount))).toBe(
        removeWhere(model, (entry, vid) => !entry.static && nowS - entry.seenS > ageingOf(vid)),
      );
      return;
    case "flush": {
      const { port, vid, statics, unless } = step;
      const where =
        unless === undefined ? undefined : (its: number, of: number) => its !== unless.port || of !== unless.vid;
      expect(allSteps(fdbFlushSteps(fdb, { port, vid, statics, where }))).toBe(
        removeWhere(
          model,
          (entry, of) =>
            (port === undefined || port === entry.port) &&
            (vid === undefined || vid === of) &&
            (statics || !entry.static) &&
            (unless === undefined || unless.port !== entry.port || unless.vid !== of),
        ),
      );
    }
  }
}

function compare(fdb: Fdb, model: Model, nowS: number): void {
  const expected = new Map<string, object>();
  for (let place = 0; place < 40 * VIDS.length; place++) {
    const [mac, vid] = [place >> 2, VIDS[place & 3]];
    const { lo, hi } = macAt(mac);
    const entry = model.get(keyOf({ vid, mac }));
    const ageS = entry === undefined || entry.static ? 0 : nowS - entry.seenS;
    const known = entry !== undefined && ageS <= ageingOf(vid);
    expect(fdbLookup(fdb, lo, hi, nowS, vid)).toBe(known ? entry.port : -1);
    const text = macText({ lo, hi });
    if (known) expected.set(`${vid} ${text}`, { mac: text, vid, port: entry.port, ageS, static: entry.static });
  }
  const shown = [...fdbEntries(fdb, nowS)].flat();
  expect(new Map(shown.map((entry) => [`${entry.vid} ${entry.mac}`, entry]))).toEqual(
    expected as Map<string, (typeof shown)[number]>,
  );
  expect(shown.length).toBe(expected.size);
  expect(fdbTotals(fdb).count).toBe(model.size);
}

test("within its limits, the fdb is a Map with ages, of each VLAN", () => {
  fc.assert(
    fc.property(anySeed, fc.array(anyStep, { maxLength: 120 }), (seed, steps) => {
      // As many as the addresses and VLANs there are.
      const fdb = allocateFdb(32 * VIDS.length, seed);
      fdbSetAgeing(fdb, AGEING_S, OWN_AGEING);
      const model: Model = new Map();
      let nowS = 1000;
      for (const step of steps) {
        if (step.op === "wait") nowS += step.seconds;
        else take(fdb, model, step, nowS);
        compare(fdb, model, nowS);
      }
      checkFdb(fdb);
    }),
    { numRuns: 150 },
  );
});

test("at its limits, the last learned is found, no limit is passed, and only a heaviest or full port loses", () => {
  const anyLearn = fc.record({
    mac: fc.nat(200),
    vid: anyVid,
    port: anyPort,
    limit: fc.option(fc.nat(12), { freq: 20 }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 32 }), fc.array(anyLearn, { maxLength: 300 }), (limit, learns) => {
      const fdb = allocateFdb(limit, seedAt(0));
      const counts = () => [0, 1, 2, 3].map((port) => fdbPortUse(fdb, port).count);
      for (const [nowS, { mac, vid, port, limit: newLimit }] of learns.entries()) {
        if (newLimit !== null) allSteps(fdbLimitSteps(fdb, port, Math.min(newLimit, limit)));
        const { lo, hi } = macAt(mac);
        const from = fdbLookup(fdb, lo, hi, nowS, vid);
        const before = counts();
        const outcome = fdbLearn(fdb, lo, hi, port, nowS, vid);
        const refused = outcome === FDB_FULL || outcome === FDB_PORT_REFUSED;
        expect(fdbLookup(fdb, lo, hi, nowS, vid)).toBe(refused ? from : port);
        // Only a port whose limit is 0 is refused here: with no static entry there is always one to evict.
        expect(refused).toBe(from !== port && fdbPortUse(fdb, port).limit === 0);
        for (const [other, after] of counts().entries()) {
          const lost = after < before[other];
          if (lost && other !== from) expect(before[other]).toBe(Math.max(...before));
          if (lost && other !== from) expect(before[other]).toBeGreaterThan(before[port]);
        }
        checkFdb(fdb);
      }
    }),
    { numRuns: 60 },
  );
});
