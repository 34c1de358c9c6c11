// What each word of the text form means, and its canonical spelling.

import { describe, expect, test } from "bun:test";
import { formatAction, formatMatch, formatRule } from "../../../src/control/rules/format-rule.ts";
import type { NamedAction, NamedConstraint } from "../../../src/control/rules/named-rule.ts";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import type { FieldValue } from "../../../src/dataplane/rules/rule.ts";

type Field = Exclude<NamedConstraint["field"], "in">;

/** Values under a full mask of so many bits. */
function exact(bits: number, ...values: number[]): FieldValue[] {
  return values.map((value) => ({ value: BigInt(value), mask: (1n << BigInt(bits)) - 1n }));
}
const masked = (value: bigint | number, mask: bigint | number): FieldValue => ({
  value: BigInt(value),
  mask: BigInt(mask),
});
const range = (low: bigint | number, high: bigint | number): FieldValue => ({ low: BigInt(low), high: BigInt(high) });
const is = (field: Field, ...oneOf: FieldValue[]): NamedConstraint => ({ field, oneOf });
const has = (field: Field) => is(field, masked(1, 1));
const lacks = (field: Field) => is(field, masked(0, 1));
const MAC_MASK = 0xffffffffffffn;
const IP6_MASK = 2n ** 128n - 1n;

test("the rule of the manual", () => {
  const text = "prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop";
  expect(parseRule(text)).toEqual({
    priority: 100,
    match: [
      { field: "in", oneOf: ["vm1"] },
      has("ip4"),
      is("ip4.dst", masked(0x0a000000, 0xff000000)),
      has("tcp"),
      is("tcp.dport", ...exact(16, 80, 443)),
    ],
    actions: [{ do: "drop" }],
  });
  expect(formatRule(parseRule(text))).toBe(text);
});

describe("numbers of a rule", () => {
  test("id and priority", () => {
    expect(parseRule("id 7 prio 65535 drop")).toEqual({
      id: 7,
      priority: 65_535,
      match: [],
      actions: [{ do: "drop" }],
    });
    expect(parseRule("prio 0 id 2147483647 drop")).toMatchObject({ id: 2_147_483_647, priority: 0 });
  });

  test("without them the priority is 1000, and the switch chooses an id", () => {
    expect(parseRule("drop")).toEqual({ priority: 1000, match: [], actions: [{ do: "drop" }] });
    expect(formatRule(parseRule("drop"))).toBe("prio 1000 drop");
  });
});

