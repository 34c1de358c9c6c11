// A partial checksum, or a segment's fields, that would be written over what rules have looked at: the frame goes nowhere, whoever
// would have written it.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEADER_BYTES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import { OFFLOAD_ALL } from "../../../src/mem/batch.ts";
import {
  complete,
  GSO_ECN,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  mac,
  NEEDS_CSUM,
  netHeader,
} from "../../support/frames.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";
import { pattern, spec4, spec6 } from "../offload/reference.ts";
import { type PlanRig, usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();

/** Sends a frame whose checksum field is at `field`; tells whether it arrived. */
function arrives(rig: PlanRig, bytes: Uint8Array, field: number): boolean {
  rig.lanes[1].given.length = 0;
  rig.put(bytes, netHeader({ flags: NEEDS_CSUM, csumStart: Math.min(14, field), csumOffset: Math.max(0, field - 14) }));
  rig.run(0);
  return rig.lanes[1].given.length === 1;
}

function passing(): PlanRig {
  const rig = newRig({}, { accepts: OFFLOAD_ALL });
  rig.rules(rulesOf([1, {}, { do: "forward", ports: [1] }]));
  return rig;
}

const ARP = Uint8Array.from([
  ...[...mac(2), ...mac(1), 8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
  ...[...mac(1), 10, 0, 0, 1, ...mac(2), 10, 0, 0, 2],
  ...new Array(18).fill(0),
]);
const sctp = complete(mac(2), mac(1), spec4({ transport: "udp", payload: pattern(30) }));
sctp[23] = 132;

describe("the field of a checksum", () => {
  const FRAMES: [string, Uint8Array, number][] = [
    ["TCP over IPv4: behind the flags", complete(mac(2), mac(1), spec4({ payload: pattern(30) })), 48],
    [
      "UDP over IPv4: behind the ports",
      complete(mac(2), mac(1), spec4({ transport: "udp", payload: pattern(30) })),
      38,
    ],
    ["SCTP: behind the ports", sctp, 38],
    ["TCP over IPv6", complete(mac(2), mac(1), spec6({ payload: pattern(30) })), 54 + 14],
    [
      "TCP behind a tag",
      complete(mac(2), mac(1), spec4({ tags: [{ type: 0x8100, tci: 5 }], payload: pattern(30) })),
      52,
    ],
    ["ARP: behind its addresses", ARP, 42],
  ];
  test.each(FRAMES)("of %s", (_, bytes, from) => {
    const rig = passing();
    expect(arrives(rig, bytes, from - 1)).toBe(false);
    for (let field = from; field + 2 <= bytes.length; field++)
      expect([field, arrives(rig, bytes, field)]).toEqual([field, true]);
    expect(rig.drops(0)).toEqual({ offload: 1 });
  });

  test("is refused for a frame that is like the one before it, too, and rules do not count it", () => {
    const rig = passing();
    const [, bytes, from] = FRAMES[0];
    const header = (field: number) => netHeader({ flags: NEEDS_CSUM, csumStart: 34, csumOffset: field - 34 });
    for (const field of [50, from - 1, 50, 36, 50]) rig.put(bytes, header(field));
    rig.run(0);
    expect(rig.lanes[1].given.map(({ csumOffset }) => csumOffset)).toEqual([16, 16, 16]);
    expect([rig.drops(0), rig.counted(1)[0]]).toEqual([{ offload: 2 }, 3]);
  });
});

describe("a frame has no place for a checksum", () => {
  const six = (kind: number, body: number[]) =>
    complete(mac(2), mac(1), spec6({ payload: pattern(40), extensions: [{ kind, body }] }));
  const changed = (bytes: Uint8Array, at: number, value: number) => bytes.map((byte, k) => (k === at ? value : byte));
  const v4 = complete(mac(2), mac(1), spec4({ payload: pattern(60) }));
  const v6 = complete(mac(2), mac(1), spec6({ payload: pattern(60) }));

  test.each([
    ["a fragment", changed(v4, 20, 0x20)],
    ["an IPv4 header that is too short", changed(v4, 14, 0x44)],
    ["an IPv4 packet that ends in its header", changed(changed(v4, 16, 0), 17, 10)],
    ["IPv6 of another version", changed(v6, 14, 0x50)],
    ["an ARP packet of another network", changed(ARP, 15, 6)],
    ["a fragment header", six(44, [0, 0, 0, 0, 0, 1])],
    ["an authentication header", six(51, new Array(14).fill(0))],
  ])("that is %s", (_, bytes) => {
    const rig = passing();
    for (let field = 0; field + 2 <= Math.min(bytes.length, HEADER_BYTES); field++)
      expect([field, arrives(rig, bytes, field)]).toEqual([field, false]);
  });

  test("in its extension headers, whatever length these say they have", () => {
    const rig = passing();
    const bytes = six(60, new Array(14).fill(0));
    expect([arrives(rig, bytes, 54 + 16 + 13), arrives(rig, bytes, 54 + 16 + 14)]).toEqual([false, true]);
    const long = changed(bytes, 55, 200);
    for (let field = 0; field + 2 <= Math.min(bytes.length, HEADER_BYTES); field++)
      expect([field, arrives(rig, long, field)]).toEqual([field, false]);
  });
});

describe("a super-frame's checksum begins with the header that is cut:", () => {
  const payload = pattern(3000);
  const options = { kind: 60, body: [0, 0, 0, 0, 0, 0] };
  const FRAMES: [string, Uint8Array, gsoType: number, l4: number][] = [
    ["TCP over IPv4", complete(mac(2), mac(1), spec4({ payload })), GSO_TCPV4, 34],
    ["TCP with ECN", complete(mac(2), mac(1), spec4({ payload })), GSO_TCPV4 | GSO_ECN, 34],
    ["TCP over IPv6", complete(mac(2), mac(1), spec6({ payload })), GSO_TCPV6, 54],
    ["TCP behind options", complete(mac(2), mac(1), spec6({ payload, extensions: [options] })), GSO_TCPV6, 62],
    ["UDP", complete(mac(2), mac(1), spec4({ payload, transport: "udp" })), GSO_UDP_L4, 34],
  ];
  /** Where it may begin, with a field that nothing is wrong with. */
  const begins = (bytes: Uint8Array, gsoType: number, field: number): number[] => {
    const rig = passing();
    return Array.from({ length: field + 1 }, (_, csumStart) => csumStart).filter((csumStart) => {
      rig.lanes[1].given.length = 0;
      const header = { flags: NEEDS_CSUM, gsoType, gsoSize: 1000, csumStart, csumOffset: field - csumStart };
      rig.put(bytes, netHeader(header));
      rig.run(0);
      return rig.lanes[1].given.length === 1;
    });
  };
  const BEHIND = HEADER_BYTES - 1;

  test.each(FRAMES)("%s", (_, bytes, gsoType, l4) => {
    expect(begins(bytes, gsoType, BEHIND)).toEqual([l4]);
  });

  test("one that is cut as TCP and is UDP has none, nor has what is no IP", () => {
    const [udp] = FRAMES.slice(-1);
    expect(begins(udp[1], GSO_TCPV4, BEHIND)).toEqual([]);
    expect(begins(FRAMES[0][1], GSO_UDP_L4, BEHIND)).toEqual([]);
    expect(begins(udp[1].with(12, 0x88).with(13, 0xb5), GSO_TCPV4, BEHIND)).toEqual([]);
  });

  test.each(FRAMES)("%s, and the packet says that it has that header", (_, bytes, gsoType, l4) => {
    const isUdp = gsoType === GSO_UDP_L4;
    const [start, at] = bytes[12] === 8 ? [14, 16] : [54, 18];
    const header = { flags: NEEDS_CSUM, gsoType, gsoSize: 1000, csumStart: l4, csumOffset: isUdp ? 6 : 16 };
    const rig = newRig({}, { accepts: OFFLOAD_ALL });
    // Whoever cuts it writes another length, and so a header that this rule would have seen.
    rig.rules(
      rulesOf(
        [2, { [isUdp ? "udp.dport" : "tcp.dport"]: 0x1451 }, { do: "drop" }],
        [1, {}, { do: "forward", ports: [1] }],
      ),
    );
    const lengths = Array.from({ length: 100 }, (_, length) => length);
    for (const length of [...lengths, bytes.length - start]) {
      rig.put(bytes.with(at, length >> 8).with(at + 1, length), netHeader(header));
      rig.run(0);
    }
    expect(rig.lanes[1].given.length).toBe(0);
    const whole = l4 - start + (isUdp ? 8 : 20);
    expect(rig.drops(0)).toEqual({ offload: whole - 1, rule: lengths.length - whole + 2 });
  });

  test.each([4, 6])("in IPv%d its segments have a flag at least", (version) => {
    const spec = { payload, flags: 0x09, partial: true };
    const bytes = complete(mac(2), mac(1), version === 4 ? spec4(spec) : spec6(spec));
    const l4 = version === 4 ? 34 : 54;
    const gsoType = version === 4 ? GSO_TCPV4 : GSO_TCPV6;
    const rig = newRig({}, { accepts: 0 });
    // No flag is set: what probes for ports sends, and no stack.
    rig.rules(rulesOf([2, { "tcp.flags": 0 }, { do: "drop" }], [1, {}, { do: "forward", ports: [1] }]));
    for (const flags of [0x09, 0x80, 0x19]) {
      rig.put(
        bytes.with(l4 + 13, flags),
        netHeader({ flags: NEEDS_CSUM, gsoType, gsoSize: 1000, csumStart: l4, csumOffset: 16 }),
      );
    }
    rig.run(0);
    expect(rig.lanes[1].frames.map((segment) => segment[l4 + 13])).toEqual([0x10, 0x10, 0x19]);
    expect(rig.drops(0)).toEqual({ offload: 2 });
  });

  test("behind what rules look at it may begin anywhere", () => {
    const [, bytes, gsoType] = FRAMES[0];
    const found = begins(bytes, gsoType, HEADER_BYTES + 10);
    expect(found).toEqual([34, ...Array.from({ length: 11 }, (_, k) => HEADER_BYTES + k)]);
    // In a packet, though, that goes on up to there.
    expect(begins(bytes.with(16, 0).with(17, HEADER_BYTES + 20 - 14), gsoType, HEADER_BYTES + 10)).toEqual([
      34,
      HEADER_BYTES,
    ]);
  });
});

test("whatever is written there, the frame's key stays the same", () => {
  const keyOf = (bytes: Uint8Array) => {
    const header = new Uint8Array(HEADER_BYTES);
    header.set(bytes.subarray(0, HEADER_BYTES));
    const key = new Int32Array(KEY_WORDS);
    parseKey(new DataView(header.buffer), 0, bytes.length, 0, key);
    return [...key];
  };
  const anyWritten = fc.oneof(fc.nat(0xffff), fc.constantFrom(0, 0xffff, 0x0608, 0x4500, 0x0000, 0x1100, 0x0600));
  const anyCase = fc.record({ frame: anyFrame, field: fc.nat(130), written: anyWritten });
  const rig = passing();
  let passed = 0;
  fc.assert(
    fc.property(anyCase, ({ frame, field, written }) => {
      if (field + 2 > frame.length || !arrives(rig, frame, field)) return;
      passed++;
      const after = frame.slice();
      after.set([written >> 8, written & 0xff], field);
      expect(keyOf(after)).toEqual(keyOf(frame));
    }),
    { numRuns: sized(10_000, 500_000) },
  );
  expect(passed).toBeGreaterThan(300);
}, 120_000);
