// All that policies and rules can say, together and at random, over frames in pieces, with offloads, up to the longest: no frame is lost
// or made without being counted, none changes its length on the way (plan-rig.ts checks both), and copies for mirrors and captures are
// cut where they should be. And where a policy says nothing that matters, a bridge does what rules alone do: a capture that begins
// changes nothing.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { BridgePolicy, PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { TapMemory } from "../../../src/dataplane/bridge/tap-memory.ts";
import { readEvents } from "../../../src/dataplane/rules/event-ring.ts";
import type { Action, Rule } from "../../../src/dataplane/rules/rule.ts";
import { MAX_FRAME } from "../../../src/mem/batch.ts";
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, mac, NEEDS_CSUM, netHeader } from "../../support/frames.ts";
import { anyMembership, anyTagged } from "../../support/random-vlans.ts";
import { sized } from "../../support/scale.ts";
import { PlanRig } from "../rules/plan-rig.ts";
import { matchOf } from "../rules/rules-of.ts";
import { arpRequest, solicitation } from "./guard-frames.ts";

const PORTS = 5;
const SNAP = 100;
const anyIndex = fc.nat({ max: PORTS - 1 });
const yes = fc.boolean();

const anyRate = fc.record({
  unit: fc.constantFrom("frames" as const, "bits" as const),
  rate: fc.constantFrom(1, 1e6),
  burst: fc.constantFrom(8, 80_000),
});
const anySettings: fc.Arbitrary<Partial<PortPolicy>> = fc.record(
  {
    ...{
      vlan: anyMembership,
      priorityTags: yes,
      isolated: yes,
      learning: yes,
      sticky: yes,
      dhcpGuard: yes,
      raGuard: yes,
    },
    ...{ floodBroadcast: yes, floodUnknown: yes, stormBroadcast: anyRate, police: anyRate, shape: anyRate },
    groups: fc.constant(["dmz"]),
    sources: fc.constant([{ mac: "020000000001", ips: ["10.0.0.0/8"] }]),
    scheduler: fc.constantFrom("strict" as const, [1, 2, 3, 4, 5, 6, 7, 1000]),
    trust: fc.constantFrom("pcp" as const, "dscp" as const),
  },
  { requiredKeys: [] },
);
const anyDirection = fc.constantFrom("in" as const, "out" as const, "both" as const);
const anyMirror = fc.record({
  name: fc.constant("m"),
  ports: fc.array(fc.record({ port: anyIndex, direction: anyDirection }), { maxLength: 2 }),
  vlans: fc.array(fc.record({ vid: fc.constantFrom(0, 1, 10), direction: anyDirection }), { maxLength: 2 }),
  to: anyIndex,
  truncate: fc.constantFrom(0, 14, 64, 1000),
});
const anyActions: fc.Arbitrary<Action[]> = fc
  .tuple(
    fc.array(
      fc.oneof(
        anyIndex.map((port): Action => ({ do: "mirror", port })),
        fc.constantFrom<Action>({ do: "set-vlan", id: 10 }, { do: "strip-vlan" }, { do: "set-dscp", dscp: 46 }),
        fc.constantFrom<Action>({ do: "set-mac", dst: "0180c2000001" }, { do: "log", every: 1 }),
      ),
      { maxLength: 4 },
    ),
    fc.oneof(
      fc.constantFrom<Action>({ do: "allow" }, { do: "flood" }, { do: "drop" }, { do: "continue" }),
      fc.uniqueArray(anyIndex).map((ports): Action => ({ do: "forward", ports })),
    ),
  )
  .map(([first, last]) => [...first, last]);
const anyRules: fc.Arbitrary<Rule[]> = fc
  .array(fc.tuple(anyActions, fc.constantFrom({}, { vlan: 1 }, { ip4: 1 }, { in: 0 })), { maxLength: 3 })
  .map((all) => all.map(([actions, match], k) => ({ id: k + 1, priority: 0, match: matchOf(match), actions })));

/** A frame as pieces, whose first has Ethernet's header, as lanes fetch them; and perhaps a net header. */
const anySent = fc
  .record({
    bytes: fc.oneof(
      { weight: 8, arbitrary: anyTagged },
      fc.constantFrom(arpRequest(mac(1), "10.0.0.1", "10.0.0.2"), solicitation(mac(2), "fd00::1", "fd00::2")),
    ),
    more: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(1500, MAX_FRAME)),
    cuts: fc.array(fc.integer({ min: 14, max: 400 }), { maxLength: 4 }),
    gsoType: fc.option(fc.constantFrom(0, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4), { freq: 3 }),
    csumStart: fc.constantFrom(14, 18, 34, 38, 54),
  })
  .map(({ bytes, more, cuts, gsoType, csumStart }) => {
    const whole = new Uint8Array(Math.max(bytes.length, more));
    whole.set(bytes);
    const inside = [...new Set(cuts)].filter((cut) => cut < whole.length).sort((a, b) => a - b);
    const pieces = [0, ...inside].map((cut, k) => whole.subarray(cut, inside[k] ?? whole.length));
    const hasHeader = gsoType !== null && csumStart + 8 <= whole.length;
    const header = { flags: NEEDS_CSUM, gsoType: gsoType ?? 0, gsoSize: 1000, csumStart, csumOffset: 6 };
    return { pieces, ...(hasHeader && { header: netHeader(header) }) };
  });
