// DHCP guard and RA guard: what servers and routers say does not get in, however it is wrapped; all else does.

import { expect, test } from "bun:test";
import { frame, type Mac, mac } from "../../support/frames.ts";
import { usePlanRig } from "../rules/plan-rig.ts";
import {
  type Extension,
  fragmentHeader,
  framed,
  ICMPV6,
  IPV4,
  IPV6,
  ip4,
  ip6,
  nd,
  options,
  type Tag,
  udp,
} from "./guard-frames.ts";

const rigOf = usePlanRig();
const OWN = mac(1);
const OTHER = mac(2);
const ROUTERS: Mac = [0x33, 0x33, 0, 0, 0, 1];

const offer = ip4("10.0.0.1", "255.255.255.255", 17, udp(67, 68));
const udp4 = (payload: number[], fragment: number) =>
  framed(OTHER, OWN, IPV4, ip4("10.0.0.1", "10.0.0.2", 17, payload, fragment));
const in4 = (payload: number[], ...tags: Tag[]) => framed(OTHER, OWN, IPV4, payload, ...tags);
const in6 = (protocol: number, payload: number[], extensions: Extension[] = [], ...tags: Tag[]) =>
  framed(ROUTERS, OWN, IPV6, ip6("fe80::1", "ff02::1", protocol, payload, extensions), ...tags);
const advert = [134, 0, 0, 0, 64, 0, 7, 8, ...Array(8).fill(0)];
const redirect = [...nd(137, "fe80::9"), ...Array(16).fill(0)];
const reply6 = udp(547, 546);
const MORE = 0x2000;
const hopByHop = options(0);

type Case = [string, drops: Record<string, number>, Uint8Array];
const DHCP = { dhcp_guard: 1 };
const RA = { ra_guard: 1 };

const DHCP_CASES: Case[] = [
  ["an offer", DHCP, in4(offer)],
  ["an offer behind two tags", DHCP, in4(offer, [0x88a8, 5], [0x8100, 6])],
  ["an offer behind three tags", DHCP, in4(offer, [0x8100, 0], [0x8100, 0], [0x8100, 0])],
  ["an offer in 802.3 with SNAP", DHCP, framed(OTHER, OWN, 60, [0xaa, 0xaa, 3, 0, 0, 0, 8, 0, ...offer])],
  ["the same behind a tag", DHCP, framed(OTHER, OWN, 60, [0xab, 0xaa, 3, 0, 0, 0, 8, 0, ...offer], [0x8100, 0])],
  [
    "the same behind two tags",
    DHCP,
    framed(OTHER, OWN, 60, [0xaa, 0xab, 3, 0, 0, 0, 8, 0, ...offer], [0x88a8, 1], [0x8100, 0]),
  ],
  ["IPv4 that is none", DHCP, in4([0x55, ...offer.slice(1)])],
  ["what a client asks", {}, in4(ip4("0.0.0.0", "255.255.255.255", 17, udp(68, 67)))],
  ["to port 67 and from another", {}, in4(ip4("10.0.0.1", "10.0.0.2", 17, udp(1067, 67)))],
  ["an offer's first fragment", DHCP, udp4(udp(67, 68), MORE)],
  ["a first fragment without ports", DHCP, udp4([0, 67, 0, 68], MORE)],
  ["a later fragment", {}, udp4(udp(67, 68), 185)],
  ["an offer from another port", DHCP, in4(ip4("10.0.0.1", "255.255.255.255", 17, udp(1067, 68)))],
  ["another's first fragment", {}, udp4(udp(53, 69), MORE)],
  ["TCP from port 67", {}, in4(ip4("10.0.0.1", "10.0.0.2", 6, [0, 67, 0, 68, ...Array(16).fill(0)]))],
  ["a DHCPv6 reply", DHCP, in6(17, reply6)],
  ["a DHCPv6 reply from another port", DHCP, in6(17, udp(1547, 546))],
  ["a DHCPv6 reply behind extension headers", DHCP, in6(17, reply6, [hopByHop, options(60), options(43)])],
  ["a DHCPv6 reply behind headers too long to be judged", DHCP, in6(17, reply6, [options(60, 12)])],
  ["a DHCPv6 reply behind too many headers", DHCP, in6(17, reply6, Array(9).fill(options(60)))],
  ["a DHCPv6 reply's first fragment", DHCP, in6(17, reply6, [fragmentHeader(0, true)])],
  ["a first fragment without the chain's end", DHCP, in6(60, [], [fragmentHeader(0, true)])],
  ["a later fragment of IPv6", {}, in6(17, reply6, [fragmentHeader(8, false)])],
  ["what a DHCPv6 client asks", {}, in6(17, udp(546, 547))],
  ["a router advertisement", {}, in6(ICMPV6, advert)],
  ["no IP", {}, frame(OTHER, OWN)],
];

