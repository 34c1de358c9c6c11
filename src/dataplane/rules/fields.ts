// Where each field of a rule lies in the flow key (key.ts), and the two ways between a field and key words: its value in a key,
// and the words that ask for a value. The compiler stands on these; frames never come here. Cold; control thread and tests.
//
//   eth.src = 02:00:00:00:00:07  ->  word     0          2          3
//                                    mask     00000000   0000ffff   ffffffff     a key matches where (key & mask) == value
//                                    value    00000000   00000200   00000007
//
//   ip4.dst = 10.0.0.0/8         ->  mask     CLASS_IP4  12: ff000000
//                                    value    CLASS_IP4  12: 0a000000
//
// A field whose header is absent reads 0 in the key; its class bit, asked for along with it, is what tells absent from 0.
// Presence is a field of one bit: that class bit itself. Ethernet's own fields are in every frame and need none.

import {
  CLASS_ARP,
  CLASS_FRAGMENT,
  CLASS_ICMP,
  CLASS_ICMP6,
  CLASS_INNER,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_SCTP,
  CLASS_TCP,
  CLASS_UDP,
  CLASS_VLAN,
  type FieldName,
  KEY_ARP_MACS,
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_CLASS,
  KEY_DST,
  KEY_DST_SRC,
  KEY_FLAGS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_SRC,
  KEY_TCI,
  KEY_TYPE,
} from "./key.ts";

/** `bits` bits of a word, of which the least significant is bit `shift`. */
export interface Piece {
  word: number;
  shift: number;
  bits: number;
}

export interface Field {
  /** Bits: the sum over its pieces. */
  width: number;
  /** Most significant piece first. */
  pieces: readonly Piece[];
  /** The CLASS_* bit without which the field is absent; 0 where it never is. */
  needs: number;
}

function field(needs: number, ...pieces: [word: number, shift: number, bits: number][]): Field {
  return {
    width: pieces.reduce((sum, [, , bits]) => sum + bits, 0),
    pieces: pieces.map(([word, shift, bits]) => ({ word, shift, bits })),
    needs,
  };
}

/** 1 where a header is present, 0 where it is not. */
function presence(classBit: number): Field {
  return field(0, [KEY_CLASS, bitOf(classBit), 1]);
}

function bitOf(classBit: number): number {
  return 31 - Math.clz32(classBit);
}

function ip6Address(needs: number, word: number): Field {
  return field(needs, [word, 0, 32], [word + 1, 0, 32], [word + 2, 0, 32], [word + 3, 0, 32]);
}

/** CLASS_LATER is the bit above CLASS_FRAGMENT: both are one field. */
function fragment(needs: number): Field {
  return field(needs, [KEY_CLASS, bitOf(CLASS_FRAGMENT), 2]);
}

