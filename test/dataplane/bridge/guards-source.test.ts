// Source guard: who is not listed does not get in, and who is does with its own addresses only; what a host needs to come up passes.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { IP4, IP6, prefixMask } from "../../../src/core/ip.ts";
import type { SourceBinding } from "../../../src/dataplane/bridge/policy.ts";
import { BURST } from "../../../src/mem/batch.ts";
import { BROADCAST, frame, type Mac, mac, macText, NEEDS_CSUM, netHeader } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import {
  ARP,
  address,
  advertisement,
  arp,
  arpReply,
  arpRequest,
  type Extension,
  framed,
  ICMPV6,
  IPV4,
  IPV6,
  ip4,
  ip6,
  nd,
  options,
  solicitation,
  type Tag,
  udp,
} from "./guard-frames.ts";

const rigOf = usePlanRig();
const OWN = mac(1);
const OTHER = mac(60_000);
const LISTED: SourceBinding[] = [{ mac: "020000000001", ips: ["10.0.0.5/32", "10.1.0.0/16", "fd00:1::/64"] }];
/** fe80::/64 and 02:00:00:00:00:01 as modified EUI-64. */
const LINK_LOCAL = "fe80::ff:fe00:1";
const OTHERS_LINK_LOCAL = "fe80::ff:fe00:2";

/** Whether each frame gets in at a port with these stations. */
function admitted(sources: SourceBinding[], ...frames: Uint8Array[]): boolean[] {
  const rig = rigOf({}, {});
  rig.policy({ 0: { sources } });
  const verdicts = frames.map((bytes) => rig.send(0, bytes)[1].length === 1);
  const refused = verdicts.filter((it) => !it).length;
  expect(rig.drops(0)).toEqual(refused === 0 ? {} : { source_guard: refused });
  return verdicts;
}

const from4 = (source: string, ...tags: Tag[]) =>
  framed(OTHER, OWN, IPV4, ip4(source, "10.9.9.9", 17, udp(5, 6)), ...tags);
const from6 = (source: string) => framed(OTHER, OWN, IPV6, ip6(source, "fd00::9", 17, udp(5, 6)));

/** Destination options of three times 8 bytes. */
const DISGUISE: Extension = [60, [2, 1, 20, 0, 0, 0, 0, ...address("fd00:1::77")]];

