// Rules that fast-check makes up and shrinks, each in two languages: ours, and tc's (tc-filters.ts), with what u32 can look at: places of headers
// behind IPv4's of 20 and of 24 bytes, and behind IPv6's without extension headers. Whoever compares sends frames of these shapes.
//
// Differences by intent: ours makes one copy for a port, however many rules ask for a mirror there, and tc one for each: rules here do not ask
// again. Ours sends none to the port that the frame came from: filters do not, either.

import fc from "fast-check";
import { IP4, IP6, type IpVersion, prefixMask } from "../../src/core/ip.ts";
import type { FieldName } from "../../src/dataplane/rules/key.ts";
import type { Constraint, Rule, TerminalAction } from "../../src/dataplane/rules/rule.ts";
import { ARP, IPV4, IPV6 } from "../dataplane/bridge/guard-frames.ts";
import { type Mac, mac, macText } from "./frames.ts";
import {
  type Condition,
  key,
  type Place,
  PRIORITY_MAX,
  RULES_MAX,
  type TcRule,
  TYPES,
  tcFilters,
} from "./tc-filters.ts";

/** Values that frames have and rules ask for. */
export const POOL = {
  sources: [mac(1), mac(2), mac(0x101)],
  targets: [mac(200), mac(201)],
  types: [IPV4, IPV6, ARP, 0x88b5],
  ip4: ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.128.0.1", "192.168.1.1"],
  ip6: ["fd00::1", "fd00::2", "fd00:0:0:1::1", "fe80::1"],
  dscp: [0, 10, 46],
  ports: [22, 53, 80, 81, 443, 1024, 65535],
  flags: [0x02, 0x10, 0x12, 0x18, 0x04],
  icmp: [0, 8],
} as const;

/** The same rules twice. `tc`: lines for `tc -batch`. */
export interface BothRules {
  ours: Rule[];
  tc: string[];
}

/** What can stand together in a rule. */
interface Theme {
  /** Of these a rule says that the frame has them. */
  headers: FieldName[];
  places: Place[];
  conditions: fc.Arbitrary<Condition>[];
}

type Draft = TcRule & { headers: FieldName[] };

const from = <T>(pool: readonly T[]) => fc.constantFrom(...pool);

function exact(field: FieldName, width: number, ...list: readonly number[]): Constraint {
  const mask = (1n << BigInt(width)) - 1n;
  return { field, oneOf: list.map((value) => ({ value: BigInt(value), mask })) };
}

/** One value or two. */
function values(
  field: FieldName,
  width: number,
  pool: readonly number[],
  asKey: (value: number, at: number) => string,
): fc.Arbitrary<Condition> {
  return fc.uniqueArray(from(pool), { minLength: 1, maxLength: 2 }).map((list) => ({
    ours: exact(field, width, ...list),
    keys: (at) => list.map((value) => asKey(value, at)),
  }));
}

function prefix(
  field: FieldName,
  version: IpVersion,
  pool: readonly string[],
  lengths: readonly number[],
  name: string,
): fc.Arbitrary<Condition> {
  return fc.tuple(from(pool), from(lengths)).map(([text, length]) => {
    const mask = prefixMask(version.bits, length);
    const value = (version.parse(text) ?? 0n) & mask;
    const keys = [`match ${name} ${version.format(value)}/${length}`];
    return { ours: { field, oneOf: [{ value, mask }] }, keys: () => keys };
  });
}

/** Ports, or a range of them that is a mask to tc. */
function l4Ports(field: FieldName, offset: number): fc.Arbitrary<Condition> {
  const range = fc.tuple(from(POOL.ports), from([1, 6, 10])).map(([port, bits]): Condition => {
    const low = (port >> bits) << bits;
    const size = 1 << bits;
    return {
      ours: { field, oneOf: [{ low: BigInt(low), high: BigInt(low + size - 1) }] },
      keys: (at) => [key("u16", low, 0x10000 - size, at + offset)],
    };
  });
  return fc.oneof(
    values(field, 16, POOL.ports, (value, at) => key("u16", value, 0xffff, at + offset)),
    range,
  );
}

