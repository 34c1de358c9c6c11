// Well-known numbers, declared a second time: from IANA's and IEEE's registries, by number, and DSCPs by the formulas of their RFCs.

import { describe, expect, test } from "bun:test";
import {
  ARP_OPS,
  DSCPS,
  ETHER_TYPES,
  ICMP_TYPES,
  ICMP6_TYPES,
  type Names,
  namesByNumber,
  numberOf,
  PORTS,
  PROTOCOLS,
  TCP_FLAGS,
} from "../../../src/control/rules/known-names.ts";

const registries: [title: string, names: Names, registry: [number, string][]][] = [
  [
    "EtherTypes",
    ETHER_TYPES,
    [
      [2048, "ip"],
      [2054, "arp"],
      [2114, "wol"],
      [33024, "vlan"],
      [34525, "ip6"],
      [34825, "slow"],
      [34887, "mpls"],
      [34915, "pppoe-discovery"],
      [34916, "pppoe"],
      [34958, "eapol"],
      [34984, "qinq"],
      [35020, "lldp"],
      [35045, "macsec"],
      [35063, "ptp"],
      [35074, "cfm"],
      [35093, "roce"],
    ],
  ],
  [
    "ARP operations",
    ARP_OPS,
    [
      [1, "request"],
      [2, "reply"],
    ],
  ],
  [
    "IP protocols",
    PROTOCOLS,
    [
      [1, "icmp"],
      [2, "igmp"],
      [4, "ipip"],
      [6, "tcp"],
      [17, "udp"],
      [47, "gre"],
      [50, "esp"],
      [51, "ah"],
      [58, "icmp6"],
      [89, "ospf"],
      [103, "pim"],
      [112, "vrrp"],
      [115, "l2tp"],
      [132, "sctp"],
    ],
  ],
  [
    "ports",
    PORTS,
    [
      [22, "ssh"],
      [23, "telnet"],
      [25, "smtp"],
      [53, "dns"],
      [67, "dhcp-server"],
      [68, "dhcp-client"],
      [80, "http"],
      [123, "ntp"],
      [161, "snmp"],
      [179, "bgp"],
      [389, "ldap"],
      [443, "https"],
      [514, "syslog"],
      [546, "dhcp6-client"],
      [547, "dhcp6-server"],
      [3260, "iscsi"],
      [4789, "vxlan"],
      [5353, "mdns"],
      [6081, "geneve"],
    ],
  ],
  [
    "ICMP types",
    ICMP_TYPES,
    [
      [0, "echo-reply"],
      [3, "unreachable"],
      [5, "redirect"],
      [8, "echo-request"],
      [9, "router-advertisement"],
      [10, "router-solicitation"],
      [11, "time-exceeded"],
      [12, "parameter-problem"],
    ],
  ],
  [
    "ICMPv6 types",
    ICMP6_TYPES,
    [
      [1, "unreachable"],
      [2, "packet-too-big"],
      [3, "time-exceeded"],
      [4, "parameter-problem"],
      [128, "echo-request"],
      [129, "echo-reply"],
      [130, "mld-query"],
      [131, "mld-report"],
      [132, "mld-done"],
      [133, "router-solicitation"],
      [134, "router-advertisement"],
      [135, "neighbour-solicitation"],
      [136, "neighbour-advertisement"],
      [137, "redirect"],
      [143, "mld2-report"],
    ],
  ],
];

test.each(registries)("%s", (_, names, registry) => {
  expect(Object.entries(names)).toEqual(registry.map(([number, name]) => [name, number]));
  for (const [number, name] of registry) expect(namesByNumber(names).get(BigInt(number))).toBe(name);
});

describe("DSCPs", () => {
  test("class selectors are the old precedence in the upper three bits (RFC 2474)", () => {
    for (let precedence = 0; precedence < 8; precedence++) expect(DSCPS[`cs${precedence}`]).toBe(precedence << 3);
  });

  test("assured forwarding is class and drop precedence (RFC 2597)", () => {
    for (let group = 1; group <= 4; group++) {
      for (let drop = 1; drop <= 3; drop++) expect(DSCPS[`af${group}${drop}`]).toBe(8 * group + 2 * drop);
    }
  });

  test("and there are three more (RFC 3246, 5865, 8622)", () => {
    expect([DSCPS.ef, DSCPS["voice-admit"], DSCPS.le]).toEqual([0b101110, 0b101100, 0b000001]);
    expect(Object.keys(DSCPS)).toHaveLength(8 + 12 + 3);
  });
});

test("TCP flags are in the order of the header, from its last bit on", () => {
  const order = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
  expect(Object.entries(TCP_FLAGS)).toEqual(order.map((name, bit) => [name, 1 << bit]));
});

test("what every object inherits is no name", () => {
  for (const name of ["constructor", "toString", "__proto__"]) expect(numberOf(PORTS, name)).toBeUndefined();
});
