// What a frame's header says, field by field, read the slow and obvious way: the reference that the fast parser (parse.ts) is
// held against, and what `rule test` and `trace` show to people. key.ts's comment specifies both; they share no code, so that
// a mistake in one of them shows. Cold; control thread and tests.
//
//   frame -> eth.dst = 0x020000000001  eth.type = 0x0800  ip4 = 1  ip4.src = 0x0a000001 …  arp = 0  ip6 = 0
//
// A field that is not in the map is absent. Presence fields are always in it, and so are Ethernet's: they are 0 in a frame
// too short to have them, which no port hands over.

import { FIELD_NAMES, type FieldName, HEADER_BYTES } from "./key.ts";

export type Fields = Map<FieldName, bigint>;

const PRESENCE = FIELD_NAMES.filter((name) => name !== "in" && !name.includes("."));

/** Every field that is present in the frame that came in on `port`. */
export function fieldsOf(frame: Uint8Array, port: number): Fields {
  const fields: Fields = new Map([["in", BigInt(port)]]);
  for (const name of [...PRESENCE, "eth.dst", "eth.src", "eth.type"] as const) fields.set(name, 0n);
  if (frame.length >= 14) readEthernet(frame.subarray(0, HEADER_BYTES), fields);
  return fields;
}

// Below, `bytes` begins with the header in question and ends with what is left of the packet, or of the frame.

function readEthernet(bytes: Uint8Array, fields: Fields): void {
  fields.set("eth.dst", numberAt(bytes, 0, 6));
  fields.set("eth.src", numberAt(bytes, 6, 6));
  let type = numberAt(bytes, 12, 2);
  let rest = bytes.subarray(14);
  for (const tag of ["vlan", "inner"] as const) {
    if ((type !== 0x8100n && type !== 0x88a8n) || rest.length < 4) break;
    fields.set(tag, 1n);
    fields.set(`${tag}.pcp`, numberAt(rest, 0, 2) / 0x2000n);
    fields.set(`${tag}.id`, numberAt(rest, 0, 2) % 0x1000n);
    type = numberAt(rest, 2, 2);
    rest = rest.subarray(4);
  }
  fields.set("eth.type", type);
  if (type === 0x0806n) readArp(rest, fields);
  if (type === 0x0800n) readIp4(rest, fields);
  if (type === 0x86ddn) readIp6(rest, fields);
}

/** RFC 826. */
function readArp(bytes: Uint8Array, fields: Fields): void {
  const ethernetAndIp4 = numberAt(bytes, 0, 6) === 0x0001_0800_06_04n;
  if (bytes.length < 28 || !ethernetAndIp4) return;
  fields.set("arp", 1n);
  fields.set("arp.op", numberAt(bytes, 6, 2));
  fields.set("arp.sha", numberAt(bytes, 8, 6));
  fields.set("arp.spa", numberAt(bytes, 14, 4));
  fields.set("arp.tha", numberAt(bytes, 18, 6));
  fields.set("arp.tpa", numberAt(bytes, 24, 4));
}

/** RFC 791. */
function readIp4(bytes: Uint8Array, fields: Fields): void {
  if (bytes.length < 20) return;
  const version = Math.floor(bytes[0] / 16);
  const headerSize = (bytes[0] % 16) * 4;
  const totalSize = Number(numberAt(bytes, 2, 2));
  if (version !== 4 || headerSize < 20 || headerSize > bytes.length) return;
  if (totalSize !== 0 && totalSize < headerSize) return;
  fields.set("ip4", 1n);
  fields.set("ip4.dscp", BigInt(Math.floor(bytes[1] / 4)));
  fields.set("ip4.proto", numberAt(bytes, 9, 1));
  fields.set("ip4.src", numberAt(bytes, 12, 4));
  fields.set("ip4.dst", numberAt(bytes, 16, 4));
  const moreFragments = Math.floor(bytes[6] / 32) % 2 === 1;
  const offset = Number(numberAt(bytes, 6, 2) % 0x2000n);
  fields.set("ip4.frag", fragment(offset, moreFragments));
  if (offset !== 0) return;
  const packet = totalSize === 0 ? bytes : bytes.subarray(0, totalSize);
  readTransport(packet.subarray(headerSize), bytes[9], "icmp", fields);
}