describe("a match", () => {
  const cases: [text: string, canonical: string, match: NamedConstraint[]][] = [
    ["in vm2,vm1", "in vm1,vm2", [{ field: "in", oneOf: ["vm1", "vm2"] }]],
    ["in drop", "in drop", [{ field: "in", oneOf: ["drop"] }]],

    ["eth src 02:00:00:00:00:0A", "eth src 02:00:00:00:00:0a", [is("eth.src", masked(0x02000000000an, MAC_MASK))]],
    [
      "eth dst 33:33:00:00:00:00/ff:ff:00:00:00:00,ff:ff:ff:ff:ff:ff",
      "eth dst 33:33:00:00:00:00/ff:ff:00:00:00:00,ff:ff:ff:ff:ff:ff",
      [is("eth.dst", masked(0x333300000000n, 0xffff00000000n), masked(MAC_MASK, MAC_MASK))],
    ],
    ["eth type 0x88cc", "eth type lldp", [is("eth.type", ...exact(16, 0x88cc))]],
    ["eth type arp,0x0800,0x88b5", "eth type ip,arp,0x88b5", [is("eth.type", ...exact(16, 0x0800, 0x0806, 0x88b5))]],
    ["eth type 0-1535", "eth type 0x0000-0x05ff", [is("eth.type", range(0, 1535))]],
    [
      "eth dst 02:00:00:00:00:00-02:00:00:00:00:0f",
      "eth dst 02:00:00:00:00:00-02:00:00:00:00:0f",
      [is("eth.dst", range(0x020000000000n, 0x02000000000fn))],
    ],

    ["vlan 10", "vlan 10", [has("vlan"), is("vlan.id", ...exact(12, 10))]],
    ["vlan 20-30,10", "vlan 10,20-30", [has("vlan"), is("vlan.id", exact(12, 10)[0], range(20, 30))]],
    ["vlan 0,4094", "vlan 0,4094", [has("vlan"), is("vlan.id", ...exact(12, 0, 4094))]],
    ["vlan 0x100/0xf00", "vlan 256/0xf00", [has("vlan"), is("vlan.id", masked(0x100, 0xf00))]],
    ["vlan any", "vlan any", [has("vlan")]],
    ["vlan none", "vlan none", [lacks("vlan")]],
    ["pcp 5", "vlan pcp 5", [has("vlan"), is("vlan.pcp", ...exact(3, 5))]],
    ["pcp 0-7", "vlan pcp 0-7", [has("vlan"), is("vlan.pcp", range(0, 7))]],
    ["vlan 10 pcp 3", "vlan 10 pcp 3", [has("vlan"), is("vlan.id", ...exact(12, 10)), is("vlan.pcp", ...exact(3, 3))]],
    ["pcp 3 vlan 10", "vlan 10 pcp 3", [has("vlan"), is("vlan.id", ...exact(12, 10)), is("vlan.pcp", ...exact(3, 3))]],
    ["inner 10", "inner 10", [has("inner"), is("inner.id", ...exact(12, 10))]],
    ["inner any", "inner any", [has("inner")]],
    ["inner none", "inner none", [lacks("inner")]],
    ["inner pcp 1,2", "inner pcp 1,2", [has("inner"), is("inner.pcp", ...exact(3, 1, 2))]],
    [
      "vlan 1 pcp 2 inner 3 pcp 4",
      "vlan 1 pcp 2 inner 3 pcp 4",
      [
        has("vlan"),
        is("vlan.id", ...exact(12, 1)),
        is("vlan.pcp", ...exact(3, 2)),
        has("inner"),
        is("inner.id", ...exact(12, 3)),
        is("inner.pcp", ...exact(3, 4)),
      ],
    ],

    ["arp", "arp", [has("arp")]],
    ["arp op request", "arp op request", [has("arp"), is("arp.op", ...exact(16, 1))]],
    ["arp op 2,3", "arp op reply,3", [has("arp"), is("arp.op", ...exact(16, 2, 3))]],
    [
      "arp spa 10.0.0.0/24 tpa 10.0.0.1 sha 02:00:00:00:00:01 tha 02:00:00:00:00:02",
      "arp spa 10.0.0.0/24 tpa 10.0.0.1 sha 02:00:00:00:00:01 tha 02:00:00:00:00:02",
      [
        has("arp"),
        is("arp.spa", masked(0x0a000000, 0xffffff00)),
        is("arp.tpa", masked(0x0a000001, 0xffffffff)),
        is("arp.sha", masked(0x020000000001n, MAC_MASK)),
        is("arp.tha", masked(0x020000000002n, MAC_MASK)),
      ],
    ],

    ["ip", "ip", [has("ip4")]],
    ["ip any", "ip", [has("ip4")]],
    ["ip none", "ip none", [lacks("ip4")]],
    ["ip src 10.0.0.1", "ip src 10.0.0.1", [has("ip4"), is("ip4.src", masked(0x0a000001, 0xffffffff))]],
    ["ip src 10.0.0.1/32", "ip src 10.0.0.1", [has("ip4"), is("ip4.src", masked(0x0a000001, 0xffffffff))]],
    ["ip src 0.0.0.0/0", "ip src 0.0.0.0/0", [has("ip4"), is("ip4.src", masked(0, 0))]],
    ["ip src 10.0.0.0/255.0.0.0", "ip src 10.0.0.0/8", [has("ip4"), is("ip4.src", masked(0x0a000000, 0xff000000))]],
    [
      "ip dst 10.0.5.0/255.0.255.0",
      "ip dst 10.0.5.0/255.0.255.0",
      [has("ip4"), is("ip4.dst", masked(0x0a000500, 0xff00ff00))],
    ],
    [
      "ip src 10.0.0.5-10.0.0.9",
      "ip src 10.0.0.5-10.0.0.9",
      [has("ip4"), is("ip4.src", range(0x0a000005, 0x0a000009))],
    ],
    ["ip src 10.0.0.5-10.0.0.5", "ip src 10.0.0.5", [has("ip4"), is("ip4.src", masked(0x0a000005, 0xffffffff))]],
    ["ip proto gre,6,200", "ip proto tcp,gre,200", [has("ip4"), is("ip4.proto", ...exact(8, 6, 47, 200))]],
    ["ip dscp ef", "ip dscp ef", [has("ip4"), is("ip4.dscp", ...exact(6, 46))]],
    ["ip dscp 10,cs1,63", "ip dscp cs1,af11,63", [has("ip4"), is("ip4.dscp", ...exact(6, 8, 10, 63))]],
    ["ip frag none", "ip frag none", [has("ip4"), is("ip4.frag", masked(0, 3))]],
    ["ip frag any", "ip frag any", [has("ip4"), is("ip4.frag", masked(1, 1))]],
    ["ip frag first", "ip frag first", [has("ip4"), is("ip4.frag", masked(1, 3))]],
    ["ip frag later", "ip frag later", [has("ip4"), is("ip4.frag", masked(3, 3))]],
    ["ip frag 2/2", "ip frag 2/0x2", [has("ip4"), is("ip4.frag", masked(2, 2))]],
    ["ip frag first,none", "ip frag none,first", [has("ip4"), is("ip4.frag", masked(0, 3), masked(1, 3))]],
    [
      "ip src 10.0.0.1 tcp ip dst 10.0.0.2",
      "ip src 10.0.0.1 dst 10.0.0.2 tcp",
      [
        has("ip4"),
        is("ip4.src", masked(0x0a000001, 0xffffffff)),
        is("ip4.dst", masked(0x0a000002, 0xffffffff)),
        has("tcp"),
      ],
    ],

    ["ip6", "ip6", [has("ip6")]],
    [
      "ip6 src 2001:DB8::/32 dst fe80:0:0::1",
      "ip6 src 2001:db8::/32 dst fe80::1",
      [
        has("ip6"),
        is("ip6.src", masked(0x20010db8n << 96n, 0xffffffffn << 96n)),
        is("ip6.dst", masked((0xfe80n << 112n) | 1n, IP6_MASK)),
      ],
    ],
    ["ip6 src ::1-::ff", "ip6 src ::1-::ff", [has("ip6"), is("ip6.src", range(1, 255))]],
    ["ip6 src ::1/::ffff", "ip6 src ::1/::ffff", [has("ip6"), is("ip6.src", masked(1, 0xffff))]],
    [
      "ip6 proto icmp6 dscp cs7 frag later",
      "ip6 proto icmp6 dscp cs7 frag later",
      [has("ip6"), is("ip6.proto", ...exact(8, 58)), is("ip6.dscp", ...exact(6, 56)), is("ip6.frag", masked(3, 3))],
    ],

    ["tcp", "tcp", [has("tcp")]],
    ["tcp none", "tcp none", [lacks("tcp")]],
    ["tcp sport 1024-65535", "tcp sport 1024-65535", [has("tcp"), is("tcp.sport", range(1024, 65_535))]],
    [
      "tcp dport https,http,8000-8100",
      "tcp dport 80,443,8000-8100",
      [has("tcp"), is("tcp.dport", ...exact(16, 80, 443), range(8000, 8100))],
    ],
    ["tcp dport 0x50", "tcp dport 80", [has("tcp"), is("tcp.dport", ...exact(16, 80))]],
    ["tcp dport 80/0xffff", "tcp dport 80", [has("tcp"), is("tcp.dport", ...exact(16, 80))]],
    ["tcp dport 64/0xffc0", "tcp dport 64/0xffc0", [has("tcp"), is("tcp.dport", masked(64, 0xffc0))]],
    ["tcp flags syn", "tcp flags syn", [has("tcp"), is("tcp.flags", masked(0x002, 0x002))]],
    ["tcp flags !ack,syn", "tcp flags syn,!ack", [has("tcp"), is("tcp.flags", masked(0x002, 0x012))]],
    ["tcp flags !fin,!ns,cwr", "tcp flags cwr,!fin,!ns", [has("tcp"), is("tcp.flags", masked(0x080, 0x181))]],
    ["tcp flags 0x012", "tcp flags 0x012", [has("tcp"), is("tcp.flags", ...exact(12, 0x012))]],
    ["tcp flags 0x002/0x012", "tcp flags syn,!ack", [has("tcp"), is("tcp.flags", masked(0x002, 0x012))]],
    ["tcp flags 0x800/0x800", "tcp flags 0x800/0x800", [has("tcp"), is("tcp.flags", masked(0x800, 0x800))]],
    [
      "tcp flags 0x004/0x004,0x001/0x001",
      "tcp flags 0x001/0x1,0x004/0x4",
      [has("tcp"), is("tcp.flags", masked(1, 1), masked(4, 4))],
    ],
    [
      "udp sport dhcp-client dport dhcp-server",
      "udp sport 68 dport 67",
      [has("udp"), is("udp.sport", ...exact(16, 68)), is("udp.dport", ...exact(16, 67))],
    ],
    [
      "sctp sport 1 dport 2",
      "sctp sport 1 dport 2",
      [has("sctp"), is("sctp.sport", ...exact(16, 1)), is("sctp.dport", ...exact(16, 2))],
    ],
    ["icmp type echo-request", "icmp type echo-request", [has("icmp"), is("icmp.type", ...exact(8, 8))]],
    [
      "icmp type 3,200 code 0-3",
      "icmp type unreachable,200 code 0-3",
      [has("icmp"), is("icmp.type", ...exact(8, 3, 200)), is("icmp.code", range(0, 3))],
    ],
    [
      "icmp6 type 135,router-advertisement code 0",
      "icmp6 type router-advertisement,neighbour-solicitation code 0",
      [has("icmp6"), is("icmp6.type", ...exact(8, 134, 135)), is("icmp6.code", ...exact(8, 0))],
    ],
  ];
  test.each(cases)("%s", (text, canonical, match) => {
    const rule = parseRule(`${text} drop`);
    expect(rule.match).toEqual(match);
    expect(formatMatch(rule)).toBe(canonical);
    expect(parseRule(`${canonical} drop`)).toEqual(rule);
  });
});

