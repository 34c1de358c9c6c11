// The fdb against a plain Map, by random sequences of everything that can be done to it; and, where the limits bite and
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
import { fdbAddStatic, fdbDelete, fdbFlush, fdbSetPortLimit, fdbSweep } from "../../src/dataplane/fdb-table.ts";
import { checkFdb, macAt, macText } from "./fdb-check.ts";

const AGEING_S = 300;

interface ModelEntry {
  port: number;
  seenS: number;
  static: boolean;
}
type Model = Map<number, ModelEntry>;

const anyMac = fc.nat(30);
const anyPort = fc.nat(3);
const anySeed = fc.record({ a: fc.integer(), b: fc.integer() });
const anyStep = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant("learn" as const), mac: anyMac, port: anyPort }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("wait" as const), seconds: fc.nat(200) }) },
  fc.record({ op: fc.constant("addStatic" as const), mac: anyMac, port: anyPort }),
  fc.record({ op: fc.constant("delete" as const), mac: anyMac }),
  fc.record({ op: fc.constant("sweep" as const) }),
  fc.record({ op: fc.constant("flush" as const), port: fc.option(anyPort, { nil: undefined }), statics: fc.boolean() }),
);
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

function modelLearn(model: Model, mac: number, port: number, nowS: number): number {
  const entry = model.get(mac);
  if (entry?.static) return entry.port === port ? FDB_KNOWN : FDB_STATIC;
  model.set(mac, { port, seenS: nowS, static: false });
  if (entry === undefined) return FDB_LEARNED;
  return entry.port === port ? FDB_KNOWN : FDB_MOVED;
}

function removeWhere(model: Model, dead: (entry: ModelEntry) => boolean): number {
  const gone = [...model].filter(([, entry]) => dead(entry));
  for (const [mac] of gone) model.delete(mac);
  return gone.length;
}

/** Does one step to both and compares what they answer. */
function take(fdb: Fdb, model: Model, step: Step, nowS: number): void {
  switch (step.op) {
    case "learn": {
      const { lo, hi } = macAt(step.mac);
      expect(fdbLearn(fdb, lo, hi, step.port, nowS)).toBe(modelLearn(model, step.mac, step.port, nowS));
      return;
    }
    case "addStatic":
      fdbAddStatic(fdb, macText(macAt(step.mac + 1)), step.port);
      model.set(step.mac + 1, { port: step.port, seenS: 0, static: true });
      return;
    case "delete":
      expect(fdbDelete(fdb, macText(macAt(step.mac)))).toBe(model.delete(step.mac));
      return;
    case "sweep":
      expect(fdbSweep(fdb, nowS, fdb.slotCount)).toBe(
        removeWhere(model, (entry) => !entry.static && nowS - entry.seenS > AGEING_S),
      );
      return;
    case "flush": {
      const { port, statics } = step;
      expect(fdbFlush(fdb, { port, statics })).toBe(
        removeWhere(model, (entry) => (port === undefined || port === entry.port) && (statics || !entry.static)),
      );
    }
  }
}

function compare(fdb: Fdb, model: Model, nowS: number): void {
  const expected = new Map<string, object>();
  for (let mac = 0; mac < 40; mac++) {
    const { lo, hi } = macAt(mac);
    const entry = model.get(mac);
    const ageS = entry === undefined || entry.static ? 0 : nowS - entry.seenS;
    const known = entry !== undefined && ageS <= AGEING_S;
    expect(fdbLookup(fdb, lo, hi, nowS)).toBe(known ? entry.port : -1);
    const text = macText({ lo, hi });
    if (known) expected.set(text, { mac: text, port: entry.port, ageS, static: entry.static });
  }
  const shown = [...fdbEntries(fdb, nowS)];
  expect(new Map(shown.map((entry) => [entry.mac, entry]))).toEqual(expected as Map<string, (typeof shown)[number]>);
  expect(shown.length).toBe(expected.size);
  expect(fdbTotals(fdb).count).toBe(model.size);
}

test("within its limits, the fdb is a Map with ages", () => {
  fc.assert(
    fc.property(anySeed, fc.array(anyStep, { maxLength: 120 }), (seed, steps) => {
      const fdb = allocateFdb(32, seed);
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
  const anyLearn = fc.record({ mac: fc.nat(200), port: anyPort, limit: fc.option(fc.nat(12), { freq: 20 }) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 32 }), fc.array(anyLearn, { maxLength: 300 }), (limit, learns) => {
      const fdb = allocateFdb(limit, { a: 0x9e3779b1, b: 0x85ebca77 });
      const counts = () => [0, 1, 2, 3].map((port) => fdbPortUse(fdb, port).count);
      for (const [nowS, { mac, port, limit: newLimit }] of learns.entries()) {
        if (newLimit !== null) fdbSetPortLimit(fdb, port, Math.min(newLimit, limit));
        const { lo, hi } = macAt(mac);
        const from = fdbLookup(fdb, lo, hi, nowS);
        const before = counts();
        const outcome = fdbLearn(fdb, lo, hi, port, nowS);
        const refused = outcome === FDB_FULL || outcome === FDB_PORT_REFUSED;
        expect(fdbLookup(fdb, lo, hi, nowS)).toBe(refused ? from : port);
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