export const FIELDS: Readonly<Record<FieldName, Field>> = {
  in: field(0, [KEY_CLASS, 0, 16]),
  "eth.dst": field(0, [KEY_DST, 0, 32], [KEY_DST_SRC, 16, 16]),
  "eth.src": field(0, [KEY_DST_SRC, 0, 16], [KEY_SRC, 0, 32]),
  "eth.type": field(0, [KEY_TYPE, 16, 16]),
  vlan: presence(CLASS_VLAN),
  "vlan.id": field(CLASS_VLAN, [KEY_TCI, 16, 12]),
  "vlan.pcp": field(CLASS_VLAN, [KEY_TCI, 29, 3]),
  inner: presence(CLASS_INNER),
  "inner.id": field(CLASS_INNER, [KEY_TCI, 0, 12]),
  "inner.pcp": field(CLASS_INNER, [KEY_TCI, 13, 3]),
  arp: presence(CLASS_ARP),
  "arp.op": field(CLASS_ARP, [KEY_FLAGS, 0, 16]),
  "arp.spa": field(CLASS_ARP, [KEY_IP_SRC, 0, 32]),
  "arp.tpa": field(CLASS_ARP, [KEY_IP_DST, 0, 32]),
  "arp.sha": field(CLASS_ARP, [KEY_ARP_SHA, 0, 32], [KEY_ARP_MACS, 16, 16]),
  "arp.tha": field(CLASS_ARP, [KEY_ARP_MACS, 0, 16], [KEY_ARP_THA, 0, 32]),
  ip4: presence(CLASS_IP4),
  "ip4.src": field(CLASS_IP4, [KEY_IP_SRC, 0, 32]),
  "ip4.dst": field(CLASS_IP4, [KEY_IP_DST, 0, 32]),
  "ip4.proto": field(CLASS_IP4, [KEY_TYPE, 8, 8]),
  "ip4.dscp": field(CLASS_IP4, [KEY_TYPE, 2, 6]),
  "ip4.frag": fragment(CLASS_IP4),
  ip6: presence(CLASS_IP6),
  "ip6.src": ip6Address(CLASS_IP6, KEY_IP_SRC),
  "ip6.dst": ip6Address(CLASS_IP6, KEY_IP_DST),
  "ip6.proto": field(CLASS_IP6, [KEY_TYPE, 8, 8]),
  "ip6.dscp": field(CLASS_IP6, [KEY_TYPE, 2, 6]),
  "ip6.frag": fragment(CLASS_IP6),
  tcp: presence(CLASS_TCP),
  "tcp.sport": field(CLASS_TCP, [KEY_PORTS, 16, 16]),
  "tcp.dport": field(CLASS_TCP, [KEY_PORTS, 0, 16]),
  "tcp.flags": field(CLASS_TCP, [KEY_FLAGS, 16, 12]),
  udp: presence(CLASS_UDP),
  "udp.sport": field(CLASS_UDP, [KEY_PORTS, 16, 16]),
  "udp.dport": field(CLASS_UDP, [KEY_PORTS, 0, 16]),
  sctp: presence(CLASS_SCTP),
  "sctp.sport": field(CLASS_SCTP, [KEY_PORTS, 16, 16]),
  "sctp.dport": field(CLASS_SCTP, [KEY_PORTS, 0, 16]),
  icmp: presence(CLASS_ICMP),
  "icmp.type": field(CLASS_ICMP, [KEY_PORTS, 16, 8]),
  "icmp.code": field(CLASS_ICMP, [KEY_PORTS, 0, 8]),
  icmp6: presence(CLASS_ICMP6),
  "icmp6.type": field(CLASS_ICMP6, [KEY_PORTS, 16, 8]),
  "icmp6.code": field(CLASS_ICMP6, [KEY_PORTS, 0, 8]),
};

/** All bits of a field: the mask of one exact value. */
export function fullMask(name: FieldName): bigint {
  return ones(FIELDS[name].width);
}

/** What a key says of a field; undefined where its header is absent. */
export function fieldValue(key: Int32Array, name: FieldName): bigint | undefined {
  const { needs, pieces } = FIELDS[name];
  if ((key[KEY_CLASS] & needs) !== needs) return undefined;
  return pieces.reduce((value, { word, shift, bits }) => {
    const piece = (BigInt(key[word] >>> 0) >> BigInt(shift)) & ones(bits);
    return (value << BigInt(bits)) | piece;
  }, 0n);
}

/**
 * Adds "the field is present and equals `value` under `mask`" to what `keyMask` and `keyValue` ask for already. False, and both
 * are of no further use, where no key can satisfy that: a bit is asked to be 0 and 1.
 */
export function askFor(
  keyMask: Int32Array,
  keyValue: Int32Array,
  name: FieldName,
  value: bigint,
  mask: bigint,
): boolean {
  const { width, needs, pieces } = FIELDS[name];
  let possible = askWord(keyMask, keyValue, KEY_CLASS, needs, needs);
  let below = width;
  for (const { word, shift, bits } of pieces) {
    below -= bits;
    const inWord = (whole: bigint) => Number(((whole >> BigInt(below)) & ones(bits)) << BigInt(shift)) | 0;
    possible = askWord(keyMask, keyValue, word, inWord(mask), inWord(value & mask)) && possible;
  }
  return possible;
}

function askWord(keyMask: Int32Array, keyValue: Int32Array, word: number, mask: number, value: number): boolean {
  const contradicts = (keyMask[word] & mask & (keyValue[word] ^ value)) !== 0;
  keyMask[word] |= mask;
  keyValue[word] |= value;
  return !contradicts;
}

function ones(bits: number): bigint {
  return (1n << BigInt(bits)) - 1n;
}
