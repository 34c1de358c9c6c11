// Traces against workers, under policies, mirrors and rules at random: where a frame goes and as what, which ports get copies of it,
// which rules it meets, and why it is dropped. What is a copy, a second worker tells, which has no mirrors.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { MirrorPolicy, PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { bridgeSteps } from "../../../src/dataplane/bridge/trace-bridge.ts";
import type { Action, Rule } from "../../../src/dataplane/rules/rule.ts";
import { traceFrame } from "../../../src/dataplane/rules/trace.ts";
import { FRAME_SHOWN } from "../../../src/dataplane/rules/trace-frame.ts";
import { MAX_FRAME } from "../../../src/mem/batch.ts";
import { anyMembership, anyTagged } from "../../support/random-vlans.ts";
import { sized } from "../../support/scale.ts";
import { PlanRig } from "../rules/plan-rig.ts";
import { matchOf } from "../rules/rules-of.ts";

const PORTS = 5;
const anyIndex = fc.nat({ max: PORTS - 1 });
const yes = fc.boolean();
/** Frames shall come through, mostly: VLAN 1 and 10 at all ports or at none. */
const anyVlan = fc.constantFrom(...[1, 10].map((vid) => ({ mode: "access" as const, vid })), {
  mode: "trunk" as const,
  allowed: [[1, 20] as const],
  native: 1,
  nativeTagged: false,
  tpid: 0x8100,
  map: [],
});
const seldom = fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.constant(true));
const anySettings = (vlan: fc.Arbitrary<Partial<PortPolicy>>): fc.Arbitrary<Partial<PortPolicy>> =>
  fc
    .tuple(
      vlan,
      fc.record(
        { priorityTags: yes, isolated: seldom, learning: yes, sticky: seldom, floodBroadcast: yes, floodUnknown: yes },
        { requiredKeys: [] },
      ),
      fc.oneof({ weight: 9, arbitrary: fc.constant({}) }, fc.constant({ sources: [{ mac: "020000000001", ips: [] }] })),
    )
    .map((all) => Object.assign({}, ...all));
const anyPorts = fc
  .constantFrom(
    fc.constant({}),
    anyVlan.map((vlan) => ({ vlan })),
    fc.record({ vlan: anyMembership }),
  )
  .chain((vlan) => fc.array(anySettings(vlan), { minLength: PORTS, maxLength: PORTS }));
const anyDirection = fc.constantFrom("in" as const, "out" as const, "both" as const);
const anyMirror: fc.Arbitrary<MirrorPolicy> = fc.record({
  name: fc.constant("m"),
  ports: fc.array(fc.record({ port: anyIndex, direction: anyDirection }), { maxLength: 2 }),
  vlans: fc.array(fc.record({ vid: fc.constantFrom(0, 1, 10), direction: anyDirection }), { maxLength: 2 }),
  to: anyIndex,
  truncate: fc.constantFrom(0, 14, 64),
});
const anyAction = fc.oneof(
  anyIndex.map((port): Action => ({ do: "mirror", port })),
  fc.constantFrom<Action>({ do: "set-vlan", id: 10 }, { do: "strip-vlan" }, { do: "set-mac", dst: "020000000003" }),
);
const anyLast = fc.oneof(
  fc.constantFrom<Action>({ do: "allow" }, { do: "flood" }, { do: "drop" }, { do: "continue" }),
  fc.uniqueArray(anyIndex).map((ports): Action => ({ do: "forward", ports })),
);
const anyRules: fc.Arbitrary<Rule[]> = fc
  .array(fc.tuple(fc.array(anyAction, { maxLength: 3 }), anyLast, fc.constantFrom({}, { vlan: 1 }, { in: 0 })), {
    maxLength: 3,
  })
  .map((all) =>
    all.map(([first, last, match], k) => ({
      id: k + 1,
      priority: 0,
      match: matchOf(match),
      actions: [...first, last],
    })),
  );
const anySent = fc.record({
  port: anyIndex,
  bytes: fc
    .tuple(anyTagged, fc.constantFrom(0, 0, 0, 1400, 2000, MAX_FRAME))
    .map(([bytes, more]) => Uint8Array.from([...bytes, ...new Uint8Array(Math.max(0, more - bytes.length))])),
});
const anyRig = fc.array(
  fc.record({
    maxFrame: fc.constantFrom(200, 1518, MAX_FRAME),
    up: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, yes),
  }),
  { minLength: PORTS, maxLength: PORTS },
);

