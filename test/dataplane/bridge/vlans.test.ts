// VLANs feature by feature, as an operator thinks of them: what goes where, with which tag. vlans-random.test.ts has the rest.

import { describe, expect, test } from "bun:test";
import type { VlanMembership } from "../../../src/dataplane/bridge/policy.ts";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import { BROADCAST, frame, type Mac, mac } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import { rulesOf } from "../rules/rules-of.ts";

const newRig = usePlanRig();
const access = (vid: number): VlanMembership => ({ mode: "access", vid });
const tunnel = (vid: number): VlanMembership => ({ mode: "tunnel", vid });
const trunk = (changes: Partial<Extract<VlanMembership, { mode: "trunk" }>> = {}): VlanMembership => ({
  ...{ mode: "trunk", allowed: [[1, 4094]], native: 0, nativeTagged: false, tpid: 0x8100, map: [] },
  ...changes,
});

/** A frame with tags, each [type, priority and DEI, id]. */
function tagged(to: Mac, from: Mac, ...tags: [number, number, number][]): Uint8Array {
  const bytes = tags.flatMap(([type, priority, id]) => [type >> 8, type & 255, (priority << 4) | (id >> 8), id & 255]);
  const plain = frame(to, from);
  return Uint8Array.from([...plain.subarray(0, 12), ...bytes, ...plain.subarray(12)]);
}

const [C, S] = [0x8100, 0x88a8];
const ALL = BROADCAST;

describe("an access port", () => {
  test("takes untagged frames, those with its own tag, and priority tags; all leave another one bare", () => {
    const rig = newRig({}, {}, {});
    rig.policy({ 0: { vlan: access(10) }, 1: { vlan: access(10) }, 2: { vlan: access(20) } });
    const plain = frame(ALL, mac(1));
    const got = rig.send(0, plain, tagged(ALL, mac(1), [C, 0, 10]), tagged(ALL, mac(1), [C, 6, 0]));
    expect(got).toEqual([[], [plain, plain, plain], []]);
  });

  test("refuses other VLANs, and a tag that is cut short", () => {
    const rig = newRig({}, {});
    rig.policy({ 0: { vlan: access(10) }, 1: { vlan: trunk() } });
    const cut = tagged(ALL, mac(1), [C, 0, 10]).subarray(0, 17);
    expect(rig.send(0, tagged(ALL, mac(1), [C, 0, 20]), tagged(ALL, mac(1), [C, 0, 4095]), cut)[1]).toEqual([]);
    expect(rig.drops(0)).toEqual({ vlan: 3 });
  });

  test("is one of VLAN 1 where nothing was said of it, as soon as any port has VLANs", () => {
    const rig = newRig({}, {}, {});
    rig.policy({ 1: { isolated: true }, 2: { vlan: access(10) } });
    const plain = frame(ALL, mac(1));
    expect(rig.send(0, plain)).toEqual([[], [plain], []]);
    expect(rig.send(2, plain)).toEqual([[], [], []]);
    expect(rig.drops(2)).toEqual({ no_destination: 1 });
  });

  test("shows a priority by a tag of no VLAN where it is asked to", () => {
    const rig = newRig({}, {});
    rig.policy({ 0: { vlan: trunk() }, 1: { vlan: access(10), priorityTags: true } });
    const sent = [0, 1, 0b1010].map((priority) => tagged(ALL, mac(1), [C, priority, 10]));
    expect(rig.send(0, ...sent)[1]).toEqual([frame(ALL, mac(1)), frame(ALL, mac(1)), tagged(ALL, mac(1), [C, 10, 0])]);
  });
});

