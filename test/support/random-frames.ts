// Frames that fast-check makes up and shrinks, for what reads headers: whole ones of every kind that rules know, and the same
// cut short, with wrong lengths, with noise in them. Written from the RFCs with plain arrays, sharing nothing with src.
//
//   | addresses | 0-3 tags | ARP, IPv4 + options, IPv6 + extension headers, LLC, anything | TCP, UDP, SCTP, ICMP | padding |
//     then, now and then: cut anywhere behind the type, bytes overwritten; lengths and counts that lie are put in on the way
//
// Values come from POOL, a few per field: random-rules.ts draws from it too, so that rules hit frames.

import fc from "fast-check";

const MACS = [0x020000000001n, 0x020000000002n, 0x020001000002n, 0x01005e000001n, 0x333300000001n, 0xffffffffffffn];
const VLAN_IDS = [0n, 1n, 100n, 101n, 4095n];
const PRIORITIES = [0n, 1n, 5n, 7n];
const IP4 = [0x0a000001n, 0x0a000002n, 0x0a000101n, 0x0a800001n, 0xc0a80101n, 0xe0000001n, 0xffffffffn, 0n];
const FD00 = 0xfd00n << 112n;
const IP6 = [FD00 + 1n, FD00 + 2n, FD00 + (1n << 64n) + 1n, (0xfe80n << 112n) + 1n, (0xff02n << 112n) + 1n, 0n];
const DSCP = [0n, 10n, 46n, 63n];
const PORTS = [0n, 22n, 53n, 80n, 81n, 443n, 1024n, 65535n];
const PROTOCOLS = [6n, 17n, 132n, 1n, 58n, 0n, 43n, 44n, 51n, 60n, 50n, 59n, 255n];

/** Values that frames have and rules ask for. */
export const POOL = {
  in: [0n, 1n, 2n, 7n],
  mac: MACS,
  type: [0x0800n, 0x86ddn, 0x0806n, 0x8100n, 0x88a8n, 0x88b5n, 0x002en],
  vlanId: VLAN_IDS,
  pcp: PRIORITIES,
  arpOp: [1n, 2n, 3n, 0x0100n],
  ip4: IP4,
  ip6: IP6,
  proto: PROTOCOLS,
  dscp: DSCP,
  port: PORTS,
  tcpFlags: [0n, 0x002n, 0x010n, 0x012n, 0x018n, 0x004n, 0x100n, 0xfffn],
  icmpType: [0n, 3n, 8n, 11n, 255n],
  icmp6Type: [1n, 128n, 129n, 135n, 136n],
  icmpCode: [0n, 1n, 3n, 255n],
} as const satisfies Record<string, readonly bigint[]>;

const from = (pool: readonly bigint[]) => fc.constantFrom(...pool);
const byte = fc.integer({ min: 0, max: 255 });
const noise = (max: number) => fc.array(byte, { maxLength: max, size: "max" });

/** `likely` in `weight` of `weight + 1` cases: what makes a whole frame, against what breaks it. */
function mostly<T>(likely: fc.Arbitrary<T> | T, otherwise: fc.Arbitrary<T>, weight = 15): fc.Arbitrary<T> {
  const arbitrary = likely instanceof fc.Arbitrary ? likely : fc.constant(likely);
  return fc.oneof({ arbitrary, weight }, { arbitrary: otherwise, weight: 1 });
}

/** A number as `size` bytes. */
function big(value: bigint | number, size: number): number[] {
  return Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * (size - 1 - i))) & 0xffn));
}

/** What an IP header carries, with the protocol number for it. */
interface Payload {
  protocol: number;
  bytes: number[];
}

const tcp = fc
  .tuple(from(POOL.port), from(POOL.port), from(POOL.tcpFlags), fc.integer({ min: 0, max: 15 }), noise(12))
  .map(([source, target, flags, offset, rest]): Payload => {
    const control = big((BigInt(offset) << 12n) | flags, 2);
    return {
      protocol: 6,
      bytes: [...big(source, 2), ...big(target, 2), ...big(1, 4), ...big(2, 4), ...control, ...big(9, 6), ...rest],
    };
  });

const ports = (protocol: number, size: number) =>
  fc.tuple(from(POOL.port), from(POOL.port), noise(12)).map(([source, target, rest]): Payload => {
    return { protocol, bytes: [...big(source, 2), ...big(target, 2), ...big(0, size - 4), ...rest] };
  });

