// What counts as present in a frame, one rule after the other, with frames written by hand. Both parsers have to say what
// stands here: the fast one (parse.ts) and the reference (interpret-fields.ts).

import { describe, expect, test } from "bun:test";
import { type Fields, fieldsOf } from "../../../src/dataplane/rules/interpret-fields.ts";
import { fieldsIn, hex, keyOf } from "./parsed.ts";

const MACS = "02000000000a 02000000000b";
const SRC4 = 0x0a000001n;
const DST4 = 0xc0a80102n;
/** 20 bytes, ports 443 and 51966, flags of twelve bits: reserved, NS, SYN and ACK. */
const TCP = "01bb cafe 00000001 00000002 5b12 ffff 0000 0000";
const TCP_FIELDS = { tcp: 1n, "tcp.sport": 443n, "tcp.dport": 0xcafen, "tcp.flags": 0xb12n };
const UDP = "0035 1388 0008 0000";
const UDP_FIELDS = { udp: 1n, "udp.sport": 53n, "udp.dport": 5000n };
const SCTP = "0b59 0b5a 00000001 00000000";
const SCTP_FIELDS = { sctp: 1n, "sctp.sport": 2905n, "sctp.dport": 2906n };
const ECHO = "08 03 0000";
const ECHO6 = "80 04 0000";

const size = (...pieces: string[]) => hex(...pieces).length;
const be16 = (value: number) => value.toString(16).padStart(4, "0");

/** TOS b9: DSCP 46, ECN 1. Don't-fragment is set unless `changes` says otherwise. */
function ip4(protocol: number, payload: string, changes: { total?: number; fragment?: string; start?: string } = {}) {
  const total = changes.total ?? 20 + size(payload);
  const middle = `0001 ${changes.fragment ?? "4000"} 40 ${protocol.toString(16).padStart(2, "0")} 0000`;
  return `0800 | ${changes.start ?? "45"} b9 ${be16(total)} ${middle} 0a000001 c0a80102 | ${payload}`;
}

function ip4Fields(protocol: bigint, fragment = 0n) {
  const addresses = { "ip4.src": SRC4, "ip4.dst": DST4 };
  return { "eth.type": 0x0800n, ip4: 1n, ...addresses, "ip4.proto": protocol, "ip4.dscp": 46n, "ip4.frag": fragment };
}

/** Traffic class b9, flow label fffff. */
function ip6(next: number, payload: string, said = size(payload)) {
  const start = `6b9fffff ${be16(said)} ${next.toString(16).padStart(2, "0")} 40`;
  return `86dd | ${start} fd000000000000000000000000000001 fd000000000000000000000000000002 | ${payload}`;
}

function ip6Fields(protocol: bigint, fragment = 0n) {
  const addresses = { "ip6.src": (0xfdn << 120n) + 1n, "ip6.dst": (0xfdn << 120n) + 2n };
  return { "eth.type": 0x86ddn, ip6: 1n, ...addresses, "ip6.proto": protocol, "ip6.dscp": 46n, "ip6.frag": fragment };
}

/** What is present besides port and addresses. */
function visible(fields: Fields): Record<string, bigint> {
  const ignored = ["in", "eth.dst", "eth.src"];
  return Object.fromEntries(
    [...fields].filter(([name, value]) => !ignored.includes(name) && (name.includes(".") || value !== 0n)),
  );
}

function check(cases: [string, string, Record<string, bigint>][]): void {
  test.each(cases)("%s", (_, text, expected) => {
    const frame = hex(MACS, text);
    expect(visible(fieldsIn(keyOf(frame, 3)))).toEqual(expected);
    expect(visible(fieldsOf(frame, 3))).toEqual(expected);
  });
}

/** The text without its last `count` bytes. */
function cut(text: string, count: number): string {
  return Buffer.from(hex(text))
    .toString("hex")
    .slice(0, -2 * count);
}