function address(field: FieldName, pool: readonly Mac[], offset: number): fc.Arbitrary<Condition> {
  return fc
    .tuple(from(pool), from([0xffff_ffff_ffffn, 0xffff_ffff_ff00n, 0x0000_0000_00ffn]))
    .map(([wanted, mask]): Condition => {
      const value = BigInt(`0x${macText(wanted).replaceAll(":", "")}`) & mask;
      const word = (whole: bigint, k: number) => (whole >> BigInt(32 - 16 * k)) & 0xffffn;
      const keys = [0, 1, 2].map((k) => key("u16", word(value, k), word(mask, k), offset + 2 * k));
      return { ours: { field, oneOf: [{ value, mask }] }, keys: () => [keys.join(" ")] };
    });
}

const flags = fc.tuple(from(POOL.flags), from([0x02, 0x12, 0xff])).map(([bits, mask]): Condition => {
  const value = bits & mask;
  return {
    ours: { field: "tcp.flags", oneOf: [{ value: BigInt(value), mask: BigInt(mask) }] },
    keys: (at) => [key("u8", value, mask, at + 13)],
  };
});

const NOT_LATER = key("u16", 0, 0x1fff, 6);
/** In two bits: is it a fragment, and not the first? In the header: more of them, and an offset. */
const fragments = from([
  { value: 0n, mask: 3n, keys: [key("u16", 0, 0x3fff, 6)] },
  { value: 1n, mask: 3n, keys: [key("u16", 0x2000, 0x3fff, 6)] },
  { value: 0n, mask: 2n, keys: [NOT_LATER] },
]).map(
  ({ value, mask, keys }): Condition => ({ ours: { field: "ip4.frag", oneOf: [{ value, mask }] }, keys: () => keys }),
);

const ofType = (type: number) => key("u16", type, 0xffff, -2);
const anywhere: Place = { names: TYPES, keys: key("u16", 0, 0, 0), at: 0 };
const arp: Place = { names: ["arp"], keys: ofType(ARP), at: 0 };
const ip4: Place = { names: ["ip"], keys: ofType(IPV4), at: 0 };
const ip6: Place = { names: ["ipv6"], keys: ofType(IPV6), at: 40 };

function behindIp4(protocol: number): Place[] {
  return [20, 24].map((at) => {
    const start = key("u8", 0x40 + at / 4, 0xff, 0);
    return { ...ip4, keys: `${ip4.keys} ${start} match ip protocol ${protocol} 0xff ${NOT_LATER}`, at };
  });
}

function behindIp6(protocol: number): Place {
  return { ...ip6, keys: `${ip6.keys} match ip6 protocol ${protocol} 0xff` };
}

const link = [address("eth.src", POOL.sources, -8), address("eth.dst", POOL.targets, -14)];
const net4 = [
  prefix("ip4.src", IP4, POOL.ip4, [8, 9, 24, 32], "ip src"),
  prefix("ip4.dst", IP4, POOL.ip4, [8, 24, 32], "ip dst"),
  values("ip4.dscp", 6, POOL.dscp, (value) => `match ip dsfield ${value << 2} 0xfc`),
];
const net6 = [
  prefix("ip6.src", IP6, POOL.ip6, [10, 64, 128], "ip6 src"),
  prefix("ip6.dst", IP6, POOL.ip6, [64, 128], "ip6 dst"),
  values("ip6.dscp", 6, POOL.dscp, (value) => `match ip6 priority ${value << 2} 0xfc`),
];
const protocol4 = values("ip4.proto", 8, [1, 6, 17, 47], (value) => `match ip protocol ${value} 0xff`);
const protocol6 = values("ip6.proto", 8, [6, 17], (value) => `match ip6 protocol ${value} 0xff`);
const tcp = [l4Ports("tcp.sport", 0), l4Ports("tcp.dport", 2), flags];
const udp = [l4Ports("udp.sport", 0), l4Ports("udp.dport", 2)];
const icmp = values("icmp.type", 8, POOL.icmp, (value, at) => key("u8", value, 0xff, at));
const operation = values("arp.op", 16, [1, 2], (value) => key("u16", value, 0xffff, 6));

