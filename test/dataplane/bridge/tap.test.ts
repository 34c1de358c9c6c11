// Captures in a worker: what is recorded at which place and in which form, cut, filtered, counted where it finds no room; and that
// frames go their way all the same.

import { afterEach, expect, test } from "bun:test";
import type { BridgePolicy, CapturePolicy, MirrorPolicy } from "../../../src/dataplane/bridge/policy.ts";
import {
  TAP_HEADER_SIZE,
  TAP_RING_SIZE,
  TAPPED_DROP,
  TAPPED_IN,
  TAPPED_OUT,
  TAPPED_RULE,
  TapMemory,
} from "../../../src/dataplane/bridge/tap-memory.ts";
import { RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { readEvents } from "../../../src/dataplane/rules/event-ring.ts";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { MAX_FRAME } from "../../../src/mem/batch.ts";
import { DROP_LINK_DOWN, DROP_OWN_PORT, DROP_RULE } from "../../../src/mem/counters.ts";
import { BROADCAST, frame, mac, numbered } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import { type Match, matchOf, rulesOf } from "../rules/rules-of.ts";

const makeRig = usePlanRig();
const memories: TapMemory[] = [];
afterEach(() => {
  for (const memory of memories.splice(0)) memory.close();
});

const IN_0 = { of: "port", port: 0, direction: "in" } as const;
const OUT_1 = { of: "port", port: 1, direction: "out" } as const;
const DROPS = { of: "drops" } as const;

/** Three ports, station n + 1 at port n, and a capture of this. */
function rigWith(
  what: CapturePolicy["what"],
  options: { snap?: number; match?: Match; rules?: Rule[]; policy?: Partial<BridgePolicy> } = {},
) {
  const { snap = 65_535, match, rules = [], policy = {} } = options;
  const rig = makeRig({}, {}, {});
  for (let port = 0; port < 3; port++) rig.station(mac(port + 1), port);
  const memory = new TapMemory(1);
  memories.push(memory);
  const capture: CapturePolicy = { what, snap, memory: memory.address, ...(match && { filter: filterOf(match) }) };
  rig.policy({}, { ...policy, captures: [capture] }, rules);
  return { rig, memory };
}

function filterOf(match: Match) {
  const filter: Rule = { id: 1, priority: 0, match: matchOf(match), actions: [{ do: "drop" }] };
  const { tables, source } = new RuleCompiler().compile([filter]);
  return { tables: [...tables], source };
}

function recordsOf({ rings: [ring] }: TapMemory) {
  const records: { what: number; port: number; reason: number; length: number; bytes: Uint8Array }[] = [];
  readEvents(ring, (_, at, size) => {
    const [what, port, reason, length, kept, microseconds, seconds] = ring.words.subarray(at >> 2, (at >> 2) + 8);
    expect(size).toBe(TAP_HEADER_SIZE + kept);
    expect(Math.abs(Date.now() / 1000 - (seconds >>> 0) - microseconds / 1e6)).toBeLessThan(60);
    const bytes = ring.bytes.slice(at + TAP_HEADER_SIZE, at + TAP_HEADER_SIZE + kept);
    records.push({ what, port, reason, length, bytes });
  });
  return records;
}

test("what comes in at a port is recorded as received, also what is dropped", () => {
  const { rig, memory } = rigWith(IN_0, { rules: rulesOf([1, {}, { do: "set-mac", src: "020000000077" }]) });
  const sent = [frame(mac(2), mac(1), 300), frame(mac(1), mac(1))];
  rig.send(0, ...sent);
  rig.send(1, frame(mac(1), mac(2)));
  const shape = { what: TAPPED_IN, port: 0, reason: 0 };
  expect(recordsOf(memory)).toEqual(sent.map((bytes) => ({ ...shape, length: bytes.length, bytes })));
});

test("what goes out is recorded as sent", () => {
  const { rig, memory } = rigWith(OUT_1, { rules: rulesOf([1, {}, { do: "set-mac", src: "020000000077" }]) });
  const got = rig.send(0, frame(mac(2), mac(1), 300), frame(mac(3), mac(1)), frame(BROADCAST, mac(1)));
  expect(got[1]).toHaveLength(2);
  expect(recordsOf(memory).map(({ bytes }) => bytes)).toEqual(got[1]);
  rig.setUp(1, false);
  rig.send(0, frame(mac(2), mac(1)));
  expect(recordsOf(memory)).toEqual([]);
});

test("copies of mirrors are recorded where they go out", () => {
  const mirror: MirrorPolicy = {
    name: "m",
    ports: [{ port: 0, direction: "in" }],
    vlans: [],
    to: 1,
    truncate: 60,
  };
  const { rig, memory } = rigWith(OUT_1, { policy: { mirrors: [mirror] } });
  rig.send(0, frame(mac(3), mac(1), 500));
  expect(recordsOf(memory)).toMatchObject([{ what: TAPPED_OUT, port: 1, length: 60 }]);
});

test("drops are recorded as received, with their reasons", () => {
  const rules = rulesOf([1, { "eth.dst": 0x0200_0000_0003 }, { do: "set-vlan", id: 5 }, { do: "drop" }]);
  const { rig, memory } = rigWith(DROPS, { rules });
  const dropped = [frame(mac(3), mac(1), 200), frame(mac(1), mac(1), 400)];
  rig.send(0, frame(mac(2), mac(1)), ...dropped);
  const shape = { what: TAPPED_DROP, port: 0 };
  expect(recordsOf(memory)).toEqual([
    { ...shape, reason: DROP_RULE, length: 200, bytes: dropped[0] },
    { ...shape, reason: DROP_OWN_PORT, length: 400, bytes: dropped[1] },
  ]);
  expect([memory.dropsMet(DROP_RULE), memory.dropsMet(DROP_OWN_PORT)]).toEqual([1, 1]);
});

test("what is for a port that is down is a drop, as received", () => {
  const rules = rulesOf([1, {}, { do: "set-mac", src: "020000000077" }]);
  const { rig, memory } = rigWith(DROPS, { rules });
  rig.setUp(1, false);
  const sent = [frame(mac(2), mac(1)), frame(mac(2), mac(1), 100)];
  rig.send(0, ...sent);
  expect(rig.drops(1)).toEqual({ link_down: 2 });
  expect(memory.dropsMet(DROP_LINK_DOWN)).toBe(2);
  expect(recordsOf(memory).map(({ reason, bytes }) => [reason, bytes])).toEqual(
    sent.map((bytes) => [DROP_LINK_DOWN, bytes]),
  );
});

test("what is dropped on its way out is recorded as received", () => {
  const trunk = {
    mode: "trunk" as const,
    allowed: [[1, 1]] as const,
    native: 0,
    nativeTagged: false,
    tpid: 0x8100,
    map: [],
  };
  const rules = rulesOf([1, {}, { do: "set-mac", src: "020000000077" }]);
  const { rig, memory } = rigWith(DROPS, { rules });
  rig.policy({ 1: { vlan: trunk } }, { captures: rig.plan?.bridge?.policy.captures ?? [] }, rules);
  // Flooded; with a tag it would be too long.
  const longest = frame(mac(2), mac(1), MAX_FRAME);
  rig.send(0, longest, frame(mac(2), mac(1)));
  expect(rig.drops(0)).toEqual({ oversized: 1 });
  const [{ length, bytes }] = recordsOf(memory);
  expect(length).toBe(MAX_FRAME);
  expect(bytes.subarray(0, 14)).toEqual(longest.subarray(0, 14));
});

test("what a rule forwards to nowhere is a drop, too", () => {
  const rules = rulesOf(
    [1, { "eth.dst": 0x0200_0000_0002 }, { do: "forward", ports: [7] }],
    [1, { "eth.dst": 0x0200_0000_0003 }, { do: "forward", ports: [7, 8] }],
  );
  const { rig, memory } = rigWith(DROPS, { rules });
  rig.send(0, frame(mac(2), mac(1)), frame(mac(3), mac(1)));
  expect(recordsOf(memory)).toHaveLength(2);
  expect(rig.drops(0)).toEqual({ no_destination: 2 });
});

test("frames are recorded that meet a rule, as received, whatever it does and whatever came before", () => {
  const rules = rulesOf(
    [9, {}, { do: "set-mac", src: "020000000077" }],
    [5, { "eth.dst": 0x0200_0000_0002 }, { do: "allow" }],
    [4, {}, { do: "drop" }],
  );
  const { rig, memory } = rigWith({ of: "rule", id: 2 }, { rules });
  const met = frame(mac(2), mac(1), 150);
  rig.send(0, frame(mac(3), mac(1)), met);
  expect(recordsOf(memory)).toEqual([{ what: TAPPED_RULE, port: 0, reason: 2, length: 150, bytes: met }]);
  expect([1, 2, 3].map((id) => rig.counted(id)[0])).toEqual([2, 1, 1]);
});

test("rules that only decide are met, too", () => {
  const { rig, memory } = rigWith({ of: "rule", id: 1 }, { rules: rulesOf([1, {}, { do: "allow" }]) });
  rig.send(0, frame(mac(2), mac(1)), frame(mac(3), mac(1)));
  expect(recordsOf(memory)).toHaveLength(2);
  expect(rig.counted(1).slice(0, 2)).toEqual([2, 128]);
});

test.each([1, 14, 64, 65, 129])("a snap length of %d cuts the record, not the frame", (snap) => {
  const { rig, memory } = rigWith(IN_0, { snap });
  const sent = [40, 64, 128, 129, 1514].map((size, k) => numbered(mac(2), mac(1), 0, k, size));
  expect(rig.send(0, ...sent)[1]).toEqual(sent);
  const cut = recordsOf(memory);
  expect(cut.map(({ bytes }) => bytes)).toEqual(sent.map((bytes) => bytes.slice(0, snap)));
  expect(cut.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
});

test("a frame in pieces is recorded whole", () => {
  const pieces = [20, 1, 200, 700].map((size, k) => new Uint8Array(size).fill(k + 1));
  pieces[0].set([...mac(2), ...mac(1), 0x88, 0xb5]);
  const { rig, memory } = rigWith(IN_0);
  rig.put(pieces);
  rig.run(0);
  expect(recordsOf(memory).map(({ bytes }) => Buffer.from(bytes))).toEqual([Buffer.concat(pieces)]);
});

test("a filter is asked about the frame at its place, and where it came in", () => {
  const match = { "eth.src": 0x0200_0000_0077, in: 0 };
  const rules = rulesOf([1, { "eth.dst": 0x0200_0000_0002 }, { do: "set-mac", src: "020000000077" }]);
  const { rig, memory } = rigWith(OUT_1, { match, rules });
  rig.send(0, frame(mac(2), mac(1)), frame(BROADCAST, mac(1)));
  rig.send(2, frame(mac(2), mac(3)));
  expect(recordsOf(memory).map(({ bytes }) => bytes)).toEqual([frame(mac(2), mac(0x77))]);
});

test("a full ring costs records, which are counted, and frames nothing", () => {
  const { rig, memory } = rigWith(IN_0);
  const size = 9000;
  const rounds = Math.ceil(TAP_RING_SIZE / size / 32) + 3;
  let sent = 0;
  for (let round = 0; round < rounds; round++) {
    const burst = Array.from({ length: 32 }, (_, k) => numbered(mac(2), mac(1), 0, sent + k, size));
    expect(rig.send(0, ...burst)[1]).toHaveLength(32);
    sent += 32;
  }
  expect(memory.lost()).toBeGreaterThan(32);
  const { length } = recordsOf(memory);
  expect(length + memory.lost()).toBe(sent);
  rig.send(0, frame(mac(2), mac(1)));
  expect(recordsOf(memory)).toHaveLength(1);
});
