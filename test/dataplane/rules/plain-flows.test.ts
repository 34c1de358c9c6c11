// What rules say of a burst's frames, by the cache of plain flows, is what they say of each frame's key: for random frames and near
// copies of them, in which bytes that rules look at differ now and then; for flows that hide one another in the cache; and after
// the rules have changed.

import { beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { answering, answers as answerPlaces } from "../../../src/dataplane/rules/answers.ts";
import { flowSeeds, hashes } from "../../../src/dataplane/rules/flow-words.ts";
import { askFrames } from "../../../src/dataplane/rules/plain-flows.ts";
import type { Plan } from "../../../src/dataplane/rules/plan.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { complete, mac } from "../../support/frames.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { askedAnswer, keptAnswer, lay } from "./kept-answers.ts";
import { usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const IN_PORT = 3;
const FIRST_GENERATION = 0x10000;
const seeds = Int32Array.from(flowSeeds);
beforeEach(() => flowSeeds.set(seeds));

const macNumber = (bytes: readonly number[]) =>
  Number.parseInt(bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""), 16);

/** A rule for each field, which counts its frames and goes on; values are those that near copies get. */
const eachField = () =>
  rulesOf(
    [20, { "tcp.flags": 1 }, { do: "forward", ports: [1] }],
    [19, { "eth.dst": macNumber(mac(2)) }, { do: "count" }],
    [18, { "ip4.dscp": 0 }, { do: "count" }],
    [17, { "ip4.proto": 17 }, { do: "count" }],
    [16, { "ip4.frag": 0 }, { do: "count" }],
    [15, { "ip4.src": 0x0a000102 }, { do: "drop" }],
    [14, { "ip4.dst": 0x0a000101 }, { do: "allow" }],
    [13, { "tcp.sport": 0x0101 }, { do: "drop" }],
    [12, { "tcp.dport": 0x0101 }, { do: "set-vlan", id: 5 }, { do: "allow" }],
    [11, { "eth.src": macNumber(mac(1)) }, { do: "count" }],
    [10, { "udp.dport": 0x0600 }, { do: "drop" }],
  );

const anyPlain = fc
  .record({
    transport: fc.constantFrom<"tcp" | "udp">("tcp", "udp"),
    flags: fc.constantFrom(0, 1, 0x10, 0x11),
    id: fc.nat(65535),
    size: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ size, ...spec }) => complete(mac(2), mac(1), spec4({ ...spec, payload: pattern(size) })));
const anyChange = fc.record({ at: fc.nat(60), value: fc.constantFrom(0, 1, 2, 6, 10, 17, 0x45, 0x46) });
const anyCopy = fc.record({
  changes: fc.array(anyChange, { maxLength: 2 }),
  kept: fc.oneof({ weight: 5, arbitrary: fc.constant(2000) }, fc.integer({ min: 14, max: 80 })),
});
const anyBurst = fc
  .record({
    frames: fc.array(fc.oneof({ weight: 5, arbitrary: anyPlain }, anyFrame), { minLength: 1, maxLength: 3 }),
    copies: fc.array(fc.tuple(fc.nat(2), anyCopy), { minLength: 1, maxLength: 24 }),
  })
  .map(({ frames, copies }) =>
    copies.map(([which, { changes, kept }]) => {
      const copy = frames[which % frames.length].slice(0, kept);
      for (const { at, value } of changes) copy[at] = value;
      return copy;
    }),
  );

test.each([
  ["", () => {}],
  [", where all flows have one hash", () => flowSeeds.fill(0)],
] as const)("what is kept of a frame's flow is what the rules say of its key%s", (_, prepare) => {
  const rig = newRig({}, {}, {}, {});
  rig.rules(eachField());
  const plan = rig.plan as Plan;
  plan.port = IN_PORT;
  prepare();
  let shared = 0;
  fc.assert(
    fc.property(anyBurst, (frames) => {
      lay(plan, frames);
      askFrames(plan, frames.length);
      shared += frames.length - new Set(answerPlaces.subarray(0, frames.length)).size;
      for (const i of frames.keys()) {
        expect(keptAnswer(i)).toEqual(askedAnswer(plan, i));
      }
    }),
    { numRuns: sized(3_000, 300_000) },
  );
  expect(shared).toBeGreaterThan(1000);
});

