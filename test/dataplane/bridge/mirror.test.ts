// Mirrors: which frames the watching port gets a copy of, in which form, and that nothing else changes.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Direction, MirrorPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { BURST, MAX_SEGMENTS } from "../../../src/mem/batch.ts";
import { COPIES } from "../../../src/mem/counters.ts";
import { BROADCAST, frame, type Mac, mac, netHeader, numbered } from "../../support/frames.ts";
import { PlanRig, usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const makeRig = usePlanRig();
const WATCHER = 3;

function mirrorOf(ports: Record<number, Direction>, more: Partial<MirrorPolicy> = {}): MirrorPolicy {
  const listed = Object.entries(ports).map(([port, direction]) => ({ port: Number(port), direction }));
  return { name: "m", ports: listed, vlans: [], to: WATCHER, truncate: 0, ...more };
}

/** Four ports; station n + 1 is at port n, but for the watcher. */
function rigWith(...mirrors: MirrorPolicy[]) {
  const rig = makeRig({}, {}, {}, {});
  for (let port = 0; port < WATCHER; port++) rig.station(mac(port + 1), port);
  rig.policy({}, { mirrors });
  return rig;
}

test("what comes in at a mirrored port is copied as it was received, also what is dropped", () => {
  const rig = rigWith(mirrorOf({ 0: "in" }));
  const sent = [frame(mac(2), mac(1)), frame(mac(1), mac(9)), frame(mac(2), BROADCAST)];
  const got = rig.send(0, ...sent);
  expect(got).toEqual([[], [sent[0]], [], sent]);
  expect(rig.drops(0)).toEqual({ own_port: 1, bad_source: 1 });
  expect(rig.counters(0)[COPIES]).toBe(3);
  expect(rig.send(1, frame(mac(1), mac(2)))[WATCHER]).toEqual([]);
});

test("what goes out of mirrored ports is copied once for each of them", () => {
  const rig = rigWith(mirrorOf({ 1: "out", 2: "out" }));
  const [known, flooded] = [frame(mac(2), mac(1)), frame(BROADCAST, mac(1))];
  const got = rig.send(0, known, flooded);
  expect(got[1]).toEqual([known, flooded]);
  // Port 1's two, port 2's, and the flood itself.
  expect(got[WATCHER]).toEqual([known, flooded, flooded, flooded]);
  // What a mirrored port sends itself is no matter of this direction.
  expect(rig.send(1, frame(mac(1), mac(2)))[WATCHER]).toEqual([]);
});

test("a port that is mirrored both ways gives one copy for each direction", () => {
  const rig = rigWith(mirrorOf({ 0: "both", 1: "both" }));
  expect(rig.send(0, frame(mac(2), mac(1)))[WATCHER]).toHaveLength(2);
  expect(rig.send(2, frame(mac(1), mac(3)))[WATCHER]).toHaveLength(1);
});

test("nothing that the watching port sent is copied to it, and no copy is copied", () => {
  const second = mirrorOf({ [WATCHER]: "out" }, { name: "of copies", to: 2 });
  const rig = rigWith(mirrorOf({ 0: "both", 1: "both" }), second);
  expect(rig.send(WATCHER, frame(mac(1), mac(4)))[WATCHER]).toEqual([]);
  expect(rig.send(0, frame(mac(2), mac(1)))[2]).toEqual([]);
  // A frame that goes to the watching port by itself is no copy.
  expect(rig.send(0, frame(mac(4), mac(1)))[2]).toEqual([frame(mac(4), mac(1))]);
});

test("what goes to the watching port by itself comes there once; what a rule copied is not copied again", () => {
  const vlans = [{ vid: 0, direction: "out" as const }];
  const rig = rigWith(mirrorOf({}, { vlans }));
  rig.send(WATCHER, frame(mac(1), mac(4)));
  expect(rig.send(0, frame(mac(4), mac(1)))[WATCHER]).toHaveLength(1);
  const rules = rulesOf([1, {}, { do: "mirror", port: 1 }]);
  rig.policy({}, { mirrors: [mirrorOf({ 1: "out" })] }, rules);
  const got = rig.send(0, frame(mac(3), mac(1)));
  expect([got[1].length, got[2].length, got[WATCHER].length]).toEqual([1, 1, 0]);
});

test("a watching port that is down gets none, and nothing is counted for it", () => {
  const rig = rigWith(mirrorOf({ 0: "in", 1: "out" }));
  rig.setUp(WATCHER, false);
  expect(rig.send(0, frame(mac(2), mac(1)))[WATCHER]).toEqual([]);
  expect(rig.counters(0)[COPIES]).toBe(0);
  expect(rig.drops(WATCHER)).toEqual({});
});

test("a port that is down sends nothing, so nothing is copied", () => {
  const rig = rigWith(mirrorOf({ 1: "out" }));
  rig.setUp(1, false);
  expect(rig.send(0, frame(mac(2), mac(1)))[WATCHER]).toEqual([]);
});

test("isolation and flood settings of the watching port do not hold copies back", () => {
  const rig = rigWith();
  const isolated = { isolated: true, floodBroadcast: false };
  rig.policy({ 0: isolated, [WATCHER]: isolated }, { mirrors: [mirrorOf({ 0: "in" })] });
  expect(rig.send(0, frame(BROADCAST, mac(1)))[WATCHER]).toEqual([frame(BROADCAST, mac(1))]);
});

test("rules change what goes out, not the copy of what came in", () => {
  const rig = rigWith();
  const rules = rulesOf([1, {}, { do: "set-mac", src: "020000000077" }]);
  rig.policy({}, { mirrors: [mirrorOf({ 0: "in" }), mirrorOf({ 1: "out" }, { name: "out" })] }, rules);
  expect(rig.send(0, frame(mac(2), mac(1)))[WATCHER]).toEqual([frame(mac(2), mac(1)), frame(mac(2), mac(0x77))]);
});

test("rules that mirror to the same port make no second copy, unless the first was cut", () => {
  const rules = rulesOf([1, {}, { do: "mirror", port: WATCHER }]);
  const rig = rigWith();
  const sent = frame(mac(2), mac(1), 100);
  rig.policy({}, { mirrors: [mirrorOf({ 0: "in" })] }, rules);
  expect(rig.send(0, sent)[WATCHER]).toEqual([sent]);
  rig.policy({}, { mirrors: [mirrorOf({ 0: "in" }, { truncate: 64 })] }, rules);
  expect(rig.send(0, sent)[WATCHER]).toEqual([sent.subarray(0, 64), sent]);
});

test.each([14, 60, 64, 128, 129, 1000])("truncated copies have %d bytes, the frame all of its own", (truncate) => {
  const both = mirrorOf({ 0: "both", 1: "both" }, { truncate });
  const rig = rigWith(both, mirrorOf({ 1: "out" }, { name: "whole" }));
  const sent = Array.from({ length: BURST }, (_, k) => numbered(mac(2), mac(1), 0, k, 60 + 17 * k));
  const cut = sent.map((bytes) => bytes.subarray(0, truncate));
  const got = rig.send(0, ...sent);
  expect(got[1]).toEqual(sent);
  expect(got[WATCHER]).toEqual([...cut, ...cut, ...sent]);
});

test("a truncated super-frame is a plain frame; a whole one stays what it is", () => {
  const rig = rigWith(mirrorOf({ 0: "in" }, { truncate: 100 }), mirrorOf({ 0: "in" }, { name: "whole" }));
  const bytes = frame(mac(2), mac(1), 4000);
  const header = netHeader({ flags: 1, gsoType: 1, gsoSize: 1000, csumStart: 34, csumOffset: 16 });
  rig.put(bytes, header);
  rig.run(0);
  const [cut, whole] = rig.lanes[WATCHER].given;
  expect(cut).toMatchObject({ bytes: bytes.slice(0, 100), needs: 0, gsoType: 0 });
  expect(whole).toMatchObject({ bytes, gsoType: 1, gsoSize: 1000 });
});

test("copies of frames in pieces are whole, and cut where they have to be", () => {
  const pieces = [20, 1, 200, 700].map((size, k) => new Uint8Array(size).fill(k + 1));
  pieces[0].set([...mac(2), ...mac(1), 0x88, 0xb5]);
  const whole = new Uint8Array(Buffer.concat(pieces));
  const rig = rigWith(mirrorOf({ 0: "in" }), mirrorOf({ 0: "in" }, { name: "cut", truncate: 222 }));
  rig.put(pieces);
  rig.run(0);
  expect(rig.lanes[WATCHER].frames).toEqual([whole, whole.slice(0, 222)]);
  expect(rig.lanes[1].frames).toEqual([whole]);
});

test("there is room for all copies of a burst in as many pieces as there may be", () => {
  const vlans = [{ vid: 0, direction: "both" as const }];
  const names = ["m1", "m2", "m3", "m4"];
  const mirrors = names.map((name) => mirrorOf({ 0: "in", 1: "out" }, { name, vlans, truncate: 3000 }));
  const rig = rigWith();
  const rules = rulesOf([1, {}, { do: "mirror", port: 2 }, { do: "set-mac", src: "020000000077" }]);
  rig.policy({}, { mirrors: [...mirrors, mirrorOf({}, { name: "v", vlans, truncate: 3000 })] }, rules);
  const count = Math.floor(MAX_SEGMENTS / BURST);
  const frames = Array.from({ length: BURST }, (_, k) =>
    Array.from({ length: count }, (_, piece) => {
      const bytes = new Uint8Array(100).fill(k ^ piece);
      if (piece === 0) bytes.set([...mac(2), ...mac(1), 0x88, 0xb5]);
      return bytes;
    }),
  );
  for (const pieces of frames) rig.put(pieces);
  rig.run(0);
  const whole = frames.map((pieces) => new Uint8Array(Buffer.concat(pieces)));
  const cut = whole.map((bytes) => bytes.slice(0, 3000));
  const out = (list: Uint8Array[]) =>
    list.map((bytes) => Uint8Array.from([...bytes.slice(0, 11), 0x77, ...bytes.slice(12)]));
  expect(rig.lanes[1].frames).toEqual(out(whole));
  expect(rig.lanes[2].frames).toEqual(whole);
  const ins = [...names.flatMap(() => cut), ...cut];
  expect(rig.lanes[WATCHER].frames).toEqual([...ins, ...names.flatMap(() => out(cut)), ...out(cut)]);
});

test("a copy that is too long for its port is counted there", () => {
  const rig = makeRig({}, {}, {}, { maxFrame: 128 });
  rig.station(mac(2), 1);
  rig.policy({}, { mirrors: [mirrorOf({ 0: "in" }), mirrorOf({ 0: "in" }, { name: "cut", truncate: 128 })] });
  expect(rig.send(0, frame(mac(2), mac(1), 200))[WATCHER]).toEqual([frame(mac(2), mac(1), 128)]);
  expect(rig.drops(WATCHER)).toEqual({ oversized: 1 });
});

test("frames of a VLAN are copied when they enter it and, once, when they leave", () => {
  const vlans = [{ vid: 10, direction: "both" as const }];
  const rig = rigWith();
  const access = (vid: number) => ({ vlan: { mode: "access" as const, vid } });
  const trunk = { mode: "trunk" as const, allowed: [[10, 11]] as const, native: 0, nativeTagged: false };
  const ports = { 0: access(10), 1: access(10), 2: { vlan: { ...trunk, tpid: 0x8100, map: [] } } };
  rig.policy(ports, { mirrors: [mirrorOf({}, { vlans })] });
  const [plain, tagged] = [frame(BROADCAST, mac(1)), tag(frame(BROADCAST, mac(1)), 10)];
  // Left by two ports, without a tag by the first of them.
  let got = rig.send(0, plain);
  expect(got[2]).toEqual([tagged]);
  expect(got[WATCHER]).toEqual([plain, plain]);
  // As received, as left.
  got = rig.send(2, tag(frame(BROADCAST, mac(3)), 10));
  expect(got[WATCHER]).toEqual([tag(frame(BROADCAST, mac(3)), 10), frame(BROADCAST, mac(3))]);
  // Another VLAN, and one that the port does not take.
  expect(rig.send(2, tag(plain, 11), tag(plain, 12))[WATCHER]).toEqual([]);
});

test("a rule's copy is the frame as it was received, whatever tag it leaves with", () => {
  const rig = rigWith();
  const trunk = { mode: "trunk" as const, allowed: [[10, 10]] as const, native: 0, nativeTagged: false };
  const access = { vlan: { mode: "access" as const, vid: 10 } };
  const ports = { 0: { vlan: { ...trunk, tpid: 0x8100, map: [] } }, 1: access, [WATCHER]: access };
  rig.policy(ports, {}, rulesOf([1, {}, { do: "mirror", port: WATCHER }]));
  rig.send(1, frame(mac(1), mac(2)));
  const tagged = tag(frame(mac(2), mac(1)), 10);
  expect(rig.send(0, tagged)).toEqual([[], [frame(mac(2), mac(1))], [], [tagged]]);
});

test("copies for a shaped port wait in its queues like all else", () => {
  const rig = rigWith();
  const shape = { unit: "frames", rate: 1000, burst: 1 } as const;
  const mirrors = [mirrorOf({ 0: "in" }, { truncate: 60 }), mirrorOf({ 1: "out" }, { name: "out" })];
  rig.policy({ [WATCHER]: { shape } }, { mirrors });
  const sent = frame(mac(2), mac(1), 100);
  expect(rig.send(0, sent)[WATCHER]).toEqual([]);
  const got: Uint8Array[] = [];
  while (got.length < 2) got.push(...rig.drain()[WATCHER]);
  expect(got).toEqual([sent.slice(0, 60), sent]);
});

test("a port and its VLAN in one mirror make one copy for each direction", () => {
  const vlans = [{ vid: 0, direction: "both" as const }];
  const rig = rigWith(mirrorOf({ 0: "both", 1: "both" }, { vlans }));
  expect(rig.send(0, frame(mac(2), mac(1)))[WATCHER]).toHaveLength(2);
  expect(rig.send(2, frame(mac(1), mac(3)))[WATCHER]).toHaveLength(2);
});

test("a frame of a mirrored VLAN that leaves by mirrored ports has copies for those alone, whichever port is the first", () => {
  const access = (vid: number) => ({ vlan: { mode: "access" as const, vid } });
  const vlans = [{ vid: 10, direction: "out" as const }];
  for (const mirrored of [[1], [2], [1, 2], []]) {
    const rig = rigWith();
    const mirror = mirrorOf(Object.fromEntries(mirrored.map((port) => [port, "out"])), { vlans });
    rig.policy({ 0: access(10), 1: access(10), 2: access(10), [WATCHER]: access(99) }, { mirrors: [mirror] });
    expect(rig.send(0, frame(BROADCAST, mac(1)))[WATCHER]).toHaveLength(Math.max(1, mirrored.length));
    // A mirrored port that is down sends nothing: the other one does.
    rig.setUp(1, false);
    expect(rig.send(0, frame(BROADCAST, mac(1)))[WATCHER]).toHaveLength(1);
  }
});

function tag(bytes: Uint8Array, vid: number): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, 0, vid, ...bytes.subarray(12)]);
}

