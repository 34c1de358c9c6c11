// HOT
// ARP and neighbour discovery as guards and suppression read them: from the flow key, and from the header's bytes what the key has not.
//
//   l3                       l3 + 40                    l3 + 48         l3 + 64
//   | IPv6, next header 58   | type, code, checksum, …  | target        | options
//
// ICMPv6 behind extension headers is no neighbour discovery here: nobody sends it so, and where it lies the key does not say. Any worker.

import { IPPROTO_ICMPV6 } from "../../uapi/in.ts";
import {
  CLASS_ICMP6,
  KEY_ARP_MACS,
  KEY_ARP_SHA,
  KEY_CLASS,
  KEY_DST_SRC,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_SRC,
} from "../rules/key.ts";

export const ARP_REQUEST = 1;

// RFC 4861, 4; RFC 2710 and RFC 3810 for listener reports.
export const ND_ROUTER_SOLICIT = 133;
export const ND_ROUTER_ADVERT = 134;
export const ND_NEIGHBOR_SOLICIT = 135;
export const ND_NEIGHBOR_ADVERT = 136;
export const ND_REDIRECT = 137;
export const MLD_REPORT = 131;
export const MLD_DONE = 132;
export const MLD2_REPORT = 143;

const IP6_NEXT_HEADER = 6;
const IP6_HOP_LIMIT = 7;
const ND_TARGET = 40 + 8;
const ND_SIZE = ND_TARGET + 16;
/** RFC 4861, 7.1: what came through a router is none. */
const ND_HOP_LIMIT = 255;

/** Whether the sender that an ARP packet names is the one that sent the frame. */
export function isOwnArp(key: Int32Array): boolean {
  const high = key[KEY_ARP_SHA] >>> 16 === (key[KEY_DST_SRC] & 0xffff);
  return high && ((key[KEY_ARP_SHA] << 16) | (key[KEY_ARP_MACS] >>> 16)) === key[KEY_SRC];
}

/** The type of an ICMPv6 message, -1 where there is none. */
export function icmp6Type(key: Int32Array): number {
  return (key[KEY_CLASS] & CLASS_ICMP6) === 0 ? -1 : key[KEY_PORTS] >>> 16;
}

/** Whether the IPv6 source is the unspecified address. */
export function isUnspecified(key: Int32Array): boolean {
  return (key[KEY_IP_SRC] | key[KEY_IP_SRC + 1] | key[KEY_IP_SRC + 2] | key[KEY_IP_SRC + 3]) === 0;
}

/**
 * Where the target of a solicitation or advertisement lies whose IPv6 header, in a key's frame of ICMPv6, is at `l3` and followed by `size`
 * bytes or more from there to the frame's end; -1: it is no valid one.
 */
export function targetOf(view: DataView, l3: number, size: number): number {
  if (size < ND_SIZE || view.getUint8(l3 + IP6_NEXT_HEADER) !== IPPROTO_ICMPV6) return -1;
  return view.getUint8(l3 + IP6_HOP_LIMIT) === ND_HOP_LIMIT ? l3 + ND_TARGET : -1;
}