const THEMES: Theme[] = [
  { headers: [], places: [anywhere], conditions: [...link, values("eth.type", 16, POOL.types, ofType)] },
  { headers: ["ip4"], places: [ip4], conditions: [...link, ...net4, protocol4, fragments] },
  { headers: ["ip4", "tcp"], places: behindIp4(6), conditions: [...net4, ...tcp] },
  { headers: ["ip4", "udp"], places: behindIp4(17), conditions: [...link, ...net4, ...udp] },
  { headers: ["icmp"], places: behindIp4(1), conditions: [...net4, icmp] },
  { headers: ["ip6"], places: [ip6], conditions: [...link, ...net6, protocol6] },
  { headers: ["ip6", "tcp"], places: [behindIp6(6)], conditions: [...net6, ...tcp] },
  { headers: ["tcp"], places: [...behindIp4(6), behindIp6(6)], conditions: tcp },
  { headers: ["udp"], places: [...behindIp4(17), behindIp6(17)], conditions: [...link, ...udp] },
  { headers: ["arp"], places: [arp], conditions: [...link, operation] },
];

/** Of a switch with ports 0, 1, ... as many as `ports`. */
export function anyBothRules(ports: number): fc.Arbitrary<BothRules> {
  const all = Array.from({ length: ports }, (_, port) => port);
  const some = fc.uniqueArray(from(all), { minLength: 1, maxLength: 2 });
  const inPorts = some.map((list): Condition => ({ ours: exact("in", 16, ...list), ports: list }));
  const rule = from(THEMES).chain(({ headers, places, conditions }) =>
    fc.record({
      priority: fc.nat({ max: PRIORITY_MAX }),
      headers: fc.constant(headers),
      places: fc.constant(places),
      tagged: from([null, null, false, true]),
      conditions: fc.subarray([inPorts, ...conditions], { maxLength: 3 }).chain((picked) => fc.tuple(...picked)),
      mirrors: fc.oneof(fc.constant<number[]>([]), some),
      end: fc.oneof(
        from(["allow", "drop", "flood", "continue"] as const).map((end): TerminalAction => ({ do: end })),
        some.map((to): TerminalAction => ({ do: "forward", ports: to })),
      ),
    }),
  );
  return fc.array(rule, { minLength: 1, maxLength: RULES_MAX }).map((list) => {
    const rules = withoutSecondCopies(list.map((it, k) => ({ ...it, id: k + 1 })));
    return { ours: rules.map(asOurs), tc: tcFilters(rules, ports) };
  });
}

/** Nobody asks for a copy where a rule before, which continued, may have asked already. */
function withoutSecondCopies(rules: Draft[]): Draft[] {
  const asked = new Set<number>();
  const ranked = rules.toSorted((a, b) => b.priority - a.priority || a.id - b.id);
  return ranked.map((rule) => {
    const mirrors = rule.mirrors.filter((port) => !asked.has(port));
    if (rule.end.do === "continue") for (const port of mirrors) asked.add(port);
    return { ...rule, mirrors };
  });
}

function asOurs({ id, priority, headers, tagged, conditions, mirrors, end }: Draft): Rule {
  const tag = tagged === null ? [] : [exact("vlan", 1, tagged ? 1 : 0)];
  const match = [...tag, ...headers.map((header) => exact(header, 1, 1)), ...conditions.map(({ ours }) => ours)];
  return { id, priority, match, actions: [...mirrors.map((port) => ({ do: "mirror", port }) as const), end] };
}