describe("tags", () => {
  const filler = "5a5a5a5a5a5a";
  const outer = { vlan: 1n, "vlan.pcp": 5n, "vlan.id": 0x064n };
  const inner = { inner: 1n, "inner.pcp": 7n, "inner.id": 0xffen };
  check([
    ["none", `88b5 ${filler}`, { "eth.type": 0x88b5n }],
    ["an 802.3 length is a type like any other", `0006 ${filler}`, { "eth.type": 6n }],
    ["802.1Q, DEI set", `8100 b064 88b5 ${filler}`, { "eth.type": 0x88b5n, ...outer }],
    ["802.1ad", `88a8 a064 88b5 ${filler}`, { "eth.type": 0x88b5n, ...outer }],
    ["two", `88a8 a064 8100 fffe 88b5 ${filler}`, { "eth.type": 0x88b5n, ...outer, ...inner }],
    ["two, 802.1ad inside", `8100 a064 88a8 effe 88b5 ${filler}`, { "eth.type": 0x88b5n, ...outer, ...inner }],
    ["a third is a type", `8100 a064 8100 effe 8100 0001 ${ip4(6, TCP)}`, { "eth.type": 0x8100n, ...outer, ...inner }],
    ["9100 is no tag", `9100 a064 ${ip4(6, TCP)}`, { "eth.type": 0x9100n }],
    ["a whole one at the end of the frame", "8100 a064 88b5", { "eth.type": 0x88b5n, ...outer }],
    ["one without the type behind it", "8100 a064 08", { "eth.type": 0x8100n }],
    ["one without anything", "88a8", { "eth.type": 0x88a8n }],
    ["a whole inner one at the end", "8100 a064 8100 effe 88b5", { "eth.type": 0x88b5n, ...outer, ...inner }],
    ["an inner one without the type behind it", "8100 a064 88a8 effe 88", { "eth.type": 0x88a8n, ...outer }],
  ]);
  check([
    [
      "IPv4 behind two",
      `88a8 a064 8100 effe ${ip4(17, UDP)}`,
      { ...ip4Fields(17n), ...UDP_FIELDS, ...outer, ...inner },
    ],
    ["IPv6 behind one", `8100 a064 ${ip6(6, TCP)}`, { ...ip6Fields(6n), ...TCP_FIELDS, ...outer }],
  ]);
});

describe("ARP", () => {
  const addresses = "020000000001 0a000001 020000000002 0a000002";
  const addressFields = {
    "arp.sha": 0x020000000001n,
    "arp.spa": SRC4,
    "arp.tha": 0x020000000002n,
    "arp.tpa": 0x0a000002n,
  };
  const arp = { "eth.type": 0x0806n, arp: 1n, "arp.op": 0x0102n, ...addressFields };
  const absent = { "eth.type": 0x0806n };
  const whole = `0806 | 0001 0800 06 04 0102 ${addresses}`;
  check([
    ["whole, at the end of the frame", whole, arp],
    ["behind a tag", `8100 0001 ${whole}`, { ...arp, vlan: 1n, "vlan.pcp": 0n, "vlan.id": 1n }],
    ["a byte short", cut(whole, 1), absent],
    ["another hardware type", `0806 | 0006 0800 06 04 0102 ${addresses}`, absent],
    ["another protocol type", `0806 | 0001 86dd 06 04 0102 ${addresses}`, absent],
    ["another hardware address length", `0806 | 0001 0800 08 04 0102 ${addresses} 0000`, absent],
    ["another protocol address length", `0806 | 0001 0800 06 10 0102 ${addresses} 0000`, absent],
  ]);
});

