// What a rule's words say of real frames: text -> rule -> the reference interpreter. Frames are bytes here, so that nothing between
// the word and the wire is taken on trust.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { resolveRule } from "../../../src/control/rules/resolve.ts";
import { interpret } from "../../../src/dataplane/rules/interpret.ts";
import { anyFrame } from "../../support/random-frames.ts";
import { sized } from "../../support/scale.ts";

const lookup = { port: (name: string) => Number(name.slice(2)), meter: () => 0 };

/** Whether the match holds for a frame that came in on port vm3. */
function matches(match: string, frame: Uint8Array): boolean {
  const rule = resolveRule({ ...parseRule(`${match} drop`), id: 1 }, lookup);
  return interpret([rule], 3, frame).length > 0;
}

const bytes = (hex: string) => Uint8Array.fromHex(hex.replaceAll(/\s/g, ""));
const MACS = "0200 0000 0001  0200 0000 0002";
const TCP = "c350 01bb  0000 0001 0000 0002  5012 ffff 0000 0000";
/** DSCP ef, not a fragment, 10.0.0.1 to 10.1.2.3. */
const IP = (protocol: string, fragment = "0000") =>
  `45b8 0028 0001 ${fragment} 40${protocol} 0000  0a00 0001  0a01 0203`;
const IP6 = (next: string) =>
  `6b80 0000 0014 ${next}40  fe80 0000 0000 0000 0000 0000 0000 0001  2001 0db8 0000 0000 0000 0000 0000 0002`;

const FRAMES = {
  tcp: bytes(`${MACS} 0800 ${IP("06")} ${TCP}`),
  tagged: bytes(`${MACS} 8100 600a 0800 ${IP("06")} ${TCP}`),
  qinq: bytes(`${MACS} 88a8 0064 8100 a00a 86dd ${IP6("06")} ${TCP}`),
  first: bytes(`${MACS} 0800 ${IP("06", "2000")} ${TCP}`),
  later: bytes(`${MACS} 0800 ${IP("06", "2005")} ${TCP}`),
  udp: bytes(`${MACS} 0800 ${IP("11")} 0035 c350 0014 0000 ${"00".repeat(12)}`),
  sctp: bytes(`${MACS} 0800 ${IP("84")} 0b59 0b5a 0000 0000 0000 0000 ${"00".repeat(8)}`),
  ping: bytes(`${MACS} 0800 ${IP("01")} 0800 0000 0000 0000 ${"00".repeat(12)}`),
  solicitation: bytes(`${MACS} 86dd ${IP6("3a")} 8700 0000 0000 0000 ${"00".repeat(12)}`),
  arp: bytes(
    `ffff ffff ffff 0200 0000 0002 0806  0001 0800 0604 0001  0200 0000 0002 0a00 0001  0000 0000 0000 0a00 00fe ${"00".repeat(18)}`,
  ),
  lldp: bytes(`0180 c200 000e 0200 0000 0002 88cc ${"00".repeat(46)}`),
};

