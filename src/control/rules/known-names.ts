// Names of well-known numbers: what a rule may say for them. Printing prefers the name, but for ports, which people know by number.
// Few on purpose: what is in everyday rules. From IEEE 802 Numbers, RFC 2474/2597/3246/5865/8622, and IANA's registries. Pure data.

import type { FieldValue } from "../../dataplane/rules/rule.ts";

export type Names = Readonly<Record<string, number>>;

export const ETHER_TYPES: Names = {
  ip: 0x0800,
  arp: 0x0806,
  wol: 0x0842,
  vlan: 0x8100,
  ip6: 0x86dd,
  slow: 0x8809,
  mpls: 0x8847,
  "pppoe-discovery": 0x8863,
  pppoe: 0x8864,
  eapol: 0x888e,
  qinq: 0x88a8,
  lldp: 0x88cc,
  macsec: 0x88e5,
  ptp: 0x88f7,
  cfm: 0x8902,
  roce: 0x8915,
};

export const ARP_OPS: Names = { request: 1, reply: 2 };

export const PROTOCOLS: Names = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmp6: 58,
  ospf: 89,
  pim: 103,
  vrrp: 112,
  l2tp: 115,
  sctp: 132,
};

export const DSCPS: Names = {
  cs0: 0,
  le: 1,
  cs1: 8,
  af11: 10,
  af12: 12,
  af13: 14,
  cs2: 16,
  af21: 18,
  af22: 20,
  af23: 22,
  cs3: 24,
  af31: 26,
  af32: 28,
  af33: 30,
  cs4: 32,
  af41: 34,
  af42: 36,
  af43: 38,
  cs5: 40,
  "voice-admit": 44,
  ef: 46,
  cs6: 48,
  cs7: 56,
};

export const PORTS: Names = {
  ssh: 22,
  telnet: 23,
  smtp: 25,
  dns: 53,
  "dhcp-server": 67,
  "dhcp-client": 68,
  http: 80,
  ntp: 123,
  snmp: 161,
  bgp: 179,
  ldap: 389,
  https: 443,
  syslog: 514,
  "dhcp6-client": 546,
  "dhcp6-server": 547,
  iscsi: 3260,
  vxlan: 4789,
  mdns: 5353,
  geneve: 6081,
};

export const ICMP_TYPES: Names = {
  "echo-reply": 0,
  unreachable: 3,
  redirect: 5,
  "echo-request": 8,
  "router-advertisement": 9,
  "router-solicitation": 10,
  "time-exceeded": 11,
  "parameter-problem": 12,
};

export const ICMP6_TYPES: Names = {
  unreachable: 1,
  "packet-too-big": 2,
  "time-exceeded": 3,
  "parameter-problem": 4,
  "echo-request": 128,
  "echo-reply": 129,
  "mld-query": 130,
  "mld-report": 131,
  "mld-done": 132,
  "router-solicitation": 133,
  "router-advertisement": 134,
  "neighbour-solicitation": 135,
  "neighbour-advertisement": 136,
  redirect: 137,
  "mld2-report": 143,
};

/** By bit: RFC 9293 with RFC 3168 and RFC 3540. The three bits above are reserved. */
export const TCP_FLAGS: Names = {
  fin: 0x001,
  syn: 0x002,
  rst: 0x004,
  psh: 0x008,
  ack: 0x010,
  urg: 0x020,
  ece: 0x040,
  cwr: 0x080,
  ns: 0x100,
};

/** Two bits (key.ts): a fragment (1), and not the first (2). An L4 header is there in `none` and `first` only. */
export const FRAGMENTS: ReadonlyMap<string, FieldValue> = new Map([
  ["none", { value: 0b00n, mask: 0b11n }],
  ["any", { value: 0b01n, mask: 0b01n }],
  ["first", { value: 0b01n, mask: 0b11n }],
  ["later", { value: 0b11n, mask: 0b11n }],
]);

/** The number of a name; not what a plain object inherits. */
export function numberOf(names: Names, name: string): number | undefined {
  return Object.hasOwn(names, name) ? names[name] : undefined;
}

/** The way back. */
export function namesByNumber(names: Names): ReadonlyMap<bigint, string> {
  return new Map(Object.entries(names).map(([name, number]) => [BigInt(number), name]));
}