const CASES: [string, boolean, Uint8Array][] = [
  ["its address", true, from4("10.0.0.5")],
  ["an address of its prefix", true, from4("10.1.200.3")],
  ["a stolen address", false, from4("10.0.0.6")],
  ["a stolen address behind a tag", false, from4("10.0.0.6", [0x8100, 10])],
  ["its address behind two tags", true, from4("10.0.0.5", [0x88a8, 10], [0x8100, 11])],
  ["its address behind three tags", false, from4("10.0.0.5", [0x8100, 0], [0x8100, 0], [0x8100, 0])],
  ["a MAC that is not listed", false, framed(OTHER, mac(9), IPV4, ip4("10.0.0.5", "10.9.9.9", 17, udp(5, 6)))],
  ["no IP at all", true, frame(OTHER, OWN)],
  [
    "IPv4 that is none",
    false,
    framed(OTHER, OWN, IPV4, [0x55, ...ip4("10.0.0.5", "10.9.9.9", 17, udp(5, 6)).slice(1)]),
  ],
  [
    "IPv6 that is none",
    false,
    framed(OTHER, OWN, IPV6, [0x50, ...ip6("fd00:1::1", "fd00::9", 17, udp(5, 6)).slice(1)]),
  ],
  [
    "802.3 with SNAP",
    false,
    framed(OTHER, OWN, 40, [0xaa, 0xaa, 3, 0, 0, 0, 8, 0, ...ip4("10.0.0.6", "10.9.9.9", 17, [])]),
  ],
  ["802.3 with a BPDU", true, framed(OTHER, OWN, 38, [0x42, 0x42, 3, 0, 0])],
  [
    "a DHCP client without an address",
    true,
    framed(BROADCAST, OWN, IPV4, ip4("0.0.0.0", "255.255.255.255", 17, udp(68, 67))),
  ],
  [
    "something else without an address",
    false,
    framed(BROADCAST, OWN, IPV4, ip4("0.0.0.0", "255.255.255.255", 17, udp(68, 68))),
  ],
  ["ARP of its own", true, arpRequest(OWN, "10.0.0.5", "10.0.0.9")],
  ["an ARP probe for its address", true, arpRequest(OWN, "0.0.0.0", "10.0.0.5")],
  ["an ARP probe that takes another's address", false, arpRequest(OWN, "0.0.0.0", "10.0.0.9")],
  ["an ARP reply from nowhere", false, arpReply(OTHER, OWN, "0.0.0.0", "10.0.0.9")],
  ["an ARP reply for another's address", false, arpReply(OTHER, OWN, "10.0.0.6", "10.0.0.9")],
  ["an ARP reply with another's MAC", false, framed(OTHER, OWN, ARP, arp(2, OTHER, "10.0.0.5", "10.0.0.9"))],
  ["ARP that is none", false, framed(BROADCAST, OWN, ARP, [0, 1, 8, 0, 6, 16])],
  ["its IPv6 address", true, from6("fd00:1::77")],
  ["a stolen IPv6 address", false, from6("fd00:2::77")],
  ["the link-local address of its MAC", true, from6(LINK_LOCAL)],
  ["another link-local address", false, from6(OTHERS_LINK_LOCAL)],
  ["nobody in IPv6", false, from6("::")],
  ["a check for duplicates of its address", true, solicitation(OWN, "::", "fd00:1::77")],
  ["a check for duplicates of its link-local address", true, solicitation(OWN, "::", LINK_LOCAL)],
  ["a check for duplicates that takes another's address", false, solicitation(OWN, "::", "fd00:2::77")],
  [
    "a router solicitation from nowhere",
    true,
    framed([0x33, 0x33, 0, 0, 0, 2], OWN, IPV6, ip6("::", "ff02::2", ICMPV6, [133, 0, 0, 0, 0, 0, 0, 0])),
  ],
  [
    "a listener report from nowhere",
    true,
    framed(
      [0x33, 0x33, 0, 0, 0, 22],
      OWN,
      IPV6,
      ip6("::", "ff02::16", ICMPV6, [143, 0, 0, 0, 0, 0, 0, 0], [options(0)], 1),
    ),
  ],
  ["a solicitation of another", true, solicitation(OWN, LINK_LOCAL, "fd00:2::77")],
  ["an advertisement of its own", true, advertisement(OTHER, OWN, "fd00:1::77", "fd00:1::9")],
  [
    "an advertisement for another from its own address",
    false,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:2::77"))),
  ],
  [
    "an advertisement behind an extension header",
    false,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:1::77"), [options(60)])),
  ],
  [
    "an advertisement for another, behind a header that holds its own address where a target would be",
    false,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:2::77"), [DISGUISE])),
  ],
  [
    "an advertisement of its own behind two tags",
    true,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:1::77")), [0x88a8, 1], [0x8100, 2]),
  ],
  [
    "an advertisement cut short",
    false,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:1::77"))).subarray(0, 70),
  ],
  [
    "headers too long to be judged",
    false,
    framed(OTHER, OWN, IPV6, ip6("fd00:1::77", "fd00:1::9", ICMPV6, nd(136, "fd00:2::77"), [options(60, 12)])),
  ],
];

test.each(CASES)("a station with addresses: %s", (_, expected, bytes) => {
  expect(admitted(LISTED, bytes)).toEqual([expected]);
});

