// Rule lists that fast-check makes up and shrinks: all fields, as exact values, prefixes, arbitrary masks and ranges, one or
// several; actions of all kinds; few priorities, so that ids decide too. Values come from the pool of random-frames.ts.
//
//   theme   tcp4    in eth.src ip4.src ip4.dst tcp.dport …     fields that one frame can have together (most rules), or
//           wild    arp.op ip6.src …                           any fields at all: those rules may match nothing
//
// Rules come in rank order, ids unique. Ranges of wide fields are short and a rule has at most two ranges, so that whoever
// turns them into prefixes gets thousands of entries at most.

import fc from "fast-check";
import { FIELD_NAMES, type FieldName } from "../../src/dataplane/rules/key.ts";
import { type Action, byRank, type Constraint, type FieldValue, type Rule } from "../../src/dataplane/rules/rule.ts";
import { POOL } from "./random-frames.ts";

const FLAG = [0n, 1n];
const PRESENCE = { width: 1, pool: FLAG };
const MAC = { width: 48, pool: POOL.mac };
const VLAN_ID = { width: 12, pool: POOL.vlanId };
const PCP = { width: 3, pool: POOL.pcp };
const IP4 = { width: 32, pool: POOL.ip4 };
const IP6 = { width: 128, pool: POOL.ip6 };
const PROTO = { width: 8, pool: POOL.proto };
const DSCP = { width: 6, pool: POOL.dscp };
const FRAGMENT = { width: 2, pool: [0n, 1n, 3n] };
const PORT = { width: 16, pool: POOL.port };
const ICMP_CODE = { width: 8, pool: POOL.icmpCode };

/** Widths are given again here, so that a wrong one in src shows. */
const VALUES: Record<FieldName, { width: number; pool: readonly bigint[] }> = {
  in: { width: 16, pool: POOL.in },
  "eth.dst": MAC,
  "eth.src": MAC,
  "eth.type": { width: 16, pool: POOL.type },
  vlan: PRESENCE,
  "vlan.id": VLAN_ID,
  "vlan.pcp": PCP,
  inner: PRESENCE,
  "inner.id": VLAN_ID,
  "inner.pcp": PCP,
  arp: PRESENCE,
  "arp.op": { width: 16, pool: POOL.arpOp },
  "arp.spa": IP4,
  "arp.tpa": IP4,
  "arp.sha": MAC,
  "arp.tha": MAC,
  ip4: PRESENCE,
  "ip4.src": IP4,
  "ip4.dst": IP4,
  "ip4.proto": PROTO,
  "ip4.dscp": DSCP,
  "ip4.frag": FRAGMENT,
  ip6: PRESENCE,
  "ip6.src": IP6,
  "ip6.dst": IP6,
  "ip6.proto": PROTO,
  "ip6.dscp": DSCP,
  "ip6.frag": FRAGMENT,
  tcp: PRESENCE,
  "tcp.sport": PORT,
  "tcp.dport": PORT,
  "tcp.flags": { width: 12, pool: POOL.tcpFlags },
  udp: PRESENCE,
  "udp.sport": PORT,
  "udp.dport": PORT,
  sctp: PRESENCE,
  "sctp.sport": PORT,
  "sctp.dport": PORT,
  icmp: PRESENCE,
  "icmp.type": { width: 8, pool: POOL.icmpType },
  "icmp.code": ICMP_CODE,
  icmp6: PRESENCE,
  "icmp6.type": { width: 8, pool: POOL.icmp6Type },
  "icmp6.code": ICMP_CODE,
};

const layer = (...prefixes: string[]) =>
  FIELD_NAMES.filter((name) => prefixes.some((prefix) => name === prefix || name.startsWith(`${prefix}.`)));
const ETHERNET = layer("in", "eth", "vlan");
const THEMES = [
  ...["tcp", "udp", "sctp", "icmp"].map((transport) => [...ETHERNET, ...layer("ip4", transport)]),
  ...["tcp", "udp", "sctp", "icmp6"].map((transport) => [...ETHERNET, ...layer("ip6", transport)]),
  [...ETHERNET, ...layer("arp")],
  [...ETHERNET, ...layer("inner")],
  FIELD_NAMES,
];

const ones = (bits: number) => (1n << BigInt(bits)) - 1n;
const least = (a: bigint, b: bigint) => (a < b ? a : b);

/** From the pool, right beside it, or anything. */
function anyValue(name: FieldName): fc.Arbitrary<bigint> {
  const { width, pool } = VALUES[name];
  const listed = fc.constantFrom(...pool);
  if (width === 1) return listed;
  return fc.oneof(
    { arbitrary: listed, weight: 8 },
    listed.map((value) => (value + 1n) & ones(width)),
    fc.bigInt({ min: 0n, max: ones(width) }),
  );
}

