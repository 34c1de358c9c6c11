// The flow key: everything rules can ask of a frame, at fixed places, so that a match is a mask and a comparison of words.
// parse.ts writes it, compiled rules and the flow cache read it. Numbers are as in the frame, most significant byte first.
//
//   word  bits 31..16                          bits 15..0
//    0    CLASS_* bits                         port the frame came in on
//    1    eth.dst bytes 0-3
//    2    eth.dst bytes 4-5                    eth.src bytes 0-1
//    3    eth.src bytes 2-5
//    4    EtherType behind the tags            IP protocol << 8 | IPv4 TOS or IPv6 traffic class
//    5    outer tag's TCI                      inner tag's TCI
//    6    source port, or ICMP type            destination port, or ICMP code
//    7    TCP flags (12 bits, NS and reserved ones included)   ARP operation
//    8    IPv4 source, ARP sender's, or IPv6 source in 8..11
//   12    IPv4 destination, ARP target's, or IPv6 destination in 12..15
//   16    ARP sha bytes 0-3 | 17: sha 4-5, tha 0-1 | 18: tha 2-5 | 19: 0
//
// What is absent is 0 and has its class bit clear. Only the first HEADER_BYTES bytes of the frame exist here. Present is:
//   a tag        TPID 8100 or 88a8 at byte 12, or right behind such a tag, at most two, and 2 bytes of type behind it; a tag cut short: EtherType is
//                its TPID, nothing further is present. In a frame whose type is cut off (under 14 bytes: never seen here) nothing is.
//   arp          EtherType 0806, hardware type 1, protocol type 0800, lengths 6 and 4, all 28 bytes there
//   ip4          EtherType 0800, version 4, header length >= 20 and there; total length 0 (left to the device) or at least the header's. The packet ends
//                at its total length if that is not 0 and less than what the frame has, else with the frame.
//   ip6          EtherType 86dd, version 6, 40 bytes there; the packet ends as IPv4's does (payload length 0: with the frame). Hop-by-hop, routing,
//                destination options, fragment and authentication headers are walked, at most eight; IP protocol is the first other next header. Where the
//                walk leaves the packet, the first HEADER_BYTES or the eight: protocol is the next header it could not walk, and no L4 header is present.
//   fragments    IPv4: offset or more-fragments not 0; IPv6: a fragment header with either not 0. CLASS_LATER: offset not 0; then no L4 header is present,
//                and IPv6 is walked no further: protocol is what the fragment header names.
//   tcp          protocol 6 and 20 bytes of it within packet and HEADER_BYTES; udp 17 and 8; sctp 132 and 12; icmp 1 (IPv4) and 4; icmp6 58 (IPv6) and 4

export const HEADER_BYTES = 128;
export const KEY_WORDS = 20;

export const KEY_CLASS = 0;
export const KEY_DST = 1;
export const KEY_DST_SRC = 2;
export const KEY_SRC = 3;
export const KEY_TYPE = 4;
export const KEY_TCI = 5;
export const KEY_PORTS = 6;
export const KEY_FLAGS = 7;
export const KEY_IP_SRC = 8;
export const KEY_IP_DST = 12;
export const KEY_ARP_SHA = 16;
export const KEY_ARP_MACS = 17;
export const KEY_ARP_THA = 18;

export const CLASS_VLAN = 1 << 16;
export const CLASS_INNER = 1 << 17;
export const CLASS_ARP = 1 << 18;
export const CLASS_IP4 = 1 << 19;
export const CLASS_IP6 = 1 << 20;
export const CLASS_TCP = 1 << 21;
export const CLASS_UDP = 1 << 22;
export const CLASS_SCTP = 1 << 23;
export const CLASS_ICMP = 1 << 24;
export const CLASS_ICMP6 = 1 << 25;
/** A fragment, of any place; and one that is not the first. */
export const CLASS_FRAGMENT = 1 << 26;
export const CLASS_LATER = 1 << 27;

/** Fields by name. Those without a dot, `in` aside, are 1 where the header is present and 0 where it is not. */
export const FIELD_NAMES = [
  "in",
  "eth.dst",
  "eth.src",
  "eth.type",
  "vlan",
  "vlan.id",
  "vlan.pcp",
  "inner",
  "inner.id",
  "inner.pcp",
  "arp",
  "arp.op",
  "arp.spa",
  "arp.tpa",
  "arp.sha",
  "arp.tha",
  "ip4",
  "ip4.src",
  "ip4.dst",
  "ip4.proto",
  "ip4.dscp",
  // Two bits: a fragment (1), not the first (2).
  "ip4.frag",
  "ip6",
  "ip6.src",
  "ip6.dst",
  "ip6.proto",
  "ip6.dscp",
  "ip6.frag",
  "tcp",
  "tcp.sport",
  "tcp.dport",
  "tcp.flags",
  "udp",
  "udp.sport",
  "udp.dport",
  "sctp",
  "sctp.sport",
  "sctp.dport",
  "icmp",
  "icmp.type",
  "icmp.code",
  "icmp6",
  "icmp6.type",
  "icmp6.code",
] as const;
export type FieldName = (typeof FIELD_NAMES)[number];