describe("the list", () => {
  test("may be empty: then nobody gets in", () => {
    expect(admitted([], from4("10.0.0.5"), frame(OTHER, OWN))).toEqual([false, false]);
  });

  test("a station without addresses may use all, with its own MAC in ARP", () => {
    const any = [{ mac: "020000000001", ips: [] }];
    const forged = framed(OTHER, OWN, ARP, arp(2, OTHER, "10.0.0.5", "10.0.0.9"));
    expect(
      admitted(any, from4("1.2.3.4"), from6("fe80::9"), arpReply(OTHER, OWN, "9.9.9.9", "8.8.8.8"), forged),
    ).toEqual([true, true, true, false]);
  });

  test("a station without addresses says in no kind of ARP that it is another", () => {
    const any = [{ mac: "020000000001", ips: [] }];
    const forged = arp(2, OTHER, "10.0.0.5", "10.0.0.9");
    const untyped: Tag = [0x8100, 0];
    expect(
      admitted(
        any,
        framed(OTHER, OWN, ARP, [0, 6, ...forged.slice(2)]),
        framed(OTHER, OWN, 36, [0xaa, 0xaa, 3, 0, 0, 0, 8, 6, ...forged]),
        framed(OTHER, OWN, ARP, forged, untyped, untyped, untyped),
      ),
    ).toEqual([false, false, false]);
  });

  test("a station with IPv4 addresses only sends no IPv6, not even from its link-local address", () => {
    const only4 = [{ mac: "020000000001", ips: ["10.0.0.5"] }];
    const solicit = framed(
      [0x33, 0x33, 0, 0, 0, 2],
      OWN,
      IPV6,
      ip6("::", "ff02::2", ICMPV6, [133, 0, 0, 0, 0, 0, 0, 0]),
    );
    const duplicates = solicitation(OWN, "::", LINK_LOCAL);
    expect(admitted(only4, from4("10.0.0.5"), from6(LINK_LOCAL), duplicates, solicit)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test("is each port's own, and does not hold for ports without one", () => {
    const rig = rigOf({}, {}, {});
    rig.policy({ 0: { sources: LISTED }, 1: { sources: [{ mac: "020000000002", ips: [] }] } });
    expect(rig.send(1, frame(BROADCAST, OWN)).flat()).toEqual([]);
    expect(rig.send(2, frame(BROADCAST, mac(9))).map((got) => got.length)).toEqual([1, 1, 0]);
    expect([rig.drops(1), rig.drops(2)]).toEqual([{ source_guard: 1 }, {}]);
  });

  test("holds for every frame of a flow, and none of those that are refused is learned", () => {
    const rig = rigOf({}, {});
    rig.policy({ 0: { sources: LISTED } });
    const flow = (source: string) =>
      Array<Uint8Array>(BURST / 2).fill(
        framed(OTHER, OWN, IPV4, ip4(source, "10.9.9.9", 17, udp(5, 6, Array(40).fill(7)))),
      );
    expect(rig.send(0, ...flow("10.0.0.6"), ...flow("10.0.0.5"))[1]).toHaveLength(BURST / 2);
    expect(rig.drops(0)).toEqual({ source_guard: BURST / 2 });
    rig.send(0, frame(OTHER, mac(9)));
    expect(rig.learned).toEqual({ [macText(OWN)]: 0 });
  });

  test.each(["10.0.0.5/33", "10.0.0", "fe80::/129", "fe80::1/64/2", "1.2.3.4/", "x", "1.2.3.4/-1"])(
    "refuses %s as an address",
    (ip) => {
      const rig = rigOf({}, {});
      expect(() => rig.policy({ 0: { sources: [{ mac: "020000000001", ips: [ip] }] } })).toThrow(
        "is no address or prefix",
      );
    },
  );
});

const anyWord = fc.constantFrom(0n, 1n, 0x0a000001n, 0x0a000100n, 0x80000000n, 0xffffffffn);
const anyIp4 = anyWord.map((value) => ({ value, version: IP4 }));
const anyIp6 = fc
  .array(anyWord, { minLength: 4, maxLength: 4 })
  .map((words) => ({ value: words.reduce<bigint>((sum, word) => (sum << 32n) | word, 0n), version: IP6 }));
const anyIp = fc.oneof(anyIp4, anyIp6);
const anyPrefix = fc
  .tuple(anyIp, fc.nat({ max: 128 }))
  .map(([ip, bits]) => ({ ...ip, bits: bits % (ip.version.bits + 1) }));
const anyStation = fc.record({
  port: fc.nat({ max: 2 }),
  station: fc.nat({ max: 3 }),
  prefixes: fc.array(anyPrefix, { maxLength: 3 }),
});

test("stations and prefixes at random are judged as a list read from top to bottom", () => {
  const frameOf = (from: Mac, { value, version }: { value: bigint; version: typeof IP4 }) =>
    version.version === 4
      ? framed(OTHER, from, IPV4, ip4(version.format(value), "10.9.9.9", 17, udp(5, 6)))
      : framed(OTHER, from, IPV6, ip6(version.format(value), "fd00::9", 17, udp(5, 6)));
  const rig = rigOf({}, {}, {}, {});
  fc.assert(
    fc.property(
      fc.array(anyStation, { maxLength: 12 }),
      fc.array(fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 3 }), anyIp), { minLength: 1, maxLength: 8 }),
      (stations, sent) => {
        const sources = (port: number) =>
          stations
            .filter((it) => it.port === port)
            .map(({ station, prefixes }) => ({
              mac: macText(mac(station)).replaceAll(":", ""),
              ips: prefixes.map(({ value, version, bits }) => `${version.format(value)}/${bits}`),
            }));
        rig.policy({ 0: { sources: sources(0) }, 1: { sources: sources(1) }, 2: { sources: sources(2) } });
        for (const [port, station, ip] of sent) {
          const own = stations.filter((it) => it.port === port && it.station === station);
          const expected = own.some(
            ({ prefixes }) =>
              prefixes.length === 0 ||
              prefixes.some(({ value, version, bits }) => {
                const mask = prefixMask(version.bits, bits);
                return version === ip.version && (value & mask) === (ip.value & mask);
              }),
          );
          // :: and the link-local address, which are not in the pool but for ::, are for the table above.
          if (ip.version === IP6 && ip.value === 0n) continue;
          expect(rig.send(port, frameOf(mac(station), ip))[3]).toHaveLength(expected ? 1 : 0);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test.each([
  ["an advertisement", advertisement(OTHER, OWN, "fd00:1::5", "fd00:1::9")],
  ["an advertisement behind a tag", advertisement(OTHER, OWN, "fd00:1::5", "fd00:1::9", [0x8100, 5])],
  ["a check for duplicates", solicitation(OWN, "::", "fd00:1::5")],
])("the target of %s is not written anew by a checksum that is still to be completed", (_, bytes) => {
  // The receiver takes no partial checksums, so the switch writes it.
  const rig = rigOf({}, { accepts: 0 });
  rig.policy({ 0: { sources: [{ mac: "020000000001", ips: ["fd00:1::5/128"] }] } });
  const l4 = bytes.length - 24;
  const through = Array.from({ length: 23 }, (_, at) => at).filter((at) => {
    rig.lanes[1].given.length = 0;
    rig.put(bytes, netHeader({ flags: NEEDS_CSUM, csumStart: l4, csumOffset: at }));
    rig.run(0);
    return rig.lanes[1].given.length === 1;
  });
  // Behind type and code, and before the target.
  expect(through).toEqual([2, 3, 4, 5, 6]);
});

test.each([
  ["no tag", []],
  ["a tag", [[0x8100, 5]]],
] as [string, Tag[]][])(
  "no checksum makes SNAP of an 802.3 frame with %s, which might hold anybody's IP",
  (_, tags) => {
    const rig = rigOf({}, { accepts: 0 });
    rig.policy({ 0: { sources: [{ mac: "020000000001", ips: ["fd00:1::5/128"] }] } });
    const bytes = framed(OTHER, OWN, 40, [0x42, 0x42, 3, 0, 0, 0, 8, 0, ...Array(40).fill(0)], ...tags);
    const llc = 14 + 4 * tags.length;
    const through = Array.from({ length: 12 }, (_, at) => at).filter((at) => {
      rig.lanes[1].given.length = 0;
      rig.put(bytes, netHeader({ flags: NEEDS_CSUM, csumStart: llc, csumOffset: at }));
      rig.run(0);
      return rig.lanes[1].given.length === 1;
    });
    expect(through).toEqual([8, 9, 10, 11]);
  },
);

test("a thousand stations at a port are all found, and none beside them", () => {
  const rig = rigOf({}, {});
  const sources = Array.from({ length: 1000 }, (_, k) => ({
    mac: macText(mac(k)).replaceAll(":", ""),
    ips: [`10.0.${k >> 8}.${k & 255}`],
  }));
  rig.policy({ 0: { sources } });
  for (let k = 0; k < 1100; k++) {
    const own = framed(OTHER, mac(k), IPV4, ip4(`10.0.${k >> 8}.${k & 255}`, "10.9.9.9", 17, udp(5, 6)));
    const stolen = framed(OTHER, mac(k), IPV4, ip4("10.0.99.1", "10.9.9.9", 17, udp(5, 6)));
    expect(rig.send(0, own, stolen)[1]).toHaveLength(k < 1000 ? 1 : 0);
  }
});