describe("IPv4", () => {
  const absent = { "eth.type": 0x0800n };
  const options = "01010101 01010101";
  const padding = "00".repeat(20);
  check([
    ["TCP", ip4(6, TCP), { ...ip4Fields(6n), ...TCP_FIELDS }],
    ["UDP", ip4(17, UDP), { ...ip4Fields(17n), ...UDP_FIELDS }],
    ["another protocol", ip4(47, TCP), ip4Fields(47n)],
    ["no payload", ip4(6, ""), ip4Fields(6n)],
    ["a header cut short", cut(ip4(6, ""), 1), absent],
    ["version 6", ip4(6, TCP, { start: "65" }), absent],
    ["a header of 16 bytes", ip4(6, TCP, { start: "44" }), absent],
    ["options", ip4(6, options + TCP, { start: "47" }), { ...ip4Fields(6n), ...TCP_FIELDS }],
    ["options up to the end", ip4(6, options, { start: "47" }), ip4Fields(6n)],
    ["options cut short", cut(ip4(6, options, { start: "47" }), 1), absent],
    [
      "a total length of 0: the packet ends with the frame",
      ip4(6, TCP, { total: 0 }),
      { ...ip4Fields(6n), ...TCP_FIELDS },
    ],
    ["a total length below the header's", ip4(6, TCP, { total: 19 }), absent],
    ["one below the header's with options", ip4(6, options + TCP, { start: "47", total: 27 }), absent],
    ["a total length of the header's: nothing behind it", ip4(6, TCP, { total: 20 }), ip4Fields(6n)],
    ["a packet that ends inside TCP", ip4(6, TCP, { total: 39 }), ip4Fields(6n)],
    ["one that ends inside UDP, with padding", ip4(17, UDP + padding, { total: 27 }), ip4Fields(17n)],
    [
      "one that ends with UDP, with padding",
      ip4(17, UDP + padding, { total: 28 }),
      { ...ip4Fields(17n), ...UDP_FIELDS },
    ],
    ["a total length past the frame", ip4(17, UDP, { total: 1500 }), { ...ip4Fields(17n), ...UDP_FIELDS }],
    ["don't fragment is no fragment", ip4(17, UDP, { fragment: "4000" }), { ...ip4Fields(17n), ...UDP_FIELDS }],
    ["the reserved bit neither", ip4(17, UDP, { fragment: "8000" }), { ...ip4Fields(17n), ...UDP_FIELDS }],
    ["a first fragment has ports", ip4(17, UDP, { fragment: "2000" }), { ...ip4Fields(17n, 1n), ...UDP_FIELDS }],
    ["a later one has none", ip4(17, UDP, { fragment: "2001" }), ip4Fields(17n, 3n)],
    ["nor has the last one", ip4(17, UDP, { fragment: "1000" }), ip4Fields(17n, 3n)],
    ["nor ICMP", ip4(1, ECHO, { fragment: "0001" }), ip4Fields(1n, 3n)],
  ]);
});

describe("IPv6", () => {
  const absent = { "eth.type": 0x86ddn };
  check([
    ["TCP", ip6(6, TCP), { ...ip6Fields(6n), ...TCP_FIELDS }],
    ["no payload", ip6(17, ""), ip6Fields(17n)],
    ["a header cut short", cut(ip6(59, ""), 1), absent],
    ["version 4", ip6(6, TCP).replace("6b9fffff", "4b9fffff"), absent],
    ["a payload length of 0: with the frame", ip6(17, UDP, 0), { ...ip6Fields(17n), ...UDP_FIELDS }],
    ["a packet that ends inside UDP", ip6(17, UDP, 7), ip6Fields(17n)],
    ["a payload length past the frame", ip6(17, UDP, 1500), { ...ip6Fields(17n), ...UDP_FIELDS }],
  ]);
});

describe("IPv6 extension headers", () => {
  const udp = { ...ip6Fields(17n), ...UDP_FIELDS };
  const eight = (next: string) => `${next} 00 000000000000`;
  const sixteen = (next: string) => `${next} 01 ${"00".repeat(14)}`;
  /** `count` destination options headers of 8 bytes, UDP's number in the last. */
  const chain = (count: number) => eight("3c").repeat(count - 1) + eight("11");
  check([
    ["hop-by-hop", ip6(0, eight("11") + UDP), udp],
    ["routing", ip6(43, sixteen("11") + UDP), udp],
    ["destination options", ip6(60, eight("11") + UDP), udp],
    ["authentication counts in words, less two", ip6(51, `11 01 0000 00000000 00000000 ${UDP}`), udp],
    ["authentication of the least length", ip6(51, `11 00 0000 00000000 ${UDP}`), udp],
    ["several", ip6(0, `${eight("2b")} ${sixteen("33")} 11 02 ${"00".repeat(14)} ${UDP}`), udp],
    ["ESP is where it ends", ip6(0, `${eight("32")} ${UDP}`), ip6Fields(50n)],
    ["mobility too", ip6(135, `${eight("11")} ${UDP}`), ip6Fields(135n)],
    ["no next header", ip6(60, eight("3b")), ip6Fields(59n)],
    ["hop-by-hop behind another", ip6(60, eight("00") + eight("11") + UDP), udp],
    ["eight are walked", ip6(60, chain(8) + UDP), udp],
    ["the ninth is not", ip6(60, chain(9) + UDP), ip6Fields(60n)],
    ["one that leaves the frame", ip6(0, "11 01 000000000000"), ip6Fields(0n)],
    ["one that leaves the packet", ip6(0, eight("2b") + sixteen("11") + UDP, 23), ip6Fields(43n)],
    ["one that ends with the packet", ip6(0, eight("11") + UDP, 8), ip6Fields(17n)],
    ["one of which only the length is there", ip6(0, "11 00"), ip6Fields(0n)],
  ]);
  const atomic = (next: string) => `${next} ff 0006 00000007`;
  const first = (next: string) => `${next} ff 0001 00000007`;
  const later = (next: string) => `${next} 00 0008 00000007`;
  check([
    ["an atomic fragment is none; reserved bits are no length", ip6(44, atomic("11") + UDP), udp],
    ["a first fragment has ports", ip6(44, first("11") + UDP), { ...ip6Fields(17n, 1n), ...UDP_FIELDS }],
    ["a later one has none", ip6(44, later("11") + UDP), ip6Fields(17n, 3n)],
    ["nor is it walked any further", ip6(44, later("3c") + eight("11") + UDP), ip6Fields(60n, 3n)],
    ["nor has it ICMP", ip6(44, later("3a") + ECHO6), ip6Fields(58n, 3n)],
    [
      "a first fragment is walked on",
      ip6(44, first("3c") + eight("11") + UDP),
      { ...ip6Fields(17n, 1n), ...UDP_FIELDS },
    ],
    ["a fragment of a fragment", ip6(44, first("2c") + later("11") + UDP), ip6Fields(17n, 3n)],
    ["a fragment header cut short", ip6(44, cut(first("11"), 1)), ip6Fields(44n)],
  ]);
});