function masked(value: bigint, mask: bigint): FieldValue {
  return { value: value & mask, mask };
}

function anyMasked(name: FieldName): fc.Arbitrary<FieldValue> {
  const { width } = VALUES[name];
  const exact = anyValue(name).map((value) => masked(value, ones(width)));
  if (width === 1) return exact;
  const prefix = fc.tuple(anyValue(name), fc.integer({ min: 0, max: width })).map(([value, bits]) => {
    return masked(value, ones(width) ^ ones(width - bits));
  });
  const scattered = fc.tuple(anyValue(name), fc.bigInt({ min: 0n, max: ones(width) })).map(([value, mask]) => {
    return masked(value, mask);
  });
  return fc.oneof({ arbitrary: exact, weight: 6 }, { arbitrary: prefix, weight: 2 }, scattered);
}

function anyRange(name: FieldName): fc.Arbitrary<FieldValue> {
  const { width } = VALUES[name];
  const span = ones(width > 16 ? 6 : width);
  return fc.tuple(anyValue(name), fc.bigInt({ min: 0n, max: span })).map(([low, length]) => {
    return { low, high: least(low + length, ones(width)) };
  });
}

function anyConstraint(name: FieldName): fc.Arbitrary<Constraint> {
  const value = fc.oneof({ arbitrary: anyMasked(name), weight: 6 }, anyRange(name));
  return fc.array(value, { minLength: 1, maxLength: 3 }).map((oneOf) => ({ field: name, oneOf }));
}

const isRange = (value: FieldValue) => "low" in value;

/** Leaves the first two ranges; a constraint keeps at least one value. */
function withFewRanges(match: readonly Constraint[]): Constraint[] {
  let ranges = 0;
  return match.flatMap(({ field, oneOf }) => {
    const kept = oneOf.filter((value) => !isRange(value) || ++ranges <= 2);
    return kept.length === 0 ? [] : [{ field, oneOf: kept }];
  });
}

/** A field may be asked for twice: both have to hold. */
const anyMatch: fc.Arbitrary<Constraint[]> = fc
  .constantFrom(...THEMES)
  .chain((fields) => fc.array(fc.constantFrom(...fields).chain(anyConstraint), { maxLength: 4 }))
  .map(withFewRanges);

const anyPort = fc.constantFrom(...POOL.in).map(Number);
const anyMac = fc.constantFrom(...POOL.mac).map((mac) => mac.toString(16).padStart(12, "0"));

const anyChange: fc.Arbitrary<Action> = fc.oneof(
  anyPort.map((port): Action => ({ do: "mirror", port })),
  fc.record({ id: fc.constantFrom(1, 100), pcp: fc.nat(7) }).map((tag): Action => ({ do: "set-vlan", ...tag })),
  fc.constant<Action>({ do: "strip-vlan" }),
  anyMac.map((src): Action => ({ do: "set-mac", src })),
  anyMac.map((dst): Action => ({ do: "set-mac", dst })),
  fc.nat(63).map((dscp): Action => ({ do: "set-dscp", dscp })),
  fc.nat(1).map((meter): Action => ({ do: "meter", meter })),
  fc.constant<Action>({ do: "count" }),
  fc.constantFrom(1, 1000).map((every): Action => ({ do: "log", every })),
);

const anyTerminal: fc.Arbitrary<Action[]> = fc.oneof(
  fc.constant<Action[]>([]),
  fc.constant<Action[]>([{ do: "continue" }]),
  fc.constantFrom<Action[]>([{ do: "allow" }], [{ do: "drop" }], [{ do: "flood" }]),
  fc.uniqueArray(anyPort, { minLength: 1, maxLength: 3 }).map((ports): Action[] => [{ do: "forward", ports }]),
);

const anyPriority = fc.oneof({ arbitrary: fc.constantFrom(0, 1000, 65535), weight: 3 }, fc.nat(65535));

/** Up to `maxLength` rules in rank order. */
export function anyRules(maxLength: number): fc.Arbitrary<Rule[]> {
  const rule = fc.record({
    priority: anyPriority,
    match: anyMatch,
    actions: fc.tuple(fc.array(anyChange, { maxLength: 2 }), anyTerminal).map((actions) => actions.flat()),
  });
  return fc.array(rule, { maxLength, size: "max" }).map((rules) => {
    return rules.map((it, i): Rule => ({ id: i + 1, ...it })).sort(byRank);
  });
}