describe("a frame is", () => {
  const cases: [name: keyof typeof FRAMES, yes: string[], no: string[]][] = [
    [
      "tcp",
      [
        "in vm3",
        "in vm1,vm3",
        "eth src 02:00:00:00:00:02 dst 02:00:00:00:00:01 type ip",
        "eth dst 02:00:00:00:00:00/ff:ff:ff:ff:ff:00",
        "vlan none",
        "inner none",
        "arp none",
        "ip6 none",
        "ip src 10.0.0.0/24 dst 10.1.2.3",
        "ip src 10.0.0.1-10.0.0.9",
        "ip dst 10.1.0.3/255.255.0.255",
        "ip proto tcp dscp ef frag none",
        "tcp sport 50000 dport https",
        "tcp dport 80,400-443",
        "tcp flags syn,ack",
        "tcp flags syn,!rst",
        "tcp flags 0x012",
      ],
      [
        "in vm1",
        "eth src 02:00:00:00:00:01",
        "vlan any",
        "pcp 0",
        "ip none",
        "ip src 10.1.2.3",
        "ip src 10.0.0.2-10.0.0.9",
        "ip frag any",
        "ip frag first,later",
        "ip dscp 0-45",
        "tcp none",
        "tcp dport 80,444-65535",
        "tcp flags syn,!ack",
        "tcp flags 0x002",
        "udp dport https",
        "ip6",
      ],
    ],
    [
      "tagged",
      ["vlan any", "vlan 10", "vlan 1-20 pcp 3", "pcp 3", "inner none", "eth type ip", "tcp dport 443"],
      ["vlan none", "vlan 11", "vlan 10 pcp 2", "inner any", "eth type vlan"],
    ],
    [
      "qinq",
      [
        "vlan 100 pcp 0 inner 10 pcp 5",
        "inner any",
        "eth type ip6",
        "ip6 src fe80::/10 dst 2001:db8::2 dscp ef tcp dport 443",
      ],
      ["vlan 10", "inner 100", "inner none", "ip6 src 2001:db8::/32", "ip"],
    ],
    ["first", ["ip frag first", "ip frag any", "tcp dport 443"], ["ip frag none", "ip frag later"]],
    [
      "later",
      ["ip frag later", "ip frag any", "tcp none", "ip proto tcp"],
      ["ip frag first", "ip frag none", "tcp", "tcp dport 443"],
    ],
    ["udp", ["udp sport dns dport 50000", "ip proto udp"], ["tcp", "udp dport dns"]],
    ["sctp", ["sctp sport 2905 dport 2906"], ["sctp sport 2906", "tcp", "udp"]],
    ["ping", ["icmp", "icmp type echo-request code 0"], ["icmp type echo-reply", "icmp6", "icmp code 1-255"]],
    [
      "solicitation",
      ["icmp6 type neighbour-solicitation", "ip6 proto icmp6"],
      ["icmp", "icmp6 type router-solicitation"],
    ],
    [
      "arp",
      [
        "arp op request",
        "arp spa 10.0.0.1 tpa 10.0.0.0/24 sha 02:00:00:00:00:02 tha 00:00:00:00:00:00",
        "eth dst ff:ff:ff:ff:ff:ff type arp",
      ],
      ["arp op reply", "arp spa 10.0.0.254", "ip", "arp none"],
    ],
    [
      "lldp",
      ["eth type lldp", "eth dst 01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0", "ip none ip6 none arp none"],
      ["eth type 0-1535"],
    ],
  ];
  test.each(cases)("%s", (name, yes, no) => {
    for (const match of yes) expect([match, matches(match, FRAMES[name])]).toEqual([match, true]);
    for (const match of no) expect([match, matches(match, FRAMES[name])]).toEqual([match, false]);
  });
});

/** One word, or two that belong together; each constrains other fields than the rest, presences aside. */
const PHRASES = [
  ["vlan any", "vlan none"],
  ["vlan pcp 0-7"],
  ["inner any", "inner none"],
  ["inner 0-4094"],
  ["eth type arp", "eth type ip", "eth type ip6", "eth type 0x86dd,0x0806", "eth type 0-0xffff"],
  ["arp", "arp none"],
  ["arp op 0-65535"],
  ["ip", "ip none"],
  ["ip proto tcp", "ip proto udp,icmp", "ip proto 0/0x80"],
  ["ip frag none", "ip frag any", "ip frag first", "ip frag later", "ip frag none,later"],
  ["ip6", "ip6 none"],
  ["ip6 proto tcp", "ip6 proto sctp,icmp6", "ip6 proto 0-16"],
  ["ip6 frag none", "ip6 frag any", "ip6 frag first", "ip6 frag later", "ip6 frag first,later"],
  ["tcp", "tcp none"],
  ["tcp dport 0-65535"],
  ["udp", "udp none"],
  ["sctp", "sctp none"],
  ["icmp", "icmp none"],
  ["icmp code 0-255"],
  ["icmp6", "icmp6 none"],
];

test(
  "no rule is refused as impossible that a frame can match",
  () => {
    const property = fc.property(
      anyFrame,
      fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
      (frame, dice) => {
        const chosen = PHRASES.flatMap((group) => {
          const holding = group.filter((phrase) => matches(phrase, frame));
          const [roll] = dice.take(1);
          return holding.slice(Math.floor(roll * (holding.length + 1)), Math.floor(roll * (holding.length + 1)) + 1);
        });
        expect(matches(chosen.join(" "), frame)).toBe(true);
      },
    );
    fc.assert(property, { numRuns: sized(300, 30_000) });
  },
  sized(30_000, 600_000),
);
