// Rules by name that fast-check makes up and shrinks, in canonical form: what control/rules/ reads and writes. Each can match some
// frame, since others are refused: a set of headers that go together is drawn first, then fields of those alone.
//
//   headers  { vlan } { ip4 tcp }    ->    fields  in  eth.src  vlan.id  ip4.dst  tcp.dport    ->    values for each, actions
//
// What may be written, and the canonical order, are said here again, so that a mistake about them in src shows.

import fc from "fast-check";
import type { NamedAction, NamedConstraint, NamedRule } from "../../src/control/rules/named-rule.ts";
import { FIELD_NAMES, type FieldName } from "../../src/dataplane/rules/key.ts";
import type { FieldValue } from "../../src/dataplane/rules/rule.ts";

/** Widths in bits. Those of one bit are of headers: they are there, or are not. */
const WIDTHS: Record<Exclude<FieldName, "in">, number> = {
  "eth.dst": 48,
  "eth.src": 48,
  "eth.type": 16,
  vlan: 1,
  "vlan.id": 12,
  "vlan.pcp": 3,
  inner: 1,
  "inner.id": 12,
  "inner.pcp": 3,
  arp: 1,
  "arp.op": 16,
  "arp.spa": 32,
  "arp.tpa": 32,
  "arp.sha": 48,
  "arp.tha": 48,
  ip4: 1,
  "ip4.src": 32,
  "ip4.dst": 32,
  "ip4.proto": 8,
  "ip4.dscp": 6,
  "ip4.frag": 2,
  ip6: 1,
  "ip6.src": 128,
  "ip6.dst": 128,
  "ip6.proto": 8,
  "ip6.dscp": 6,
  "ip6.frag": 2,
  tcp: 1,
  "tcp.sport": 16,
  "tcp.dport": 16,
  "tcp.flags": 12,
  udp: 1,
  "udp.sport": 16,
  "udp.dport": 16,
  sctp: 1,
  "sctp.sport": 16,
  "sctp.dport": 16,
  icmp: 1,
  "icmp.type": 8,
  "icmp.code": 8,
  icmp6: 1,
  "icmp6.type": 8,
  "icmp6.code": 8,
};

const TAGS = [[], ["vlan"], ["inner"], ["vlan", "inner"]];
const PACKETS = [
  [],
  ["arp"],
  ["ip4"],
  ["ip6"],
  ["tcp"],
  ["udp"],
  ["sctp"],
  ["icmp"],
  ["icmp6"],
  ["ip4", "tcp"],
  ["ip4", "udp"],
  ["ip4", "icmp"],
  ["ip6", "tcp"],
  ["ip6", "sctp"],
  ["ip6", "icmp6"],
];
/** Where there is another header's number in one of these, the values have to allow that. */
const NUMBERS: Partial<Record<FieldName, bigint>> = {
  arp: 0x0806n,
  ip4: 0x0800n,
  ip6: 0x86ddn,
  tcp: 6n,
  udp: 17n,
  sctp: 132n,
  icmp: 1n,
  icmp6: 58n,
};
/** Fields of one rule: two values in each multiply to less than what a rule may have. */
const FIELDS_MAX = 7;
const VALUES_MAX = 2;

const ones = (bits: number) => (1n << BigInt(bits)) - 1n;

/** Names that are also words, or look like values, among others. */
export const anyName = fc.oneof(
  fc.constantFrom("vm1", "drop", "in", "none", "any", "10", "set", "-", "1-2", "log"),
  fc.stringMatching(/^[A-Za-z0-9_.-]{1,32}$/).filter((name) => name !== "__proto__"),
);
const anyNames = fc.uniqueArray(anyName, { minLength: 1, maxLength: 3 });

function anyValue(field: Exclude<FieldName, "in">): fc.Arbitrary<FieldValue> {
  const width = WIDTHS[field];
  // IEEE 802.1Q reserves 4095.
  const number = fc.bigInt({ min: 0n, max: field.endsWith(".id") ? 4094n : ones(width) });
  const few = fc.bigInt({ min: 0n, max: ones(Math.min(width, 5)) });
  const exact = fc.oneof(number, few).map((value) => ({ value, mask: ones(width) }));
  const prefix = fc.tuple(number, fc.integer({ min: 0, max: width })).map(([value, length]) => {
    const mask = ones(width) ^ ones(width - length);
    return { value: value & mask, mask };
  });
  const scattered = fc.tuple(number, number).map(([value, mask]) => ({ value: value & mask, mask }));
  if (width > 32) return fc.oneof(exact, prefix, scattered);
  const range = fc.tuple(number, number).map(([a, b]): FieldValue => {
    if (a === b) return { value: a, mask: ones(width) };
    return a < b ? { low: a, high: b } : { low: b, high: a };
  });
  return fc.oneof(exact, prefix, scattered, range);
}

/** Ascending by value and mask, or low and high; a mask before a range. */
function inOrder(values: readonly FieldValue[]): FieldValue[] {
  const digits = (number: bigint) => number.toString(16).padStart(32, "0");
  const key = (value: FieldValue) =>
    "mask" in value ? `${digits(value.value)} ${digits(value.mask)} 0` : `${digits(value.low)} ${digits(value.high)} 1`;
  const byKey = new Map(values.map((value) => [key(value), value]));
  return [...byKey.keys()].sort().map((text) => byKey.get(text)!);
}

function allows(values: readonly FieldValue[], number: bigint): boolean {
  return values.some((it) => ("mask" in it ? (number & it.mask) === it.value : it.low <= number && number <= it.high));
}

const TRANSPORTS = ["tcp", "udp", "sctp", "icmp", "icmp6"];

