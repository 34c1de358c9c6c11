// Workers against the trace: what a plan does to random bursts under random rules is what the slow way (interpret.ts for the
// matches, trace-rewrite.ts for the actions, trace.ts for where frames go) says of each frame, byte for byte and in order, with
// every drop by its reason, every address learned, and every rule's counters. Failures are printed with their seed and shrunk.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { fdbLearn } from "../../../src/dataplane/fdb.ts";
import { allocateFdb, type Fdb } from "../../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import type { MeterSpec, Rule } from "../../../src/dataplane/rules/rule.ts";
import { traceFrame } from "../../../src/dataplane/rules/trace.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { PlanRig, type PortOptions } from "./plan-rig.ts";

const PORTS: PortOptions[] = [{}, {}, {}, { up: false }, { maxFrame: 100 }, { delivers: false }, {}, {}];
const METERS: MeterSpec[] = [
  { name: "bits", unit: "bits", rate: 1e12, burst: 1e10 },
  { name: "frames", unit: "frames", rate: 1e9, burst: 1e9 },
];

/** What the slow way says of one burst after the other. */
class Expected {
  readonly fdb: Fdb = allocateFdb(1024);
  readonly got: string[][] = PORTS.map(() => []);
  readonly drops = new Map<string, number>();
  readonly counted = new Map<number, [frames: number, bytes: number]>();

  constructor(
    private readonly rig: PlanRig,
    private readonly rules: readonly Rule[],
  ) {}

  send(port: number, frame: Uint8Array): void {
    const { rig, rules } = this;
    const dispatcher = {
      shared: rig.shared,
      isUp: (index: number) => PORTS[index]?.up ?? true,
      delivers: (index: number) => {
        const options = PORTS[index];
        return options !== undefined && (options.up ?? true) && (options.delivers ?? true);
      },
    };
    const steps = traceFrame({ dispatcher, fdb: this.fdb, portName: String }, rules, METERS, port, frame);
    for (const step of steps) if (step.step === "rule" && step.data.id !== null) this.count(step.data.id, frame.length);
    const last = steps[steps.length - 1];
    if (last.step !== "verdict") throw new Error("no verdict");
    const received = Buffer.from(frame).toString("hex");
    const verdict = last.data;
    const changed = steps.find((step) => step.step === "frame");
    const sent = changed?.step === "frame" ? changed.data.frame : received;
    for (const mirror of verdict.mirrors) this.got[mirror].push(received);
    if (verdict.do === "send") for (const out of verdict.ports) this.got[out].push(sent);
    else this.drop(verdict.reason);
    if (verdict.do === "drop" && ["rule", "bad_source"].includes(verdict.reason)) return;
    const view = new DataView(frame.buffer, frame.byteOffset);
    fdbLearn(this.fdb, view.getInt32(6, true), view.getUint16(10, true), port, 1);
  }

  private drop(reason: string): void {
    this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1);
  }

  private count(id: number, bytes: number): void {
    const [frames, before] = this.counted.get(id) ?? [0, 0];
    this.counted.set(id, [frames + 1, before + bytes]);
  }
}

function learned(fdb: Fdb): string[] {
  return [...fdbEntries(fdb, 1)]
    .flat()
    .map(({ mac, port }) => `${mac} ${port}`)
    .sort();
}

/** Cuts a frame where `cuts` say, if they lie in it. */
function pieces(frame: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const inside = [...new Set(cuts)].filter((cut) => cut > 0 && cut < frame.length).sort((a, b) => a - b);
  return [0, ...inside].map((start, k) => frame.subarray(start, inside[k] ?? frame.length));
}

/** Often many of one kind, which a worker judges by the first of them; a byte of each may differ. */
const anyBurst = fc.oneof(
  fc.array(anyFrame, { minLength: 1, maxLength: BURST }),
  fc
    .tuple(anyFrame, fc.array(fc.record({ at: fc.nat(60), value: fc.nat(255) }), { minLength: 1, maxLength: BURST }))
    .map(([frame, changes]) =>
      changes.map(({ at, value }, k) => {
        const bytes = frame.slice();
        if (k % 3 === 0 && at < bytes.length) bytes[at] = value;
        return bytes;
      }),
    ),
);
const anySending = fc.record({
  port: fc.constantFrom(0, 1, 2, 7),
  frames: anyBurst,
  cuts: fc.oneof(fc.constant([]), fc.array(fc.nat(200), { maxLength: 6 }), fc.constant([14, 15, 16, 17, 18, 128, 129])),
});

test(
  "every frame of every burst ends where the trace says",
  () => {
    fc.assert(
      fc.property(anyRules(12), fc.array(anySending, { minLength: 1, maxLength: 3 }), (rules, sendings) => {
        const rig = new PlanRig(PORTS);
        try {
          rig.rules(rules, METERS);
          const expected = new Expected(rig, rules);
          for (const { port, frames, cuts } of sendings) {
            for (const frame of frames) rig.put(pieces(frame, cuts));
            rig.run(port);
            for (const frame of frames) expected.send(port, frame);
          }
          const got = rig.lanes.map(({ given }) => given.map(({ bytes }) => Buffer.from(bytes).toString("hex")));
          // Port 4 refuses mirrored frames that are too long: drops beside the frame's own fate.
          const { oversized: _, ...drops } = totalDrops(rig);
          expected.drops.delete("oversized");
          expect(got).toEqual(expected.got);
          expect(drops).toEqual(Object.fromEntries(expected.drops));
          expect(learned(rig.fdb)).toEqual(learned(expected.fdb));
          for (const { id } of rules) expect(rig.counted(id).slice(0, 2)).toEqual(expected.counted.get(id) ?? [0, 0]);
        } finally {
          rig.close();
        }
      }),
      { numRuns: sized(200, 20_000) },
    );
  },
  sized(120_000, 3_600_000),
);

function totalDrops(rig: PlanRig): Record<string, number> {
  const total: Record<string, number> = {};
  for (const port of PORTS.keys()) {
    for (const [reason, count] of Object.entries(rig.drops(port))) total[reason] = (total[reason] ?? 0) + count;
  }
  return total;
}