interface Sent {
  pieces: Uint8Array[];
  header?: Uint8Array;
}
type Capture = NonNullable<BridgePolicy["captures"]>[number];
const anyBurst = fc.record({ port: anyIndex, sent: fc.array(anySent, { minLength: 1, maxLength: 64, size: "max" }) });
const anyRigPorts = fc.array(
  fc.record({
    accepts: fc.constantFrom(0, 1, 31),
    maxFrame: fc.constantFrom(200, 1518, MAX_FRAME),
    up: fc.constant(true),
  }),
  { minLength: PORTS, maxLength: PORTS },
);

function send(rig: PlanRig, port: number, sent: readonly Sent[]): void {
  for (const lane of rig.lanes) lane.given.length = 0;
  for (const { pieces, header } of sent) rig.put(pieces, header);
  rig.run(port);
}

test("whatever policies and rules say together, no frame is lost, made or torn", () => {
  const anyPhase = fc.record({
    ports: fc.array(anySettings, { minLength: PORTS, maxLength: PORTS }),
    mirrors: fc.array(anyMirror, { maxLength: 3 }),
    rules: anyRules,
    what: fc.constantFrom<Capture["what"]>(
      { of: "drops" },
      { of: "rule", id: 1 },
      { of: "port", port: 0, direction: "both" },
    ),
    bursts: fc.array(anyBurst, { maxLength: 3 }),
    down: fc.option(anyIndex),
  });
  let captured = 0;
  fc.assert(
    fc.property(anyRigPorts, fc.array(anyPhase, { minLength: 1, maxLength: 3 }), (options, phases) => {
      const rig = new PlanRig(options);
      const memory = new TapMemory(1);
      try {
        for (const { ports, mirrors, rules, what, bursts, down } of phases) {
          const captures = [{ what, snap: SNAP, memory: memory.address }];
          const vlans = [0, 1, 10].map((vid) => ({ vid, learning: true, suppressArp: true, suppressNd: true }));
          rig.policy({ ...ports }, { mirrors, vlans, captures }, rules);
          for (const { port, sent } of bursts) {
            send(rig, port, sent);
            rig.drain();
          }
          if (down !== null) rig.setUp(down, false);
          for (const ring of memory.rings) {
            readEvents(ring, (_, at, size) => {
              const [length, kept] = ring.words.subarray((at >> 2) + 3);
              expect([kept, size]).toEqual([Math.min(length, SNAP), 32 + kept]);
              captured++;
            });
          }
        }
      } finally {
        // Here the law is checked.
        rig.close();
        memory.close();
      }
    }),
    { numRuns: sized(150, 10_000) },
  );
  expect(captured).toBeGreaterThan(1000);
}, 600_000);

test("a policy that says nothing of a frame changes nothing of it", () => {
  const hex = ({ lanes }: PlanRig) => lanes.map(({ frames }) => frames.map((bytes) => bytes.toHex()));
  const learned = (rig: PlanRig) => Object.entries(rig.learned).sort();
  const drops = (rig: PlanRig) => rig.lanes.map((_, port) => rig.drops(port));
  const always: Rule = { id: 99, priority: 0, match: [], actions: [{ do: "allow" }] };
  fc.assert(
    fc.property(anyRigPorts, anyRules, fc.array(anyBurst, { minLength: 1, maxLength: 4 }), (options, rules, bursts) => {
      const rigs = [new PlanRig(options), new PlanRig(options)];
      const [plain, bridged] = rigs;
      try {
        // Without any rule the code of a plain learning switch would run, which does not look up anew what a burst has taught it.
        plain.rules([...rules, always]);
        bridged.policy({ 0: { recoverS: 1 } }, {}, [...rules, always]);
        for (const { port, sent } of bursts) {
          for (const rig of rigs) send(rig, port, sent);
          expect(hex(bridged)).toEqual(hex(plain));
        }
        expect(drops(bridged)).toEqual(drops(plain));
        expect(learned(bridged)).toEqual(learned(plain));
        for (const { id } of rules) expect(bridged.counted(id)).toEqual(plain.counted(id));
      } finally {
        for (const rig of rigs) rig.close();
      }
    }),
    { numRuns: sized(150, 10_000) },
  );
}, 600_000);
