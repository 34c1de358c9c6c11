// The words that a rule's match is made of, as data: which word asks which field, and what is written behind it. Parser, printer,
// object form and suggestions all read this table, so that none of them can know a word that another does not. Pure.
//
//   header   presence   words behind it                      a header's word says that the frame has it: `tcp`; `tcp none`: has not
//   eth      -          dst src type
//   vlan     vlan       ID; pcp                              `vlan 10,20-30 pcp 3`, `vlan any`; `pcp 3` alone starts the header, too
//   ip       ip4        src dst proto dscp frag
//   tcp      tcp        sport dport flags                    ...

import { IP4, IP6 } from "../../core/ip.ts";
import type { FieldName } from "../../dataplane/rules/key.ts";
import { ARP_OPS, DSCPS, ETHER_TYPES, ICMP_TYPES, ICMP6_TYPES, type Names, PORTS, PROTOCOLS } from "./known-names.ts";
import { ipSpelling, macSpelling, numberSpelling } from "./spelling.ts";
import { fragments, listOf, tcpFlags, type ValueKind } from "./values.ts";

/** A field that a rule gives values for. */
export interface FieldWord {
  readonly field: ValueField;
  readonly kind: ValueKind;
}
export type ValueField = Exclude<FieldName, "in" | HeaderField>;
export type HeaderField = "vlan" | "inner" | "arp" | "ip4" | "ip6" | "tcp" | "udp" | "sctp" | "icmp" | "icmp6";

export interface Header {
  /** The field that is 1 where the frame has this header; Ethernet's every frame has. */
  readonly presence?: HeaderField;
  /** Values right behind the header's word: a tag's ids. */
  readonly ids?: FieldWord;
  readonly words: Readonly<Record<string, FieldWord>>;
}

/** IEEE 802.1Q-2022, 9.6: 4095 is reserved; 0 is a tag that carries a priority only. */
const VLAN_ID_MAX = 4094;

export const vlanId = numberSpelling({ what: "a VLAN id", example: "10 or 10,20-30", bits: 12, max: VLAN_ID_MAX });
export const priorityCode = numberSpelling({ what: "a priority", example: "5", bits: 3 });
export const dscp = numberSpelling({ what: "a DSCP", example: "ef, af11 or 46", bits: 6, names: DSCPS });
const etherType = numberSpelling({
  what: "an EtherType",
  example: "arp or 0x88cc",
  bits: 16,
  names: ETHER_TYPES,
  hex: 4,
});
const l4Port = numberSpelling({ what: "a port", example: "80,443 or 8000-8100", bits: 16, names: PORTS, plain: true });
const protocol = numberSpelling({ what: "a protocol", example: "gre or 47", bits: 8, names: PROTOCOLS });
const arpOp = numberSpelling({ what: "an ARP operation", example: "request", bits: 16, names: ARP_OPS });
const icmpCode = numberSpelling({ what: "an ICMP code", example: "0", bits: 8 });
const icmpType = (names: Names) =>
  numberSpelling({ what: "an ICMP type", example: "echo-request or 8", bits: 8, names });

const ip4 = listOf(ipSpelling(IP4, "10.0.0.0/8"));
const ip6 = listOf(ipSpelling(IP6, "2001:db8::/32"));
const mac = listOf(macSpelling);
const ports = listOf(l4Port);

function header(presence: HeaderField | undefined, words: Header["words"], ids?: FieldWord): Header {
  return { presence, words, ids };
}

/** By their words, in canonical order. */
export const HEADERS = {
  eth: header(undefined, {
    src: { field: "eth.src", kind: mac },
    dst: { field: "eth.dst", kind: mac },
    type: { field: "eth.type", kind: listOf(etherType) },
  }),
  vlan: header(
    "vlan",
    { pcp: { field: "vlan.pcp", kind: listOf(priorityCode) } },
    { field: "vlan.id", kind: listOf(vlanId) },
  ),
  inner: header(
    "inner",
    { pcp: { field: "inner.pcp", kind: listOf(priorityCode) } },
    { field: "inner.id", kind: listOf(vlanId) },
  ),
  arp: header("arp", {
    op: { field: "arp.op", kind: listOf(arpOp) },
    spa: { field: "arp.spa", kind: ip4 },
    tpa: { field: "arp.tpa", kind: ip4 },
    sha: { field: "arp.sha", kind: mac },
    tha: { field: "arp.tha", kind: mac },
  }),
  ip: header("ip4", {
    src: { field: "ip4.src", kind: ip4 },
    dst: { field: "ip4.dst", kind: ip4 },
    proto: { field: "ip4.proto", kind: listOf(protocol) },
    dscp: { field: "ip4.dscp", kind: listOf(dscp) },
    frag: { field: "ip4.frag", kind: fragments },
  }),
  ip6: header("ip6", {
    src: { field: "ip6.src", kind: ip6 },
    dst: { field: "ip6.dst", kind: ip6 },
    proto: { field: "ip6.proto", kind: listOf(protocol) },
    dscp: { field: "ip6.dscp", kind: listOf(dscp) },
    frag: { field: "ip6.frag", kind: fragments },
  }),
  tcp: header("tcp", {
    sport: { field: "tcp.sport", kind: ports },
    dport: { field: "tcp.dport", kind: ports },
    flags: { field: "tcp.flags", kind: tcpFlags },
  }),
  udp: header("udp", {
    sport: { field: "udp.sport", kind: ports },
    dport: { field: "udp.dport", kind: ports },
  }),
  sctp: header("sctp", {
    sport: { field: "sctp.sport", kind: ports },
    dport: { field: "sctp.dport", kind: ports },
  }),
  icmp: header("icmp", {
    type: { field: "icmp.type", kind: listOf(icmpType(ICMP_TYPES)) },
    code: { field: "icmp.code", kind: listOf(icmpCode) },
  }),
  icmp6: header("icmp6", {
    type: { field: "icmp6.type", kind: listOf(icmpType(ICMP6_TYPES)) },
    code: { field: "icmp6.code", kind: listOf(icmpCode) },
  }),
} as const satisfies Record<string, Header>;

export type HeaderWord = keyof typeof HEADERS;
export const HEADER_WORDS = Object.keys(HEADERS) as HeaderWord[];

export function isHeaderWord(text: string): text is HeaderWord {
  return Object.hasOwn(HEADERS, text);
}

/** Words that a match may begin with. */
export const MATCH_WORDS: readonly string[] = ["id", "prio", "in", "pcp", ...HEADER_WORDS];