describe("a trunk", () => {
  test("carries the VLANs it is allowed, with their tags, priority and DEI kept", () => {
    const rig = newRig({}, {}, {});
    const some = trunk({ allowed: [[10, 20]] });
    rig.policy({ 0: { vlan: trunk() }, 1: { vlan: some }, 2: { vlan: access(15) } });
    const inside = tagged(ALL, mac(1), [C, 0b1101, 15]);
    expect(rig.send(0, inside, tagged(ALL, mac(1), [C, 0, 21]))).toEqual([[], [inside], [frame(ALL, mac(1))]]);
    expect(rig.send(1, tagged(ALL, mac(2), [C, 0, 9]), frame(ALL, mac(2)))[0]).toEqual([]);
    expect([rig.drops(0), rig.drops(1)]).toEqual([{ no_destination: 1 }, { vlan: 2 }]);
  });

  test("has a native VLAN, whose frames leave bare or tagged", () => {
    const rig = newRig({}, {}, {});
    rig.policy({
      0: { vlan: trunk({ allowed: [], native: 5 }) },
      1: { vlan: trunk({ native: 5 }) },
      2: { vlan: trunk({ native: 5, nativeTagged: true }) },
    });
    const [bare, withTag] = [frame(ALL, mac(1)), tagged(ALL, mac(1), [C, 0, 5])];
    expect(rig.send(0, bare, withTag)).toEqual([[], [bare, bare], [withTag, withTag]]);
    expect(rig.send(2, bare, withTag)).toEqual([[bare, bare], [bare, bare], []]);
  });

  test("gives frames without a tag the priority of the port they came from", () => {
    const rig = newRig({}, {});
    rig.policy({ 0: { vlan: access(5), priority: 3 }, 1: { vlan: trunk() } });
    expect(rig.send(0, frame(ALL, mac(1)), tagged(ALL, mac(1), [C, 0, 5]))[1]).toEqual([
      tagged(ALL, mac(1), [C, 6, 5]),
      tagged(ALL, mac(1), [C, 0, 5]),
    ]);
  });

  test("translates ids both ways; an id that is taken is no VLAN's own any more", () => {
    const rig = newRig({}, {});
    rig.policy({ 0: { vlan: trunk({ map: [[100, 10]] }) }, 1: { vlan: trunk() } });
    expect(rig.send(0, tagged(ALL, mac(1), [C, 7, 100]))[1]).toEqual([tagged(ALL, mac(1), [C, 7, 10])]);
    expect(rig.send(1, tagged(ALL, mac(2), [C, 7, 10]))[0]).toEqual([tagged(ALL, mac(2), [C, 7, 100])]);
    expect(rig.send(0, tagged(ALL, mac(1), [C, 7, 10]))[1]).toEqual([]);
    expect(rig.send(1, tagged(ALL, mac(2), [C, 7, 100]))[0]).toEqual([]);
    expect([rig.drops(0), rig.drops(1)]).toEqual([{ vlan: 1 }, { no_destination: 1 }]);
  });

  test("does not let a frame of its native VLAN out as one of another VLAN, whatever it carries", () => {
    const rig = newRig({}, {}, {});
    rig.policy({ 0: { vlan: access(5) }, 1: { vlan: trunk({ native: 5 }) }, 2: { vlan: access(5) } });
    const twice = tagged(ALL, mac(1), [C, 0, 5], [C, 0, 66]);
    expect(rig.send(0, twice)).toEqual([[], [twice], [tagged(ALL, mac(1), [C, 0, 66])]]);
  });

  test("whose wire has no id for its native VLAN drops what would be taken for a frame of another one", () => {
    const rig = newRig({}, {}, {});
    const mapped = trunk({ allowed: [[10, 10]], native: 100, map: [[100, 10]] });
    rig.policy({ 0: { vlan: tunnel(100) }, 1: { vlan: access(100) }, 2: { vlan: mapped, priorityTags: true } });
    // Behind a tag without an id, the guest's own would be met: id 100, VLAN 10 on that wire.
    const inside = tagged(ALL, mac(1), [C, 0, 100], [C, 0, 66]);
    expect(rig.send(0, inside)).toEqual([[], [inside], []]);
    const twice = tagged(ALL, mac(2), [C, 7, 100], [C, 0, 100]);
    expect(rig.send(1, twice)).toEqual([[tagged(ALL, mac(2), [C, 0, 100])], [], []]);
    expect([rig.drops(0), rig.drops(1)]).toEqual([{ vlan: 1 }, { vlan: 1 }]);
    // Whatever begins with no tag, or with one of the other kind, is still native, and what comes in untagged, too.
    const other = tagged(ALL, mac(1), [S, 0, 100]);
    expect(rig.send(0, frame(ALL, mac(1)), other)[2]).toEqual([frame(ALL, mac(1)), other]);
    expect(rig.send(2, frame(ALL, mac(3)))[0]).toEqual([frame(ALL, mac(3))]);
  });
});