/** UDP to port `n` of 10.0.0.2. */
function flow(n: number): Uint8Array {
  const bytes = complete(mac(2), mac(1), spec4({ transport: "udp", payload: pattern(30) }));
  bytes.set([n >> 8, n & 255], 36);
  return bytes;
}

test("flows that have one hash are told apart, also within a burst that needs both", () => {
  const rig = newRig({}, {});
  rig.rules(rulesOf([2, { "udp.dport": 1 }, { do: "drop" }], [1, { "udp.dport": 2 }, { do: "count" }]));
  rig.station(mac(2), 1);
  flowSeeds.fill(0);
  for (let turn = 0; turn < 3; turn++) {
    const burst = Array.from({ length: BURST }, (_, i) => flow(1 + (i % 3)));
    expect(rig.send(0, ...burst)[1]).toHaveLength(burst.filter((bytes) => bytes[37] !== 1).length);
  }
  expect([rig.counted(1)[0], rig.counted(2)[0]]).toEqual([66, 63]);
});

test.each([
  ["the highest bits", [0, 0x80], [0, 0x80], false],
  ["the highest bits of both halves", [0x80, 0x80], [0x80, 0x80], true],
] as const)("two flows that differ in %s of two words have answers of their own", (_, first, second, haveOneHash) => {
  const rig = newRig({}, {});
  rig.rules(rulesOf([1, { udp: 1 }, { do: "count" }]));
  const plan = rig.plan as Plan;
  const [one, other] = [flow(1), flow(1)];
  // Bytes 1 and 3 of words 7 and 8: parts of the addresses, and the source port.
  other[29] ^= first[0];
  other[31] ^= first[1];
  other[33] ^= second[0];
  other[35] ^= second[1];
  const found = () => {
    lay(plan, [one, other, one, other]);
    askFrames(plan, 4);
    return [...answerPlaces.subarray(0, 4)];
  };
  found();
  expect(hashes[0] === hashes[1]).toBe(haveOneHash);
  const [a, b] = found();
  expect(found()).toEqual([a, b, a, b]);
  expect(a).not.toBe(b);
});

test("other rules forget what was known, also when generations begin anew", () => {
  const rig = newRig({}, {});
  rig.station(mac(2), 1);
  const got = () => rig.send(0, flow(1), flow(2))[1].length;
  // What is kept first is of the generation that there is again after the last.
  answering.generation = 0;
  rig.rules(rulesOf([1, { "udp.dport": 1 }, { do: "drop" }]));
  expect([got(), got()]).toEqual([1, 1]);
  answering.generation = -FIRST_GENERATION;
  rig.rules(rulesOf([1, { "udp.dport": 3 }, { do: "drop" }]));
  expect([got(), got()]).toEqual([2, 2]);
  expect(answering.generation).toBe(FIRST_GENERATION);
  rig.rules(rulesOf([1, { udp: 1 }, { do: "drop" }]));
  expect(got()).toBe(0);
});

test("a flow from another port is another flow", () => {
  const rig = newRig({}, {}, {});
  rig.rules(rulesOf([1, { in: 1 }, { do: "drop" }]));
  rig.station(mac(2), 2);
  const got = (port: number) => rig.send(port, flow(1))[2].length;
  expect([got(0), got(1), got(0), got(1)]).toEqual([1, 0, 1, 0]);
});

test("plans of one thread do not answer for one another", () => {
  const rigs = [1, 2].map((port) => {
    const rig = newRig({}, {});
    rig.station(mac(2), 1);
    rig.rules(rulesOf([1, { "udp.dport": port }, { do: "drop" }]));
    return rig;
  });
  const got = () => rigs.map((rig) => rig.send(0, flow(1), flow(2), flow(2))[1].length);
  expect([got(), got(), got()]).toEqual([
    [2, 1],
    [2, 1],
    [2, 1],
  ]);
});