const icmp = (protocol: number, types: readonly bigint[]) =>
  fc.tuple(from(types), from(POOL.icmpCode), noise(8)).map(([type, code, rest]): Payload => {
    return { protocol, bytes: [...big(type, 1), ...big(code, 1), 0, 0, ...rest] };
  });

const unknown = fc
  .tuple(from(POOL.proto), noise(30))
  .map(([protocol, bytes]): Payload => ({ protocol: Number(protocol), bytes }));

/** ICMP of the wrong version among them. */
const anyPayload = fc.oneof(
  { arbitrary: tcp, weight: 4 },
  { arbitrary: ports(17, 8), weight: 3 },
  ports(132, 12),
  icmp(1, POOL.icmpType),
  icmp(58, POOL.icmp6Type),
  unknown,
);

/** 3 bits and the offset: whole, don't fragment, first, later, last, the reserved bit. */
const anyIp4Fragment = mostly(fc.constantFrom(0, 0x4000), fc.constantFrom(0x2000, 0x2001, 0x0007, 0x1fff, 0x8000), 5);

const anyIp4 = fc
  .record({
    options: mostly(0, fc.integer({ min: 1, max: 10 }), 4),
    start: mostly(0x40, fc.constantFrom(0x50, 0x60, 0x00)),
    headerWords: mostly(0, fc.integer({ min: -5, max: 5 })),
    dscp: from(POOL.dscp),
    ecn: fc.integer({ min: 0, max: 3 }),
    fragment: anyIp4Fragment,
    source: from(POOL.ip4),
    target: from(POOL.ip4),
    payload: anyPayload,
    /** In place of the right total length. */
    total: mostly(fc.constant(-1), fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 120 }), fc.constant(65535)), 6),
  })
  .map((it) => {
    const words = 5 + it.options;
    const first = it.start + ((words + it.headerWords) & 0xf);
    const total = it.total < 0 ? words * 4 + it.payload.bytes.length : it.total;
    const tos = (Number(it.dscp) << 2) | it.ecn;
    const start = [first, tos, ...big(total, 2), 0, 7, ...big(it.fragment, 2), 63, it.payload.protocol, 0, 0];
    return [
      ...start,
      ...big(it.source, 4),
      ...big(it.target, 4),
      ...Array(it.options * 4).fill(1),
      ...it.payload.bytes,
    ];
  });

interface Extension {
  kind: number;
  /** Without its first byte, which names what comes next. */
  rest: number[];
}

const options = fc
  .record({
    kind: fc.constantFrom(0, 43, 60),
    units: mostly(fc.constantFrom(0, 0, 0, 1, 2), fc.constantFrom(5, 12)),
    said: mostly(0, fc.integer({ min: 1, max: 255 })),
  })
  .map(
    ({ kind, units, said }): Extension => ({ kind, rest: [(units + said) & 0xff, ...Array(6 + units * 8).fill(0)] }),
  );

const authentication = fc
  .record({ words: fc.integer({ min: 0, max: 6 }), said: mostly(0, fc.integer({ min: 1, max: 255 })) })
  .map(({ words, said }): Extension => {
    return { kind: 51, rest: [(words + said) & 0xff, ...Array(6 + words * 4).fill(0xaa)] };
  });

/** Reserved bytes are no length. The offset has 13 bits, then two reserved ones, then more-fragments. */
const fragmentation = fc
  .record({ reserved: byte, field: fc.constantFrom(0x0000, 0x0006, 0x0001, 0x0008, 0xfff9, 0x0009) })
  .map(({ reserved, field }): Extension => ({ kind: 44, rest: [reserved, ...big(field, 2), 0, 0, 0, 5] }));

const anyExtension = fc.oneof({ arbitrary: options, weight: 5 }, authentication, fragmentation);
const anyExtensions = fc.oneof(
  { arbitrary: fc.constant<Extension[]>([]), weight: 3 },
  { arbitrary: fc.array(anyExtension, { minLength: 1, maxLength: 3 }), weight: 3 },
  fc.array(anyExtension, { minLength: 7, maxLength: 10 }),
);

