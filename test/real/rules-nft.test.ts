// Rules against the kernel's own: small random rule sets, as ours and as nftables rules of a bridge, and the same frames through both. What
// comes out of each port is the same, bytes and order.
//
//   [ in 1, ip4.src 10.0.0.0/24, tcp.dport 80 or 100-200 ] drop      iifname "p1" ip saddr 10.0.0.0/24 tcp dport { 80, 100-200 } drop
//
// Frames are whole, with one tag at most, and go to nobody whom a switch could have learned: ours learns nothing from frames that rules drop,
// Linux's bridge has learned by then; of headers cut short each has an idea of its own. Differences by intent: fragments behind the
// first have no ports and types for ours, while nftables in a bridge takes what lies there for them (Linux 6.18); here nothing that a rule
// could take for a port lies there. And it does not find ARP and ICMP behind a tag, where ours does: no tags there.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { IP4, IP6, type IpVersion, prefixMask } from "../../src/core/ip.ts";
import type { FieldName } from "../../src/dataplane/rules/key.ts";
import type { Constraint, FieldValue, Rule } from "../../src/dataplane/rules/rule.ts";
import {
  ARP,
  arp,
  big,
  framed,
  ICMPV6,
  IPV4,
  IPV6,
  ip4,
  ip6,
  options,
  type Tag,
  udp,
} from "../dataplane/bridge/guard-frames.ts";
import { PlanRig } from "../dataplane/rules/plan-rig.ts";
import { useCleanup } from "../support/cleanup.ts";
import { BROADCAST, type Mac, mac, macText } from "../support/frames.ts";
import { KernelBridge, requireKernelPorts } from "../support/kernel-bridge.ts";
import { type Namespace, useNamespaces } from "../support/netns.ts";
import { sized } from "../support/scale.ts";
import { requirePeer, requirePrograms, type Suite } from "../support/skip.ts";

const PORTS = 3;
const IPS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.128.0.1", "192.168.1.1"];
const IP6S = ["fd00::1", "fd00::2", "fd00:0:0:1::1", "fe80::1"];
const L4_PORTS = [22, 53, 80, 81, 443, 1024, 65535];
const PROTOCOLS = [1, 6, 17, 47];
const DSCPS = [0, 10, 46];
const FLAGS = [0x02, 0x10, 0x12, 0x18, 0x04];
const VLANS = [1, 10, 100];
const SOURCES: Mac[] = [mac(1), mac(2), mac(0x101)];

/** One condition in both languages. */
interface Condition {
  ours: Constraint;
  nft: string;
}

type AnyCondition = fc.Arbitrary<Condition>;
const from = <T>(pool: readonly T[]) => fc.constantFrom(...pool);

function exact(field: FieldName, width: number, pool: readonly number[], nft: string): AnyCondition {
  return from(pool).map((value) => {
    const mask = (1n << BigInt(width)) - 1n;
    return { ours: { field, oneOf: [{ value: BigInt(value), mask }] }, nft: `${nft} ${value}` };
  });
}

function prefix(
  field: FieldName,
  version: IpVersion,
  pool: readonly string[],
  lengths: readonly number[],
  nft: string,
): AnyCondition {
  return fc.tuple(from(pool), from(lengths)).map(([text, length]) => {
    const mask = prefixMask(version.bits, length);
    const value = (version.parse(text) ?? 0n) & mask;
    return { ours: { field, oneOf: [{ value, mask }] }, nft: `${nft} ${version.format(value)}/${length}` };
  });
}