describe("a tunnel", () => {
  test("wraps whatever comes in the tag of a trunk, and unwraps it at another tunnel", () => {
    const rig = newRig({}, {}, {}, {});
    rig.policy({
      0: { vlan: tunnel(30) },
      1: { vlan: trunk({ tpid: S }) },
      2: { vlan: tunnel(30) },
      3: { vlan: trunk() },
    });
    const sent = [frame(ALL, mac(1)), tagged(ALL, mac(1), [C, 4, 7]), tagged(ALL, mac(1), [S, 4, 7], [C, 2, 8])];
    const wrapped = (type: number) => [
      tagged(ALL, mac(1), [type, 0, 30]),
      tagged(ALL, mac(1), [type, 0, 30], [C, 4, 7]),
      tagged(ALL, mac(1), [type, 0, 30], [S, 4, 7], [C, 2, 8]),
    ];
    expect(rig.send(0, ...sent)).toEqual([[], wrapped(S), sent, wrapped(C)]);
    expect(rig.send(1, ...wrapped(S))).toEqual([sent, [], sent, wrapped(C)]);
  });

  test("and a trunk of the other kind of tag takes its frames as untagged", () => {
    const rig = newRig({}, {});
    rig.policy({ 0: { vlan: trunk({ tpid: S, native: 30 }) }, 1: { vlan: tunnel(30) } });
    const inner = tagged(ALL, mac(1), [C, 0, 7]);
    expect(rig.send(0, inner)[1]).toEqual([inner]);
    expect(rig.send(1, inner)[0]).toEqual([inner]);
  });
});

describe("a station", () => {
  test("is known in the VLAN it was seen in, and may be in several", () => {
    const rig = newRig({}, {}, {});
    rig.policy({ 0: { vlan: access(10) }, 1: { vlan: access(20) }, 2: { vlan: trunk() } });
    rig.send(0, frame(ALL, mac(1)));
    rig.send(1, frame(ALL, mac(1)));
    const to = (vid: number) => tagged(mac(1), mac(9), [C, 0, vid]);
    expect(rig.send(2, to(10), to(20))).toEqual([[frame(mac(1), mac(9))], [frame(mac(1), mac(9))], []]);
  });

  test("of another VLAN is not reached", () => {
    const rig = newRig({}, {}, {});
    rig.policy({ 0: { vlan: access(10) }, 1: { vlan: access(20) } });
    rig.send(0, frame(ALL, mac(1)));
    expect(rig.send(1, frame(mac(1), mac(2)))).toEqual([[], [], []]);
    expect(rig.drops(1)).toEqual({ no_destination: 1 });
  });
});

describe("rules", () => {
  test("that set a tag choose the VLAN, as far as the port is in it", () => {
    const rig = newRig({}, {}, {});
    const rules = rulesOf(
      [1, { "eth.src": 0x0200_0000_0001 }, { do: "set-vlan", id: 20 }],
      [1, { "eth.src": 0x0200_0000_0002 }, { do: "strip-vlan" }],
    );
    const both = trunk({ allowed: [[20, 20]], native: 10 });
    rig.policy({ 0: { vlan: both }, 1: { vlan: access(10) }, 2: { vlan: access(20) } }, {}, rules);
    expect(rig.send(0, frame(ALL, mac(1)))).toEqual([[], [], [frame(ALL, mac(1))]]);
    expect(rig.send(0, tagged(ALL, mac(2), [C, 0, 20]))).toEqual([[], [frame(ALL, mac(2))], []]);
    expect(rig.send(1, frame(ALL, mac(1)))).toEqual([[], [], []]);
    expect(rig.drops(1)).toEqual({ vlan: 1 });
  });

  test("forward a frame as it is, of whatever VLAN; and what is of none is not learned", () => {
    const rig = newRig({}, {});
    const ports = { 0: { vlan: access(10) }, 1: { vlan: access(20), priorityTags: true } };
    rig.policy(ports, {}, rulesOf([1, {}, { do: "forward", ports: [1] }]));
    const sent = [tagged(ALL, mac(1), [C, 5, 10]), tagged(ALL, mac(2), [C, 5, 99]), frame(ALL, mac(3))];
    expect(rig.send(0, ...sent)[1]).toEqual(sent);
    expect(
      [...fdbEntries(rig.fdb, 1)]
        .flat()
        .map((it) => it.mac)
        .sort(),
    ).toEqual(["02:00:00:00:00:01", "02:00:00:00:00:03"]);
  });

  test("mirror a frame as it was received", () => {
    const rig = newRig({}, {}, {});
    const ports = { 0: { vlan: access(10) }, 1: { vlan: access(10) }, 2: { vlan: access(20) } };
    rig.policy(ports, {}, rulesOf([1, {}, { do: "mirror", port: 2 }]));
    const sent = tagged(ALL, mac(1), [C, 5, 10]);
    expect(rig.send(0, sent)).toEqual([[], [frame(ALL, mac(1))], [sent]]);
  });
});

test("without VLANs on any port a bridge with policies leaves tags alone", () => {
  const rig = newRig({}, {});
  rig.policy({ 0: { isolated: true } });
  const sent = [tagged(ALL, mac(1), [C, 5, 99]), tagged(ALL, mac(1), [C, 0, 0], [S, 1, 4095]), frame(ALL, mac(3))];
  expect(rig.send(0, ...sent)[1]).toEqual(sent);
});