/** Whether a frame with these headers can have such a value. */
function isPossible(field: FieldName, values: readonly FieldValue[], headers: readonly string[]): boolean {
  const transport = headers.find((header) => TRANSPORTS.includes(header)) as FieldName | undefined;
  if (field.endsWith(".proto")) return transport === undefined || allows(values, NUMBERS[transport]!);
  if (field.endsWith(".frag")) return transport === undefined || allows(values, 0n) || allows(values, 1n);
  if (field !== "eth.type") return true;
  const network = headers.find((header) => ["arp", "ip4", "ip6"].includes(header)) as FieldName | undefined;
  if (network !== undefined) return allows(values, NUMBERS[network]!);
  // ICMP is in one of the two alone; the others in either.
  if (transport === "icmp6") return allows(values, NUMBERS.ip6!);
  if (transport === "icmp") return allows(values, NUMBERS.ip4!);
  return transport === undefined || allows(values, NUMBERS.ip4!) || allows(values, NUMBERS.ip6!);
}

function anyConstraint(field: FieldName, headers: readonly string[]): fc.Arbitrary<NamedConstraint> {
  if (field === "in") return anyNames.map((names) => ({ field, oneOf: [...names].sort() }));
  if (WIDTHS[field] === 1) return fc.constant({ field, oneOf: [{ value: 1n, mask: 1n }] });
  return fc
    .array(anyValue(field), { minLength: 1, maxLength: VALUES_MAX })
    .map((values) => ({ field, oneOf: inOrder(values) }))
    .filter((constraint) => isPossible(field, constraint.oneOf, headers));
}

const anyMatch: fc.Arbitrary<NamedConstraint[]> = fc
  .record({ tags: fc.constantFrom(...TAGS), packet: fc.constantFrom(...PACKETS) })
  .chain(({ tags, packet }) => {
    const headers = [...tags, ...packet];
    const own = FIELD_NAMES.filter((field) => ["in", "eth", ...headers].includes(field.split(".")[0]));
    const optional = own.filter((field) => !headers.includes(field));
    return fc.subarray(optional, { maxLength: Math.min(FIELDS_MAX, optional.length) }).chain((chosen) => {
      const fields = FIELD_NAMES.filter((field) => headers.includes(field) || chosen.includes(field));
      return fc.tuple(...fields.map((field) => anyConstraint(field, headers)));
    });
  });

/** `tcp none` and the like: one header that is not there, and nothing else. */
const anyAbsence: fc.Arbitrary<NamedConstraint[]> = fc
  .constantFrom("vlan", "inner", "arp", "ip4", "ip6", "tcp", "udp", "sctp", "icmp", "icmp6" as const)
  .map((field) => [{ field: field as "vlan", oneOf: [{ value: 0n, mask: 1n }] }]);

const anyMac = fc.bigInt({ min: 1n, max: ones(48) });
const digits = (mac: bigint) => mac.toString(16).padStart(12, "0");
const destination = anyMac.map(digits);
/** No group address: the lowest bit of the first octet is clear. */
const source = anyMac.map((mac) => digits(mac & ~(1n << 40n))).filter((mac) => !/^0*$/.test(mac));
const id = fc.integer({ min: 0, max: 4094 });
const pcp = fc.integer({ min: 0, max: 7 });

/** Each at most once in a rule; those that end it stand apart. */
const EFFECTS: readonly fc.Arbitrary<NamedAction>[] = [
  anyName.map((port) => ({ do: "mirror", port })),
  anyName.map((meter) => ({ do: "meter", meter })),
  fc.oneof(
    fc.record({ do: fc.constant("set-vlan" as const), id, pcp }),
    id.map((value): NamedAction => ({ do: "set-vlan", id: value })),
    pcp.map((value): NamedAction => ({ do: "set-vlan", pcp: value })),
  ),
  fc.constant({ do: "strip-vlan" }),
  fc.oneof(
    fc.record({ do: fc.constant("set-mac" as const), src: source, dst: destination }),
    source.map((src): NamedAction => ({ do: "set-mac", src })),
    destination.map((dst): NamedAction => ({ do: "set-mac", dst })),
  ),
  fc.integer({ min: 0, max: 63 }).map((dscp) => ({ do: "set-dscp", dscp })),
  fc.constant({ do: "count" }),
  fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 2 ** 31 - 1 })).map((every) => ({ do: "log", every })),
];
const anyEnd: fc.Arbitrary<NamedAction> = fc.oneof(
  fc.constantFrom<NamedAction>({ do: "allow" }, { do: "drop" }, { do: "flood" }, { do: "continue" }),
  anyNames.map((ports): NamedAction => ({ do: "forward", ports })),
);
const anyActions: fc.Arbitrary<NamedAction[]> = fc
  .tuple(fc.shuffledSubarray([...EFFECTS]), fc.option(anyEnd))
  .chain(([effects, end]) => {
    const last =
      end === null ? (effects.length > 0 ? [] : [fc.constant<NamedAction>({ do: "drop" })]) : [fc.constant(end)];
    return fc.tuple(...effects, ...last);
  });

export const anyNamedRule: fc.Arbitrary<NamedRule> = fc
  .record({
    id: fc.option(fc.integer({ min: 1, max: 2 ** 31 - 1 }), { nil: undefined }),
    priority: fc.integer({ min: 0, max: 65_535 }),
    match: fc.oneof({ arbitrary: anyMatch, weight: 9 }, anyAbsence),
    actions: anyActions,
  })
  .map(({ id: number, ...rule }) => (number === undefined ? rule : { id: number, ...rule }));
