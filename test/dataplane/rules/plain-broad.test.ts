// Plain flows that no rule tells apart have one answer, found without a search; those that a rule tells apart have their own. Whatever
// is kept is what rules say of each frame's key, for random rules and for frames that differ in a field or two.

import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  answering,
  answers,
  BROAD_TAGS,
  ENTRIES,
  ENTRY_SHIFT,
  ownEntry,
} from "../../../src/dataplane/rules/answers.ts";
import { flowSeeds } from "../../../src/dataplane/rules/flow-words.ts";
import { askFrames } from "../../../src/dataplane/rules/plain-flows.ts";
import type { Plan } from "../../../src/dataplane/rules/plan.ts";
import type { MeterSpec, Rule } from "../../../src/dataplane/rules/rule.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { complete, mac } from "../../support/frames.ts";
import { POOL } from "../../support/random-frames.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { askedAnswer, keptAnswer, lay } from "./kept-answers.ts";
import { PlanRig, usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();

/** Those that random rules name. */
const METERS: MeterSpec[] = [
  { name: "bits", unit: "bits", rate: 1e12, burst: 1e10 },
  { name: "frames", unit: "frames", rate: 1e9, burst: 1e9 },
];

interface Flow {
  transport?: "tcp" | "udp";
  from?: number;
  to?: number;
  sport?: number;
  dport?: number;
  tos?: number;
  flags?: number;
  fragment?: number;
  /** In place of the transport's. */
  protocol?: number;
  /** That it comes from. */
  station?: number;
}

/** A frame of 10.0.0.1 to 10.0.0.2, 1000 to 2000, unless something else is asked for. */
function frameOf({ transport = "udp", from = 0x0a000001, to = 0x0a000002, sport = 1000, dport = 2000, ...flow }: Flow) {
  const bytes = complete(mac(2), mac(flow.station ?? 1), spec4({ transport, payload: pattern(30) }));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(26, from >>> 0);
  view.setUint32(30, to >>> 0);
  view.setUint16(34, sport);
  view.setUint16(36, dport);
  view.setUint8(15, flow.tos ?? 0);
  view.setUint16(20, flow.fragment ?? 0x4000);
  if (flow.protocol !== undefined) view.setUint8(23, flow.protocol);
  if (transport === "tcp") view.setUint16(46, 0x5000 | (flow.flags ?? 0x10));
  return bytes;
}

/** A plan with these rules, and how often it has searched for any of them. */
function planOf(rules: readonly Rule[], rig = newRig({}, {}, {}, {})) {
  rig.rules(rules, METERS);
  const plan = rig.plan as Plan;
  const { program } = plan;
  const { find } = program;
  let searches = 0;
  program.find = (p) => {
    searches++;
    return find(p);
  };
  return { rig, plan, searches: () => searches };
}

/** Asks about the frames of these flows in bursts of one, so that none is there before the other. */
function askEach(plan: Plan, flows: readonly Flow[]): void {
  for (const flow of flows) {
    lay(plan, [frameOf(flow)]);
    askFrames(plan, 1);
    expect(keptAnswer(0)).toEqual(askedAnswer(plan, 0));
  }
}

/** Searches by the caches of plain flows alone: without those of the key that each answer is held against. */
function searchesOf(plan: Plan, searches: () => number, flows: readonly Flow[]): number {
  const before = searches();
  for (let at = 0; at < flows.length; at += BURST) {
    const burst = flows.slice(at, at + BURST);
    lay(plan, burst.map(frameOf));
    askFrames(plan, burst.length);
  }
  return searches() - before;
}

const PREFIXES: [number, number][] = [
  [0x0a000000, 8],
  [0x0a010000, 16],
  [0x0a010200, 24],
  [0x0a010203, 32],
];

/** A rule for each prefix of a source, that counts; and for one service. */
const byPrefix = (): Rule[] => [
  ...PREFIXES.map(([address, length], k): Rule => {
    const mask = BigInt((-1 << (32 - length)) >>> 0);
    return {
      id: k + 1,
      priority: 10 + length,
      match: [{ field: "ip4.src", oneOf: [{ value: BigInt(address), mask }] }],
      actions: [{ do: "count" }],
    };
  }),
  {
    id: 9,
    priority: 1,
    match: [{ field: "udp.dport", oneOf: [{ value: 53n, mask: 0xffffn }] }],
    actions: [{ do: "drop" }],
  },
];

test("a thousand sources of one network, from any port, are searched for once", () => {
  const { plan, searches } = planOf(byPrefix());
  const flows = (network: number) => Array.from({ length: 1000 }, (_, k) => ({ from: network + k, sport: 3000 + k }));
  // Ports are told apart by two bits of a hash: now and then one looks like 53.
  expect(searchesOf(plan, searches, flows(0x0a020000))).toBeLessThan(20);
  expect(searchesOf(plan, searches, flows(0x0b000000))).toBeLessThan(20);
});

test("a network, a host in it, and a port that rules know are told from others", () => {
  const { plan } = planOf(byPrefix());
  const sources = PREFIXES.flatMap(([address]) => [address, address + 1, address - 1, address ^ 0x00010000]);
  askEach(
    plan,
    sources.flatMap((from) =>
      [53, 54].flatMap((dport) => [
        { from, dport },
        { from, dport, sport: 7 },
      ]),
    ),
  );
});

test.each([
  ["the in-port", { in: 1 }, {}, {}],
  ["TCP's flags", { "tcp.flags": 2 }, { transport: "tcp", flags: 0x12 }, { transport: "tcp", flags: 2 }],
  ["the DSCP", { "ip4.dscp": 46 }, {}, { tos: 46 << 2 }],
  ["the protocol", { tcp: 1 }, {}, { transport: "tcp" }],
  ["a fragment", { "ip4.frag": 1 }, {}, { fragment: 0x2000 }],
  ["the target", { "ip4.dst": 0x0a000003 }, {}, { to: 0x0a000003 }],
  ["the port it comes from", { "udp.sport": 1001 }, {}, { sport: 1001 }],
] as const)("flows are told apart by %s", (_, match, one, other) => {
  const { plan } = planOf(rulesOf([1, match, { do: "drop" }]));
  for (const port of [0, 1]) {
    plan.port = port;
    askEach(plan, [one, other, { ...one, from: 77 }, { ...other, from: 78 }]);
  }
});

test("the highest port is told from ports of which nothing matters", () => {
  const { plan } = planOf(rulesOf([1, { "udp.dport": 0xffff }, { do: "drop" }]));
  askEach(plan, [{ dport: 1 }, { dport: 0xffff }, { dport: 2 }, { dport: 0xffff, sport: 3 }]);
});

test("a range up to the last port and ports outside it are searched for once each, however many flows come at once", () => {
  const range: Rule = {
    id: 1,
    priority: 1,
    match: [{ field: "udp.dport", oneOf: [{ low: 49152n, high: 65535n }] }],
    actions: [{ do: "drop" }],
  };
  const { plan, searches } = planOf([range]);
  const flows = Array.from({ length: 640 }, (_, k) => ({ from: k, dport: k % 2 === 0 ? 1000 : 50_000 }));
  expect(searchesOf(plan, searches, flows)).toBeLessThan(10);
});

test("other protocols have no ports that could be asked for", () => {
  const echo: Rule = {
    id: 9,
    priority: 2,
    match: [{ field: "icmp.type", oneOf: [{ value: 8n, mask: 0xffn }] }],
    actions: [{ do: "drop" }],
  };
  const { plan } = planOf([echo, ...rulesOf([1, { "udp.dport": 53 }, { do: "drop" }])]);
  const [ping, pong] = [0x0800, 0x0000].map((sport): Flow => ({ protocol: 1, sport }));
  askEach(plan, [ping, pong, { ...ping, dport: 53 }, { ...pong, dport: 53 }, { protocol: 47, dport: 53 }]);
});

test.each(["ip4.src", "ip4.dst"] as const)("a range of addresses tells them apart: %s", (field) => {
  const [low, high] = [0x0a000003n, 0x0a00000cn];
  const { plan } = planOf([
    { id: 1, priority: 1, match: [{ field, oneOf: [{ low, high }] }], actions: [{ do: "drop" }] },
  ]);
  const end = field === "ip4.src" ? "from" : "to";
  askEach(
    plan,
    [2, 3, 12, 13, 77].map((host) => ({ [end]: 0x0a000000 + host })),
  );
});

test("what no rule asks for does not tell them apart: TCP's flags, TOS, don't-fragment, stations", () => {
  const { plan, searches } = planOf(rulesOf([1, { "ip4.dst": 0x0a000002 }, { do: "drop" }]));
  const flows: Flow[] = [{}, { flags: 2 }, { tos: 8 }, { fragment: 0 }, { station: 7 }].map((flow) => ({
    transport: "tcp",
    ...flow,
  }));
  expect(searchesOf(plan, searches, flows)).toBe(1);
});

test("more kinds of flows than there is room for, in one burst and with one hash, have answers of their own", () => {
  const rules = Array.from({ length: BURST }, (_, k) => k + 1).map((to) => {
    return [1000 - to, { "ip4.dst": to }, { do: "count" }] as [number, { "ip4.dst": number }, { do: "count" }];
  });
  const { plan } = planOf(rulesOf(...rules));
  const seeds = flowSeeds.slice();
  flowSeeds.fill(0);
  try {
    for (let turn = 0; turn < 3; turn++) {
      lay(
        plan,
        rules.map((_, k) => frameOf({ to: k + 1, from: turn })),
      );
      askFrames(plan, BURST);
      for (let i = 0; i < BURST; i++) expect(keptAnswer(i)).toEqual(askedAnswer(plan, i));
      // One in the broad cache, one in that of flows at most.
      expect(answers.filter((at, i) => at === ownEntry(i)).length).toBeGreaterThanOrEqual(BURST - 2);
    }
  } finally {
    flowSeeds.set(seeds);
  }
});

test("a flow is kept in one place, however many of its frames come at once", () => {
  const { plan } = planOf(rulesOf([1, { "ip4.dst": 0x0a000002 }, { do: "count" }]));
  const burst = new Array<Flow>(BURST).fill({ sport: 4321 });
  const found = () => {
    lay(plan, burst.map(frameOf));
    askFrames(plan, BURST);
    return new Set(answers);
  };
  found();
  const second = found();
  expect(second.size).toBe(1);
  expect([...second][0]).toBeLessThan(ENTRIES + (BROAD_TAGS << ENTRY_SHIFT));
  expect(found()).toEqual(second);
});

test("other rules forget what was known, also when generations begin anew", () => {
  // What is kept first is of the generation that there is again after the last.
  answering.generation = 0;
  const { plan, rig } = planOf(rulesOf([1, { "ip4.dst": 0x0a000002 }, { do: "count" }]));
  askEach(plan, [{}, { sport: 1 }]);
  answering.generation = -0x10000;
  rig.rules(rulesOf([2, { "ip4.dst": 0x0a000003 }, { do: "count" }], [1, { "ip4.dst": 0x0a000002 }, { do: "drop" }]));
  askEach(rig.plan as Plan, [{}, { sport: 1 }, { sport: 2 }, { to: 0x0a000003 }]);
});

/** A rule for sources in a network, that counts. */
const fromNetwork = (id: number, address: number, length: number): Rule => ({
  id,
  priority: 1000,
  match: [{ field: "ip4.src", oneOf: [{ value: BigInt(address), mask: BigInt((-1 << (32 - length)) >>> 0) }] }],
  actions: [{ do: "count" }],
});

test("rules that come and go one by one among hundreds: of a known shape, of a new one, and one less", () => {
  const first = Array.from({ length: 300 }, (_, k) => fromNetwork(k + 1, 0x0a000000 + 256 * k, 24));
  const { plan, rig } = planOf(first);
  const sources = [0x0a000001, 0x0b000001, 0x0c000001, 0x0c000011, 0x0d000001].map((from) => ({ from }));
  askEach(plan, sources);
  const known = [...first, fromNetwork(301, 0x0b000000, 24)];
  const spare = [...known, fromNetwork(302, 0x0c000010, 28)];
  for (const rules of [known, spare, spare.slice(1), first]) {
    rig.rules(rules);
    askEach(rig.plan as Plan, sources);
  }
});

const anyFlow: fc.Arbitrary<Flow> = fc.record(
  {
    transport: fc.constantFrom<"tcp" | "udp">("tcp", "udp"),
    from: fc.constantFrom(...POOL.ip4.map(Number)),
    to: fc.constantFrom(...POOL.ip4.map(Number)),
    sport: fc.constantFrom(...POOL.port.map(Number)),
    dport: fc.constantFrom(...POOL.port.map(Number)),
    tos: fc.constantFrom(...POOL.dscp.map((dscp) => Number(dscp) << 2)),
    flags: fc.constantFrom(...POOL.tcpFlags.map(Number)),
    fragment: fc.constantFrom(0, 0x4000, 0x2000, 0x00ff),
    protocol: fc.constantFrom(1, 6, 17, 47, 132),
    station: fc.constantFrom(1, 2, 3),
  },
  { requiredKeys: [] },
);

test("what is kept is what the rules say of the key: random rules, random flows", () => {
  fc.assert(
    fc.property(
      anyRules(24),
      fc.array(fc.array(anyFlow, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 4 }),
      (rules, bursts) => {
        const rig = new PlanRig([{}, {}, {}, {}]);
        try {
          const { plan } = planOf(rules, rig);
          for (const flows of bursts) {
            lay(plan, flows.map(frameOf));
            askFrames(plan, flows.length);
            for (const i of flows.keys()) expect(keptAnswer(i)).toEqual(askedAnswer(plan, i));
          }
        } finally {
          rig.close();
        }
      },
    ),
    { numRuns: sized(300, 10_000) },
  );
});