const anyIp6 = fc
  .record({
    version: mostly(6, fc.constantFrom(4, 0, 7)),
    dscp: from(POOL.dscp),
    ecn: fc.integer({ min: 0, max: 3 }),
    label: fc.constantFrom(0, 0xfffff),
    source: from(POOL.ip6),
    target: from(POOL.ip6),
    extensions: anyExtensions,
    payload: anyPayload,
    said: mostly(fc.constant(-1), fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100 }), fc.constant(65535)), 6),
  })
  .map((it) => {
    const kinds = [...it.extensions.map(({ kind }) => kind), it.payload.protocol];
    const extensions = it.extensions.flatMap(({ rest }, i) => [kinds[i + 1], ...rest]);
    const size = it.said < 0 ? extensions.length + it.payload.bytes.length : it.said;
    const traffic = (Number(it.dscp) << 2) | it.ecn;
    const start = big(it.version * 2 ** 28 + traffic * 2 ** 20 + it.label, 4);
    const addresses = [...big(it.source, 16), ...big(it.target, 16)];
    return [...start, ...big(size, 2), kinds[0], 61, ...addresses, ...extensions, ...it.payload.bytes];
  });

/** Hardware and protocol types and sizes, of which one may be another network's. */
const anyArpStart = mostly(
  [0, 1, 8, 0, 6, 4],
  fc.constantFrom([0, 6, 8, 0, 6, 4], [0, 1, 0x86, 0xdd, 6, 4], [0, 1, 8, 0, 8, 4], [0, 1, 8, 0, 6, 16]),
  8,
);
const anyArp = fc
  .tuple(anyArpStart, from(POOL.arpOp), from(POOL.mac), from(POOL.ip4), from(POOL.mac), from(POOL.ip4))
  .map(([start, op, sha, spa, tha, tpa]) => {
    return [...start, ...big(op, 2), ...big(sha, 6), ...big(spa, 4), ...big(tha, 6), ...big(tpa, 4)];
  });

interface Body {
  type: number;
  bytes: number[];
}

const typed = (type: number, bytes: fc.Arbitrary<number[]>) => bytes.map((it): Body => ({ type, bytes: it }));
const llc = noise(50).map((rest): Body => ({ type: rest.length + 3, bytes: [0xaa, 0xaa, 3, ...rest] }));
const anyBody = fc.oneof(
  { arbitrary: typed(0x0800, anyIp4), weight: 6 },
  { arbitrary: typed(0x86dd, anyIp6), weight: 6 },
  { arbitrary: typed(0x0806, anyArp), weight: 2 },
  llc,
  fc.record({ type: from(POOL.type).map(Number), bytes: noise(60) }),
);

const anyTag = fc
  .record({ tpid: fc.constantFrom(0x8100, 0x88a8), pcp: from(POOL.pcp), dei: fc.nat(1), id: from(POOL.vlanId) })
  .map(({ tpid, pcp, dei, id }) => [...big(tpid, 2), ...big((pcp << 13n) | BigInt(dei << 12) | id, 2)]);
const anyTags = fc.oneof(
  { arbitrary: fc.constant<number[][]>([]), weight: 3 },
  { arbitrary: fc.array(anyTag, { minLength: 1, maxLength: 2 }), weight: 3 },
  fc.array(anyTag, { minLength: 3, maxLength: 3 }),
);

const ETHERNET_SIZE = 14;

/** A whole frame, though what is in it may lie about its lengths. */
const anyWhole = fc
  .record({
    target: from(POOL.mac),
    source: from(POOL.mac),
    tags: anyTags,
    body: anyBody,
    padding: mostly(0, fc.nat(60), 3),
  })
  .map((it) => {
    const ethernet = [...big(it.target, 6), ...big(it.source, 6), ...it.tags.flat(), ...big(it.body.type, 2)];
    return [...ethernet, ...it.body.bytes, ...Array(it.padding).fill(0)];
  });

const anyDamage = fc.array(fc.record({ at: fc.nat(140), value: byte }), { minLength: 1, maxLength: 3 });

/** Any frame that a port may hand over: at least its addresses and type (14 bytes), at most some 1500 bytes, mostly under 130. */
export const anyFrame: fc.Arbitrary<Uint8Array> = fc
  .record({
    whole: anyWhole,
    damage: mostly([], anyDamage, 4),
    /** How many bytes behind the type stay. */
    kept: mostly(Number.MAX_SAFE_INTEGER, fc.nat(130), 3),
  })
  .map(({ whole, damage, kept }) => {
    const bytes = Uint8Array.from(whole);
    // Outside the frame a typed array takes no notice.
    for (const { at, value } of damage) bytes[at] = value;
    return bytes.slice(0, Math.max(ETHERNET_SIZE, Math.min(bytes.length, ETHERNET_SIZE + kept)));
  });

/** The index of the port that a frame comes in on. */
export const anyPort: fc.Arbitrary<number> = from(POOL.in).map(Number);