describe("only the first 128 bytes are looked at", () => {
  const more = "00".repeat(64);
  // 54 bytes of Ethernet and IPv6, then an authentication header up to `at`: in steps of 4, so that none ends at 128 itself.
  const behind = (at: number, next: string, payload: string) =>
    ip6(51, `${next} ${((at - 54) / 4 - 2).toString(16).padStart(2, "0")} ${"00".repeat(at - 56)} ${payload} ${more}`);
  check([
    ["TCP that ends at byte 126", behind(106, "06", TCP), { ...ip6Fields(6n), ...TCP_FIELDS }],
    ["TCP that ends at byte 130", behind(110, "06", TCP), ip6Fields(6n)],
    ["UDP that ends at byte 126", behind(118, "11", UDP), { ...ip6Fields(17n), ...UDP_FIELDS }],
    ["UDP that ends at byte 130", behind(122, "11", UDP), ip6Fields(17n)],
    ["an extension header that ends at byte 126", behind(126, "11", UDP), ip6Fields(17n)],
    ["an extension header that ends at byte 130", behind(130, "11", UDP), ip6Fields(51n)],
  ]);
});

describe("transport", () => {
  const icmp = { icmp: 1n, "icmp.type": 8n, "icmp.code": 3n };
  const icmp6 = { icmp6: 1n, "icmp6.type": 128n, "icmp6.code": 4n };
  check([
    ["TCP a byte short", ip4(6, cut(TCP, 1)), ip4Fields(6n)],
    ["TCP whose header length lies", ip4(6, TCP.replace("5b12", "0b12")), { ...ip4Fields(6n), ...TCP_FIELDS }],
    ["UDP a byte short", ip4(17, cut(UDP, 1)), ip4Fields(17n)],
    ["SCTP", ip4(132, SCTP), { ...ip4Fields(132n), ...SCTP_FIELDS }],
    ["SCTP over IPv6", ip6(132, SCTP), { ...ip6Fields(132n), ...SCTP_FIELDS }],
    ["SCTP a byte short", ip4(132, cut(SCTP, 1)), ip4Fields(132n)],
    ["ICMP", ip4(1, ECHO), { ...ip4Fields(1n), ...icmp }],
    ["ICMP a byte short", ip4(1, cut(ECHO, 1)), ip4Fields(1n)],
    ["ICMP's number in IPv6", ip6(1, ECHO), ip6Fields(1n)],
    ["ICMPv6", ip6(58, ECHO6), { ...ip6Fields(58n), ...icmp6 }],
    ["ICMPv6 a byte short", ip6(58, cut(ECHO6, 1)), ip6Fields(58n)],
    ["ICMPv6's number in IPv4", ip4(58, ECHO6), ip4Fields(58n)],
  ]);
});

test("port and addresses", () => {
  const frame = hex("ffeeddccbbaa 8091a2b3c4d5 88b5");
  for (const fields of [fieldsIn(keyOf(frame, 65_535)), fieldsOf(frame, 65_535)]) {
    expect([fields.get("in"), fields.get("eth.dst"), fields.get("eth.src")]).toEqual([
      65_535n,
      0xffeeddccbbaan,
      0x8091a2b3c4d5n,
    ]);
  }
});