const STATIONS: Mac[] = [mac(1), mac(2), mac(3)];

test("all that is not a copy goes as without mirrors", () => {
  const anyMirror = fc.record({
    name: fc.constant("m"),
    ports: fc.array(fc.record({ port: fc.nat(2), direction: fc.constantFrom<Direction>("in", "out", "both") }), {
      maxLength: 3,
    }),
    vlans: fc.constantFrom([], [{ vid: 0, direction: "both" as const }]),
    to: fc.constant(WATCHER),
    truncate: fc.constantFrom(0, 64, 200),
  });
  const anyFrame = fc.record({
    to: fc.constantFrom(...STATIONS, BROADCAST),
    from: fc.constantFrom(...STATIONS, BROADCAST),
    size: fc.constantFrom(60, 128, 300),
  });
  const run = (mirrors: MirrorPolicy[], port: number, frames: { to: Mac; from: Mac; size: number }[]) => {
    const rig = new PlanRig([{}, {}, {}, {}]);
    try {
      rig.policy({ 9: { isolated: true } }, { mirrors });
      const got = rig.send(port, ...frames.map(({ to, from, size }, k) => numbered(to, from, 0, k, size)));
      return { got: got.slice(0, WATCHER), drops: rig.drops(port) };
    } finally {
      rig.close();
    }
  };
  fc.assert(
    fc.property(
      fc.array(anyMirror, { minLength: 1, maxLength: 3 }),
      fc.nat(2),
      fc.array(anyFrame, { maxLength: BURST, size: "max" }),
      (mirrors, port, frames) => expect(run(mirrors, port, frames)).toEqual(run([], port, frames)),
    ),
    { numRuns: 60 },
  );
}, 30_000);
