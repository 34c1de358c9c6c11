// Frames and checksums the slow way: written from the RFCs with plain arrays and BigInt, sharing nothing with src.
//
//   build(spec) -> bytes and the offsets at which it put things; `partial` leaves the pseudo-header sum in the checksum field

import fc from "fast-check";

export interface FrameSpec {
  tags: { type: number; tci: number }[];
  version: 4 | 6;
  source: number[];
  target: number[];
  id: number;
  /** IPv4 options, a multiple of 4 bytes. */
  ipOptions: number[];
  /** IPv6 extension headers: kind and body (8n - 2 bytes). */
  extensions: { kind: number; body: number[] }[];
  /** UDP has none of the four TCP fields below. */
  transport: "tcp" | "udp";
  sequence: number;
  flags: number;
  /** TCP options, a multiple of 4 bytes. */
  tcpOptions: number[];
  payload: number[];
  /** What the sender did not finish: the checksum field holds the pseudo-header sum only. */
  partial: boolean;
}

export interface Frame {
  bytes: number[];
  l3: number;
  l4: number;
  payload: number;
}

/** RFC 1071 by its definition: add 16-bit words, then carry until none is left. */
export function referenceSum(bytes: ArrayLike<number>): number {
  let total = 0n;
  for (let i = 0; i < bytes.length; i++) total += i % 2 === 0 ? BigInt(bytes[i]) * 256n : BigInt(bytes[i]);
  while (total > 0xffffn) total = (total % 65536n) + total / 65536n;
  return Number(total);
}

function big16(value: number): number[] {
  return [Math.floor(value / 256) % 256, value % 256];
}

function big32(value: number): number[] {
  return [...big16(Math.floor(value / 65536)), ...big16(value % 65536)];
}

/** RFC 9293 3.1 and RFC 8200 8.1; what exceeds IPv4's 16-bit length is added as a word of its own, as Linux does. */
export function pseudoHeader(source: number[], target: number[], protocol: number, size: number): number[] {
  if (source.length === 4) return [...source, ...target, 0, protocol, ...big32(size)];
  return [...source, ...target, ...big32(size), 0, 0, 0, protocol];
}

function buildTcp(spec: FrameSpec): number[] {
  const offset = (20 + spec.tcpOptions.length) / 4;
  const head = [
    0x30,
    0x39,
    0x14,
    0x51,
    ...big32(spec.sequence),
    0x01,
    0x02,
    0x03,
    0x04,
    offset * 16,
    spec.flags,
    0xfa,
    0xf0,
  ];
  const tail = [0, 0, ...spec.tcpOptions];
  const size = head.length + 2 + tail.length + spec.payload.length;
  const pseudo = pseudoHeader(spec.source, spec.target, 6, size);
  const field = spec.partial
    ? referenceSum(pseudo)
    : 0xffff - referenceSum([...pseudo, ...head, 0, 0, ...tail, ...spec.payload]);
  return [...head, ...big16(field), ...tail, ...spec.payload];
}

/** RFC 768; a checksum that comes out as 0 is sent as all ones. */
function buildUdp(spec: FrameSpec): number[] {
  const size = 8 + spec.payload.length;
  const pseudo = pseudoHeader(spec.source, spec.target, 17, size);
  const head = [0x30, 0x39, 0x14, 0x51, ...big16(size)];
  const sum = 0xffff - referenceSum([...pseudo, ...head, 0, 0, ...spec.payload]);
  return [...head, ...big16(spec.partial ? referenceSum(pseudo) : sum === 0 ? 0xffff : sum), ...spec.payload];
}

export function buildIpv4(spec: FrameSpec, protocol: number, body: number[]): number[] {
  const size = 20 + spec.ipOptions.length;
  const addresses = [...spec.source, ...spec.target, ...spec.ipOptions];
  const start = [0x40 + size / 4, 0x02, ...big16(size + body.length), ...big16(spec.id), 0x40, 0, 63, protocol];
  const checksum = 0xffff - referenceSum([...start, 0, 0, ...addresses]);
  return [...start, ...big16(checksum), ...addresses, ...body];
}