/** What a trace says of a frame that comes in at a port of the rig. */
function traced(rig: PlanRig, rules: readonly Rule[], port: number, bytes: Uint8Array) {
  const { bridgeMemory, config, fdb, shared, tables } = rig;
  const isUp = (index: number) => rig.isUp(index);
  const delivers = (index: number) => tables.outCount[index] > 0 && isUp(index);
  const parts = { dispatcher: { shared, isUp, delivers }, fdb, bridgeMemory, portName: String };
  const image = config?.image;
  if (image === undefined) throw new Error("no plan");
  const steps = bridgeSteps(parts, image, traceFrame(parts, rules, [], port, bytes), port, bytes);
  const last = steps.at(-1);
  if (last?.step !== "verdict") throw new Error("no verdict");
  const ids = steps.flatMap((step) => (step.step === "rule" && step.data.id !== null ? [step.data.id] : []));
  const forms = steps.flatMap((step) => (step.step === "frame" ? [step.data] : []));
  return { verdict: last.data, ids, forms };
}

/** The drops of all ports, by reason. */
function dropsOf(rig: PlanRig): Map<string, number> {
  const sum = new Map<string, number>();
  for (let port = 0; port < PORTS; port++) {
    for (const [reason, count] of Object.entries(rig.drops(port))) sum.set(reason, (sum.get(reason) ?? 0) + count);
  }
  return sum;
}

/** As a step has it. */
const shown = (bytes: Uint8Array) => ({ length: bytes.length, frame: bytes.subarray(0, FRAME_SHOWN).toHex() });
const withoutMirrors = (rules: readonly Rule[]) =>
  rules.map((rule) => ({ ...rule, actions: rule.actions.filter((action) => action.do !== "mirror") }));

test("a frame goes where the trace says, copies apart", () => {
  const met = { sent: 0, dropped: 0, copied: 0, rules: 0 };
  const anySwitch = fc.record({
    options: anyRig,
    ports: anyPorts,
    mirrors: fc.array(anyMirror, { minLength: 1, maxLength: 3 }),
    rules: anyRules,
  });
  fc.assert(
    fc.property(anySwitch, fc.array(anySent, { minLength: 1, maxLength: 6 }), (it, frames) => {
      const [rig, bare] = [new PlanRig(it.options), new PlanRig(it.options)];
      try {
        rig.policy({ ...it.ports }, { mirrors: it.mirrors }, it.rules);
        bare.policy({ ...it.ports }, {}, withoutMirrors(it.rules));
        for (const { port, bytes } of frames) {
          const { verdict, ids, forms } = traced(rig, it.rules, port, bytes);
          const before = { drops: dropsOf(bare), counted: it.rules.map(({ id }) => rig.counted(id)[0]) };
          const [all, own] = [rig.send(port, bytes), bare.send(port, bytes)];
          const outs = own.flatMap((list, out) => list.map((sent) => ({ port: out, ...shown(sent) })));
          const copied = all.flatMap((list, out) => (list.length > own[out].length ? [out] : []));
          expect(verdict.mirrors.toSorted()).toEqual(copied);
          if (verdict.do === "send") {
            const form = (out: number) => forms.find(({ ports }) => ports.includes(out)) ?? shown(bytes);
            expect(verdict.ports.map((out) => ({ ...form(out), port: out }))).toMatchObject(outs);
            met.sent++;
          } else {
            expect(outs).toEqual([]);
            // Of a flood, perhaps by several receivers.
            expect(dropsOf(bare).get(verdict.reason) ?? 0).toBeGreaterThan(before.drops.get(verdict.reason) ?? 0);
            met.dropped++;
          }
          const counted = it.rules.filter(({ id }, k) => rig.counted(id)[0] > before.counted[k]);
          expect(ids.toSorted()).toEqual(counted.map(({ id }) => id));
          if (copied.length > 0) met.copied++;
          if (ids.length > 0) met.rules++;
        }
      } finally {
        rig.close();
        bare.close();
      }
    }),
    { numRuns: sized(150, 5_000) },
  );
  for (const count of Object.values(met)) expect(count).toBeGreaterThan(50);
}, 600_000);