/** RFC 8200. */
function readIp6(bytes: Uint8Array, fields: Fields): void {
  if (bytes.length < 40 || Math.floor(bytes[0] / 16) !== 6) return;
  fields.set("ip6", 1n);
  fields.set("ip6.dscp", (numberAt(bytes, 0, 2) / 64n) % 64n);
  fields.set("ip6.src", numberAt(bytes, 8, 16));
  fields.set("ip6.dst", numberAt(bytes, 24, 16));
  const payloadSize = Number(numberAt(bytes, 4, 2));
  let rest = payloadSize === 0 ? bytes.subarray(40) : bytes.subarray(40, 40 + payloadSize);
  let protocol = bytes[6];
  let fragmentation = 0n;
  let later = false;
  for (let walked = 0; walked < 8 && !later; walked++) {
    const size = extensionSize(protocol, rest);
    if (size === undefined || size > rest.length) break;
    if (protocol === 44) {
      const offset = Math.floor(Number(numberAt(rest, 2, 2)) / 8);
      fragmentation |= fragment(offset, rest[3] % 2 === 1);
      later = offset !== 0;
    }
    protocol = rest[0];
    rest = rest.subarray(size);
  }
  fields.set("ip6.proto", BigInt(protocol));
  fields.set("ip6.frag", fragmentation);
  if (!later) readTransport(rest, protocol, "icmp6", fields);
}

/** Bytes that an extension header says it has; undefined where the protocol is none, or not even its length is there. */
function extensionSize(protocol: number, bytes: Uint8Array): number | undefined {
  if (bytes.length < 2) return undefined;
  switch (protocol) {
    case 0: // hop-by-hop options
    case 43: // routing
    case 60: // destination options
      return bytes[1] * 8 + 8;
    case 44: // fragment
      return 8;
    case 51: // authentication (RFC 4302)
      return bytes[1] * 4 + 8;
    default:
      return undefined;
  }
}

/** Bit 0: a fragment; bit 1: not the first. */
function fragment(offset: number, moreFragments: boolean): bigint {
  return (offset !== 0 || moreFragments ? 1n : 0n) + (offset !== 0 ? 2n : 0n);
}

function readTransport(bytes: Uint8Array, protocol: number, icmp: "icmp" | "icmp6", fields: Fields): void {
  if (protocol === 6 && bytes.length >= 20) {
    readPorts("tcp", bytes, fields);
    fields.set("tcp.flags", numberAt(bytes, 12, 2) % 0x1000n);
  }
  if (protocol === 17 && bytes.length >= 8) readPorts("udp", bytes, fields);
  if (protocol === 132 && bytes.length >= 12) readPorts("sctp", bytes, fields);
  if (protocol === (icmp === "icmp" ? 1 : 58) && bytes.length >= 4) {
    fields.set(icmp, 1n);
    fields.set(`${icmp}.type`, numberAt(bytes, 0, 1));
    fields.set(`${icmp}.code`, numberAt(bytes, 1, 1));
  }
}

function readPorts(transport: "tcp" | "udp" | "sctp", bytes: Uint8Array, fields: Fields): void {
  fields.set(transport, 1n);
  fields.set(`${transport}.sport`, numberAt(bytes, 0, 2));
  fields.set(`${transport}.dport`, numberAt(bytes, 2, 2));
}

/** `size` bytes from `at` on as one number, most significant first. */
function numberAt(bytes: Uint8Array, at: number, size: number): bigint {
  return bytes.subarray(at, at + size).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}