export function buildIpv6(spec: FrameSpec, protocol: number, body: number[]): number[] {
  const kinds = [...spec.extensions.map((extension) => extension.kind), protocol];
  const extensions: number[] = [];
  spec.extensions.forEach((extension, i) => {
    extensions.push(kinds[i + 1], (extension.body.length + 2) / 8 - 1, ...extension.body);
  });
  const size = extensions.length + body.length;
  return [0x60, 0x01, 0x02, 0x03, ...big16(size), kinds[0], 61, ...spec.source, ...spec.target, ...extensions, ...body];
}

export function buildEthernet(tags: FrameSpec["tags"], type: number, body: number[]): number[] {
  const addresses = [0x02, 0, 0, 0, 0, 0xbb, 0x02, 0, 0, 0, 0, 0xaa];
  return [...addresses, ...tags.flatMap((tag) => [...big16(tag.type), ...big16(tag.tci)]), ...big16(type), ...body];
}

export function build(spec: FrameSpec): Frame {
  const [protocol, body] = spec.transport === "tcp" ? [6, buildTcp(spec)] : [17, buildUdp(spec)];
  const packet = spec.version === 4 ? buildIpv4(spec, protocol, body) : buildIpv6(spec, protocol, body);
  const bytes = buildEthernet(spec.tags, spec.version === 4 ? 0x0800 : 0x86dd, packet);
  const l4 = bytes.length - body.length;
  return { bytes, l3: 14 + spec.tags.length * 4, l4, payload: bytes.length - spec.payload.length };
}

export function spec4(changes: Partial<FrameSpec> = {}): FrameSpec {
  return {
    tags: [],
    version: 4,
    source: [10, 0, 0, 1],
    target: [10, 0, 0, 2],
    id: 0x1234,
    ipOptions: [],
    extensions: [],
    transport: "tcp",
    sequence: 0x01020304,
    flags: 0x10,
    tcpOptions: [],
    payload: [],
    partial: true,
    ...changes,
  };
}

export function spec6(changes: Partial<FrameSpec> = {}): FrameSpec {
  const address = (last: number) => [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
  return spec4({ version: 6, source: address(1), target: address(2), ...changes });
}

/** `size` bytes that differ from their neighbours, so that a shifted copy is noticed. */
export function pattern(size: number): number[] {
  return Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8) * 3 + 1) % 256);
}

const byte = fc.integer({ min: 0, max: 255 });
const bytesOf = (size: number) => fc.array(byte, { minLength: size, maxLength: size });
const wordsOf4 = fc.integer({ min: 0, max: 10 }).chain((words) => bytesOf(words * 4));
const anyTag = fc.record({
  type: fc.constantFrom(0x8100, 0x88a8),
  tci: fc.integer({ min: 0, max: 0xffff }),
});
const anyExtension = fc.record({
  kind: fc.constantFrom(0, 43, 60),
  body: fc.integer({ min: 1, max: 2 }).chain((units) => bytesOf(units * 8 - 2)),
});

/** Any frame that may be a super-frame: no SYN, no RST. */
export function anySpec(maxPayload: number, transport: "tcp" | "udp" = "tcp"): fc.Arbitrary<FrameSpec> {
  return fc.constantFrom<4 | 6>(4, 6).chain((version) =>
    fc.record({
      tags: fc.array(anyTag, { maxLength: 2 }),
      version: fc.constant(version),
      source: bytesOf(version === 4 ? 4 : 16),
      target: bytesOf(version === 4 ? 4 : 16),
      id: fc.integer({ min: 0, max: 0xffff }),
      ipOptions: version === 4 ? wordsOf4 : fc.constant([]),
      extensions: version === 6 ? fc.array(anyExtension, { maxLength: 8 }) : fc.constant([]),
      transport: fc.constant(transport),
      sequence: fc.oneof(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0xffffff00, max: 0xffffffff })),
      flags: byte.map((flags) => (flags & ~0x06) | 0x10),
      tcpOptions: wordsOf4,
      payload: fc.uint8Array({ maxLength: maxPayload, size: "max" }).map((bytes) => Array.from(bytes)),
      partial: fc.constant(true),
    }),
  );
}

/** Memory full of noise with the frame in it; every run of it is different, none matters to a correct reader. */
export function place(frame: number[], offset: number, size: number, noise: number): Uint8Array {
  const memory = new Uint8Array(size);
  let state = noise | 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    memory[i] = state >>> 16;
  }
  memory.set(frame, offset);
  return memory;
}