const RA_CASES: Case[] = [
  ["a router advertisement", RA, in6(ICMPV6, advert)],
  ["a router advertisement behind a priority tag", RA, in6(ICMPV6, advert, [], [0x8100, 0xe000])],
  ["a router advertisement behind three tags", RA, in6(ICMPV6, advert, [], [0x8100, 0], [0x8100, 0], [0x8100, 0])],
  [
    "a router advertisement in 802.3 with SNAP",
    RA,
    framed(ROUTERS, OWN, 60, [0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd, ...ip6("fe80::1", "ff02::1", ICMPV6, advert)]),
  ],
  ["a router advertisement behind extension headers", RA, in6(ICMPV6, advert, [hopByHop, options(60, 2)])],
  ["a router advertisement in a whole fragment", RA, in6(ICMPV6, advert, [fragmentHeader(0, false)])],
  ["a router advertisement's first fragment", RA, in6(ICMPV6, advert, [fragmentHeader(0, true)])],
  ["a first fragment of options alone", RA, in6(ICMPV6, [], [fragmentHeader(0, true), options(60, 3)])],
  ["a first fragment that ends within its options", RA, in6(60, [58, 9, 1, 4, 0, 0, 0, 0], [fragmentHeader(0, true)])],
  ["a chain too long to be judged", RA, in6(ICMPV6, advert, [options(60, 12)])],
  ["an extension header that nobody knows", RA, in6(253, [58, 0, 0, 0, 0, 0, 0, 0, ...advert])],
  ["a redirect", RA, in6(ICMPV6, redirect)],
  ["IPv6 that is none", RA, framed(ROUTERS, OWN, IPV6, [0x70, ...ip6("fe80::1", "ff02::1", ICMPV6, advert).slice(1)])],
  ["a later fragment", {}, in6(ICMPV6, advert, [fragmentHeader(8, false)])],
  ["a router solicitation", {}, in6(ICMPV6, [133, 0, 0, 0, 0, 0, 0, 0])],
  ["a neighbour advertisement", {}, in6(ICMPV6, nd(136, "fe80::1"))],
  ["UDP behind extension headers", {}, in6(17, udp(5, 6), [hopByHop, options(60)])],
  ["encrypted", {}, in6(50, Array(16).fill(1))],
  ["a DHCPv6 reply", {}, in6(17, reply6)],
  ["ICMP in IPv4 with that number", {}, in4(ip4("10.0.0.1", "10.0.0.2", 1, advert))],
  ["IPv4 that is none", {}, in4([0x55, ...offer.slice(1)])],
];

function check(guarded: object, drops: Record<string, number>, bytes: Uint8Array): void {
  const rig = rigOf({}, {});
  rig.policy({ 0: guarded });
  expect(rig.send(0, bytes)[1]).toEqual(Object.keys(drops).length === 0 ? [bytes] : []);
  expect(rig.drops(0)).toEqual(drops);
  // The other port is trusted: all of it comes in there.
  const back = Uint8Array.from([...OWN, ...mac(3), ...bytes.slice(12)]);
  expect(rig.send(1, back)[0]).toEqual([back]);
}

test.each(DHCP_CASES)("DHCP guard: %s", (_, drops, bytes) => check({ dhcpGuard: true }, drops, bytes));
test.each(RA_CASES)("RA guard: %s", (_, drops, bytes) => check({ raGuard: true }, drops, bytes));

test("every frame of a server's flow is dropped", () => {
  const rig = rigOf({}, {});
  rig.policy({ 0: { dhcpGuard: true } });
  const long = ip4("10.0.0.1", "10.0.0.2", 17, udp(67, 68, Array(60).fill(9)));
  rig.send(0, ...Array<Uint8Array>(10).fill(in4(long)));
  expect(rig.drops(0)).toEqual({ dhcp_guard: 10 });
});