/** Up to three ports or ranges of them. */
function portSet(field: FieldName, nft: string): AnyCondition {
  const one = fc.tuple(from(L4_PORTS), from(L4_PORTS)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  return fc.uniqueArray(one, { minLength: 1, maxLength: 3, selector: String }).map((ranges) => {
    const oneOf: FieldValue[] = ranges.map(([low, high]) => ({ low: BigInt(low), high: BigInt(high) }));
    const texts = ranges.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`));
    // nftables takes no overlapping ranges in one set: then a set of one.
    const overlap = ranges.some(([low], k) => ranges.some(([other, end], j) => j !== k && low >= other && low <= end));
    return overlap
      ? { ours: { field, oneOf: [oneOf[0]] }, nft: `${nft} ${texts[0]}` }
      : { ours: { field, oneOf }, nft: `${nft} { ${texts.join(", ")} }` };
  });
}

const inPort = from([0, 1, 2]).map((port): Condition => {
  return { ours: { field: "in", oneOf: [{ value: BigInt(port), mask: 0xffffn }] }, nft: `iifname "p${port}"` };
});

const number = (address: Mac) => BigInt(`0x${macText(address).replaceAll(":", "")}`);
const source = fc
  .tuple(from(SOURCES), from([0xffff_ffff_ffffn, 0xffff_ffff_ff00n, 0x0000_0000_00ffn]))
  .map(([address, mask]): Condition => {
    const value = number(address) & mask;
    const text = (it: bigint) => macText(big(it, 6));
    return {
      ours: { field: "eth.src", oneOf: [{ value, mask }] },
      nft: `ether saddr & ${text(mask)} == ${text(value)}`,
    };
  });

const flags = fc
  .tuple(from(FLAGS), from([0x02, 0x12, 0xff]))
  .filter(([value, mask]) => (value & mask) !== 0)
  .map(([value, mask]): Condition => {
    const wanted = value & mask;
    return {
      ours: { field: "tcp.flags", oneOf: [{ value: BigInt(wanted), mask: BigInt(mask) }] },
      nft: `tcp flags & ${mask} == ${wanted}`,
    };
  });

const laterFragment: AnyCondition = fc.constant({
  ours: { field: "ip4.frag", oneOf: [{ value: 2n, mask: 2n }] },
  nft: "ip frag-off & 0x1fff != 0",
});

const link = [inPort, source, exact("vlan.id", 12, VLANS, "vlan id")];
const net4 = [
  prefix("ip4.src", IP4, IPS, [8, 9, 24, 32], "ip saddr"),
  prefix("ip4.dst", IP4, IPS, [8, 24, 32], "ip daddr"),
  exact("ip4.dscp", 6, DSCPS, "ip dscp"),
];
const net6 = [
  prefix("ip6.src", IP6, IP6S, [10, 64, 128], "ip6 saddr"),
  prefix("ip6.dst", IP6, IP6S, [64, 128], "ip6 daddr"),
];
const tcp = [portSet("tcp.sport", "tcp sport"), portSet("tcp.dport", "tcp dport"), flags];
const datagram = [portSet("udp.sport", "udp sport"), portSet("udp.dport", "udp dport")];
/** What can stand together in a rule of nftables. */
const THEMES: AnyCondition[][] = [
  link,
  [inPort, source, ...net4, ...tcp],
  [inPort, ...net4, ...datagram],
  [...net4, laterFragment, exact("ip4.proto", 8, PROTOCOLS, "ip protocol")],
  [inPort, ...net4, exact("icmp.type", 8, [0, 8], "icmp type")],
  [inPort, ...net6, ...tcp],
  [...net6, ...datagram],
  [inPort, ...net6, exact("icmp6.type", 8, [128, 135, 136], "icmpv6 type")],
  [inPort, exact("arp.op", 16, [1, 2], "arp operation"), prefix("arp.spa", IP4, IPS, [32], "arp saddr ip")],
  [exact("vlan.id", 12, VLANS, "vlan id"), ...datagram],
  tcp,
];

const anyRule = from(THEMES)
  .chain((theme) =>
    fc.tuple(
      fc.subarray(theme, { minLength: 1, maxLength: 3 }).chain((some) => fc.tuple(...some)),
      fc.boolean(),
    ),
  )
  .map(([conditions, drops]) => ({ conditions, drops }));

const anyPayload4 = fc.oneof(
  fc
    .tuple(from(L4_PORTS), from(L4_PORTS), from(FLAGS))
    .map(([a, b, bits]) => ({ protocol: 6, bytes: tcpHeader(a, b, bits) })),
  fc.tuple(from(L4_PORTS), from(L4_PORTS)).map(([a, b]) => ({ protocol: 17, bytes: udp(a, b) })),
);
const icmp = (protocol: number, types: readonly number[]) =>
  from(types).map((type) => ({ protocol, bytes: [type, 0, 0, 0, ...Array(24).fill(0)] }));

function tcpHeader(a: number, b: number, bits: number): number[] {
  return [...big(a, 2), ...big(b, 2), ...Array(8).fill(1), 0x50, bits, 1, 0, 0, 0, 0, 0];
}

const anyIp4 = fc
  .tuple(
    from(IPS),
    from(IPS),
    from(DSCPS),
    from([0, 0, 0, 0x2000, 0x2001, 0x0007]),
    fc.oneof(anyPayload4, icmp(1, [0, 8]), fc.constant({ protocol: 47, bytes: Array<number>(20).fill(0) })),
  )
  .map(([a, b, dscp, fragment, { protocol, bytes }]) => {
    const isLater = (fragment & 0x1fff) !== 0;
    const packet = ip4(a, b, protocol, isLater ? bytes.map(() => (protocol === 1 ? 0xff : 0)) : bytes, fragment);
    packet[1] = dscp << 2;
    return { type: IPV4, packet };
  });
const anyIp6 = fc
  .tuple(from(IP6S), from(IP6S), fc.boolean(), fc.oneof(anyPayload4, icmp(ICMPV6, [128, 135, 136])))
  .map(([a, b, extended, { protocol, bytes }]) => ({
    type: IPV6,
    packet: ip6(a, b, protocol, bytes, extended ? [options(60)] : []),
  }));
const anyArp = fc
  .tuple(from([1, 2]), from(IPS), from(IPS))
  .map(([op, a, b]) => ({ type: ARP, packet: arp(op, mac(1), a, b) }));
const other = fc.constant({ type: 0x88b5, packet: Array<number>(46).fill(3) });

/** Of IPv4 its tenth byte, of IPv6 its seventh is what it carries. */
function isFoundInTags(type: number, packet: readonly number[]): boolean {
  return type !== ARP && packet[9] !== 1 && packet[6] !== ICMPV6 && packet[40] !== ICMPV6;
}

const anyFrame = fc
  .tuple(
    from<Mac>([BROADCAST, mac(200)]),
    from(SOURCES),
    from<Tag[]>([[], [], [[0x8100, 10]], [[0x8100, 100]]]),
    fc.oneof({ arbitrary: anyIp4, weight: 3 }, { arbitrary: anyIp6, weight: 2 }, anyArp, other),
  )
  .map(([to, by, tags, { type, packet }]) =>
    framed(to, by, type, packet, ...(isFoundInTags(type, packet) ? tags : [])),
  );
const anyBursts = fc.array(fc.tuple(fc.nat({ max: PORTS - 1 }), fc.array(anyFrame, { minLength: 1, maxLength: 16 })), {
  minLength: 1,
  maxLength: 8,
});

type AnyRules = { conditions: Condition[]; drops: boolean }[];

function asOurs(rules: AnyRules): Rule[] {
  return rules.map(({ conditions, drops }, k) => ({
    id: k + 1,
    priority: 10,
    match: conditions.map(({ ours }) => ours),
    actions: [{ do: drops ? "drop" : "allow" }],
  }));
}

function asNftables(rules: AnyRules): string {
  const lines = rules.map(
    ({ conditions, drops }) => `${conditions.map(({ nft }) => nft).join(" ")} ${drops ? "drop" : "accept"}`,
  );
  return [
    "flush ruleset",
    "table bridge t {",
    "chain c {",
    "type filter hook forward priority 0; policy accept;",
    ...lines,
    "}",
    "}",
    "",
  ].join("\n");
}

async function load(inside: Namespace, rules: AnyRules): Promise<void> {
  await inside.run(["nft", "-f", "-"], { stdin: asNftables(rules) });
}

/** `describe` where the kernel filters frames of a bridge by nftables. */
function requireNftables(): Suite {
  if (Bun.which("nft") === null) return requirePrograms(["nft"], "apt install nftables");
  const trial = Bun.spawnSync(["unshare", "--net", "nft", "-f", "-"], { stdin: Buffer.from(asNftables([])) });
  return requirePeer("nftables for bridges", trial.success, trial.stderr.toString().trim());
}

requireKernelPorts(false, requireNftables)("the same rules in nftables", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();

  test.each([false, true])(
    "decide the same of the same frames (with policies: %p)",
    async (bridged) => {
      const inside = await namespace();
      const kernel = await KernelBridge.create(inside, PORTS);
      defer(() => kernel.close());
      await kernel.configure();
      await fc.assert(
        fc.asyncProperty(fc.array(anyRule, { minLength: 1, maxLength: 8 }), anyBursts, async (rules, bursts) => {
          await load(inside, rules);
          const rig = new PlanRig(Array.from({ length: PORTS }, () => ({})));
          try {
            if (bridged) rig.policy({ 9: { isolated: true } }, {}, asOurs(rules));
            else rig.rules(asOurs(rules));
            for (const [port, frames] of bursts) {
              const expected = rig.send(port, ...frames).map((list) => list.map((bytes) => bytes.toHex()));
              for (const bytes of frames) kernel.send(port, bytes);
              expect(await kernel.receiveAll(expected.map(({ length }) => length))).toEqual(expected);
            }
          } finally {
            rig.close();
          }
        }),
        { numRuns: sized(40, 1000) },
      );
    },
    sized(120_000, 1_800_000),
  );
});