describe("what looks like a contradiction and is none", () => {
  test.each([
    "eth type ip ip",
    "eth type ip,arp tcp",
    "eth type 0x8000-0xffff ip6",
    "ip proto tcp,udp tcp",
    "ip proto 0-6 tcp",
    "ip proto 6-16 tcp",
    "ip proto 0/0x80 udp",
    "ip frag none,later udp",
    "ip frag any tcp",
    "eth type ip ip none",
    "vlan none inner none",
    "vlan any inner none",
    "arp none ip none",
    "ip6 none icmp",
    "inner 5",
  ])("%s", (text) => {
    expect(formatMatch(parseRule(`${text} drop`))).toBe(text);
  });
});

describe("actions", () => {
  const cases: [text: string, canonical: string, action: NamedAction][] = [
    ["allow", "allow", { do: "allow" }],
    ["drop", "drop", { do: "drop" }],
    ["flood", "flood", { do: "flood" }],
    ["continue", "continue", { do: "continue" }],
    ["forward vm2,vm1", "forward vm2,vm1", { do: "forward", ports: ["vm2", "vm1"] }],
    ["mirror span", "mirror span", { do: "mirror", port: "span" }],
    ["set vlan 10", "set vlan 10", { do: "set-vlan", id: 10 }],
    ["set vlan 0x0a pcp 7", "set vlan 10 pcp 7", { do: "set-vlan", id: 10, pcp: 7 }],
    ["set pcp 0", "set pcp 0", { do: "set-vlan", pcp: 0 }],
    ["strip vlan", "strip vlan", { do: "strip-vlan" }],
    ["set eth src 02:00:00:00:00:0A", "set eth src 02:00:00:00:00:0a", { do: "set-mac", src: "02000000000a" }],
    ["set eth dst 01:00:5e:00:00:01", "set eth dst 01:00:5e:00:00:01", { do: "set-mac", dst: "01005e000001" }],
    [
      "set eth dst ff:ff:ff:ff:ff:ff src 00:00:00:00:00:02",
      "set eth src 00:00:00:00:00:02 dst ff:ff:ff:ff:ff:ff",
      { do: "set-mac", src: "000000000002", dst: "ffffffffffff" },
    ],
    ["set dscp 46", "set dscp ef", { do: "set-dscp", dscp: 46 }],
    ["set dscp af11", "set dscp af11", { do: "set-dscp", dscp: 10 }],
    ["set dscp 63", "set dscp 63", { do: "set-dscp", dscp: 63 }],
    ["meter web", "meter web", { do: "meter", meter: "web" }],
    ["count", "count", { do: "count" }],
    ["log", "log", { do: "log", every: 1 }],
    ["log 1/1", "log", { do: "log", every: 1 }],
    ["log 1/100", "log 1/100", { do: "log", every: 100 }],
  ];
  test.each(cases)("%s", (text, canonical, action) => {
    const { match, actions } = parseRule(text);
    expect(match).toEqual([]);
    expect(actions).toEqual([action]);
    expect(actions.map(formatAction)).toEqual([canonical]);
  });

  test("stay in the order given", () => {
    const text =
      "prio 1 tcp meter web mirror a mirror b set vlan 5 strip vlan set vlan 6 strip vlan count log continue";
    expect(formatRule(parseRule(text))).toBe(text);
    expect(parseRule("log meter a drop").actions.map((action) => action.do)).toEqual(["log", "meter", "drop"]);
  });

  test("need no end: the search goes on", () => {
    expect(parseRule("tcp count").actions).toEqual([{ do: "count" }]);
  });
});

test("any white space separates words", () => {
  expect(parseRule("\n tcp\t\tdport  80\r\n drop ")).toEqual(parseRule("tcp dport 80 drop"));
});
