// What rules write into a frame, byte for byte at the port that gets it, and that the sender's own memory stays as it was.

import { describe, expect, test } from "bun:test";
import type { Action } from "../../../src/dataplane/rules/rule.ts";
import { MAX_FRAME } from "../../../src/mem/batch.ts";
import { complete, frame, mac, macText, verifyTcp } from "../../support/frames.ts";
import { type FrameSpec, pattern, spec4, spec6 } from "../offload/reference.ts";
import { type PlanRig, usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const PAYLOAD = { payload: pattern(40) };

/** A rig whose rule does this to every frame that comes in on port 0 and sends it to port 1. */
function rewriting(...actions: Action[]): PlanRig {
  const rig = newRig({}, {});
  rig.rules(rulesOf([1, {}, ...actions, { do: "forward", ports: [1] }]));
  return rig;
}

/** What port 1 gets for a frame. */
function rewritten(bytes: Uint8Array, ...actions: Action[]): Uint8Array {
  return rewriting(...actions).send(0, bytes)[1][0];
}

function made(spec: FrameSpec): Uint8Array {
  return complete(mac(2), mac(1), spec);
}

const tagged = (type: number, tci: number, more: FrameSpec["tags"] = []) =>
  made(spec4({ ...PAYLOAD, tags: [{ type, tci }, ...more] }));
const untagged = made(spec4(PAYLOAD));

describe("set vlan", () => {
  test("adds an 802.1Q tag where there is none", () => {
    expect(rewritten(untagged, { do: "set-vlan", id: 100 })).toEqual(tagged(0x8100, 100));
    expect(rewritten(untagged, { do: "set-vlan", id: 4095, pcp: 7 })).toEqual(tagged(0x8100, 0xefff));
    expect(rewritten(untagged, { do: "set-vlan", pcp: 5 })).toEqual(tagged(0x8100, 0xa000));
  });

  test("changes what it names of an outer tag, and nothing else", () => {
    const inner = [{ type: 0x8100, tci: 0x2003 }];
    expect(rewritten(tagged(0x88a8, 0xf123, inner), { do: "set-vlan", id: 7 })).toEqual(tagged(0x88a8, 0xf007, inner));
    expect(rewritten(tagged(0x8100, 0x1fff), { do: "set-vlan", pcp: 3 })).toEqual(tagged(0x8100, 0x7fff));
    expect(rewritten(tagged(0x8100, 0x1fff), { do: "set-vlan", id: 0, pcp: 0 })).toEqual(tagged(0x8100, 0x1000));
  });

  test("tags the shortest frame, and one whose tag is cut short", () => {
    const short = frame(mac(2), mac(1), 14);
    expect([...rewritten(short, { do: "set-vlan", id: 9 })]).toEqual([...mac(2), ...mac(1), 0x81, 0, 0, 9, 0x88, 0xb5]);
    const cut = tagged(0x8100, 5).slice(0, 17);
    const expected = [...cut.subarray(0, 12), 0x81, 0, 0, 9, ...cut.subarray(12)];
    expect([...rewritten(cut, { do: "set-vlan", id: 9 })]).toEqual(expected);
  });

  test("makes no frame that is longer than any may be: it is dropped", () => {
    const rig = rewriting({ do: "set-vlan", id: 9 });
    const [, got] = rig.send(0, frame(mac(2), mac(1), MAX_FRAME - 4), frame(mac(2), mac(1), MAX_FRAME - 3));
    expect(got.map(({ length }) => length)).toEqual([MAX_FRAME]);
    expect(rig.drops(0)).toEqual({ oversized: 1 });
  });

  test("counts for the receiver's longest frame", () => {
    const rig = newRig({}, { maxFrame: 100 });
    rig.rules(rulesOf([1, {}, { do: "set-vlan", id: 9 }, { do: "forward", ports: [1] }]));
    const [, got] = rig.send(0, frame(mac(2), mac(1), 96), frame(mac(2), mac(1), 97));
    expect(got.map(({ length }) => length)).toEqual([100]);
    expect(rig.drops(1)).toEqual({ oversized: 1 });
  });
});

describe("strip vlan", () => {
  test("takes the outer tag off, of either kind", () => {
    expect(rewritten(tagged(0x8100, 0xf123), { do: "strip-vlan" })).toEqual(untagged);
    const inner = { type: 0x8100, tci: 5 };
    expect(rewritten(tagged(0x88a8, 7, [inner]), { do: "strip-vlan" })).toEqual(tagged(0x8100, 5));
  });

  test("leaves a frame without one as it is", () => {
    expect(rewritten(untagged, { do: "strip-vlan" })).toEqual(untagged);
    const cut = tagged(0x8100, 5).slice(0, 17);
    expect(rewritten(cut, { do: "strip-vlan" })).toEqual(cut);
  });

  test("leaves the shortest frame of one that has nothing behind its tag", () => {
    const cut = tagged(0x8100, 5).slice(0, 18);
    expect(rewritten(cut, { do: "strip-vlan" })).toEqual(untagged.slice(0, 14));
  });

  test("counts for the receiver's longest frame, and not for that of a mirror, which gets the tag", () => {
    const rig = newRig({}, { maxFrame: 100 }, { maxFrame: 100 });
    rig.rules(rulesOf([1, {}, { do: "mirror", port: 2 }, { do: "strip-vlan" }, { do: "forward", ports: [1] }]));
    const sent = frame(mac(2), mac(1), 104);
    sent.set([0x81, 0, 0, 5], 12);
    const got = rig.send(0, sent).map((frames) => frames.map(({ length }) => length));
    expect(got).toEqual([[], [100], []]);
    expect([rig.drops(1), rig.drops(2)]).toEqual([{}, { oversized: 1 }]);
  });
});

describe("set mac", () => {
  test("writes either address or both", () => {
    const both = rewritten(untagged, { do: "set-mac", src: "0a1b2c3d4e5f", dst: "06ffeeddccbb" });
    expect(macText([...both.subarray(0, 6)])).toBe("06:ff:ee:dd:cc:bb");
    expect(macText([...both.subarray(6, 12)])).toBe("0a:1b:2c:3d:4e:5f");
    expect(both.subarray(12)).toEqual(untagged.subarray(12));
    const source = rewritten(untagged, { do: "set-mac", src: "0a1b2c3d4e5f" });
    expect(source).toEqual(Uint8Array.from([...untagged.subarray(0, 6), ...both.subarray(6)]));
    const target = rewritten(untagged, { do: "set-mac", dst: "06ffeeddccbb" });
    expect(target).toEqual(Uint8Array.from([...both.subarray(0, 6), ...untagged.subarray(6)]));
  });

  test("decides where an allowed frame goes; what is learned is the source as it came", () => {
    const rig = newRig({}, {}, {});
    rig.station(mac(7), 2);
    rig.rules(rulesOf([1, {}, { do: "set-mac", src: "020000000063", dst: "020000000007" }, { do: "allow" }]));
    const [, b, c] = rig.send(0, frame(mac(2), mac(1)));
    expect([b, c]).toEqual([[], [frame(mac(7), mac(99))]]);
    expect(rig.learned).toEqual({ [macText(mac(1))]: 0 });
  });
});

describe("set dscp", () => {
  const dscpOf = (bytes: Uint8Array, l3: number, version: 4 | 6) =>
    version === 4 ? bytes[l3 + 1] : ((bytes[l3] & 15) << 4) | (bytes[l3 + 1] >> 4);

  test.each([0, 1, 10, 46, 63])("%i, in IPv4 with a right checksum, and in IPv6; ECN and the rest stay", (dscp) => {
    for (const tags of [
      [],
      [{ type: 0x8100, tci: 5 }],
      [
        { type: 0x88a8, tci: 5 },
        { type: 0x8100, tci: 6 },
      ],
    ]) {
      for (const spec of [
        spec4({ ...PAYLOAD, tags }),
        spec6({ ...PAYLOAD, tags }),
        spec4({ ...PAYLOAD, tags, ipOptions: [1, 1, 1, 0] }),
      ]) {
        const before = made(spec);
        const after = rewritten(before, { do: "set-dscp", dscp });
        const l3 = 14 + 4 * tags.length;
        const was = dscpOf(before, l3, spec.version);
        expect(dscpOf(after, l3, spec.version)).toBe(dscp * 4 + (was & 3));
        // Lengths and checksums of the whole frame, as a receiver checks them.
        expect(verifyTcp(after)?.payload).toEqual(Uint8Array.from(PAYLOAD.payload));
        const restored = after.slice();
        restored.set(before.subarray(l3, l3 + 2), l3);
        if (spec.version === 4) restored.set(before.subarray(l3 + 10, l3 + 12), l3 + 10);
        expect([...restored]).toEqual([...before]);
      }
    }
  });

  test("mends any checksum: every id, so that sums wrap around", () => {
    const rig = rewriting({ do: "set-dscp", dscp: 46 });
    for (let id = 0; id < 65_536; id += 64) {
      const frames = Array.from({ length: 64 }, (_, k) => made(spec4({ id: id + k })));
      const [, got] = rig.send(0, ...frames);
      expect(got.length).toBe(frames.length);
      for (const bytes of got) expect(verifyTcp(bytes)).not.toBeNull();
    }
  }, 60_000);

  test("leaves a wrong checksum wrong", () => {
    const wrong = made(spec4(PAYLOAD));
    wrong[24] ^= 0x40;
    expect(() => verifyTcp(rewritten(wrong, { do: "set-dscp", dscp: 46 }))).toThrow("wrong IPv4 header checksum");
  });

  test("changes nothing in what is no IP", () => {
    const other = frame(mac(2), mac(1));
    expect(rewritten(other, { do: "set-dscp", dscp: 46 })).toEqual(other);
    const cut = untagged.slice(0, 33);
    expect(rewritten(cut, { do: "set-dscp", dscp: 46 })).toEqual(cut);
  });

  test("finds the header behind a tag that came or went", () => {
    const set: Action = { do: "set-dscp", dscp: 11 };
    const marked = rewritten(untagged, set);
    const retagged = Uint8Array.from([...marked.subarray(0, 12), 0x81, 0, 0, 9, ...marked.subarray(12)]);
    expect(rewritten(untagged, { do: "set-vlan", id: 9 }, set)).toEqual(retagged);
    expect(rewritten(tagged(0x8100, 9), { do: "strip-vlan" }, set)).toEqual(marked);
  });
});

describe("several", () => {
  test("of one rule, and of rules that continue, apply in order", () => {
    const rig = newRig({}, {});
    rig.rules(
      rulesOf(
        [3, {}, { do: "set-vlan", id: 1 }, { do: "set-vlan", pcp: 2 }],
        [2, {}, { do: "strip-vlan" }, { do: "continue" }],
        [1, {}, { do: "set-vlan", id: 3 }, { do: "set-mac", dst: "020000000005" }, { do: "forward", ports: [1] }],
      ),
    );
    const [, [got]] = rig.send(0, untagged);
    expect(got).toEqual(complete(mac(5), mac(1), spec4({ ...PAYLOAD, tags: [{ type: 0x8100, tci: 3 }] })));
    expect([1, 2, 3].map((id) => rig.counted(id)[1])).toEqual(new Array(3).fill(untagged.length));
  });

  test("rules look at the frame as it was received", () => {
    const rig = newRig({}, {});
    rig.rules(
      rulesOf(
        [3, {}, { do: "set-vlan", id: 5 }, { do: "set-mac", dst: "020000000005" }],
        [2, { "vlan.id": 5 }, { do: "drop" }],
        [2, { "eth.dst": 0x020000000005n }, { do: "drop" }],
      ),
    );
    expect(rig.send(0, untagged)[1].length).toBe(1);
  });
});

describe("the sender", () => {
  test("has the same bytes in its memory afterwards", () => {
    const rig = rewriting(
      { do: "set-mac", dst: "0a0000000001" },
      { do: "set-vlan", id: 5 },
      { do: "set-dscp", dscp: 1 },
    );
    const long = made(spec4({ payload: pattern(1000) }));
    const [at] = rig.put(long);
    const [first, second] = rig.put([long.subarray(0, 20), long.subarray(20)]);
    rig.run(0);
    const there = (start: number, size: number) => [...rig.bytes.subarray(start, start + size)];
    expect(there(at, long.length)).toEqual([...long]);
    expect(there(first, 20)).toEqual([...long.subarray(0, 20)]);
    expect(there(second, long.length - 20)).toEqual([...long.subarray(20)]);
    expect(rig.lanes[1].frames[0]).toEqual(rig.lanes[1].frames[1]);
  });
});
