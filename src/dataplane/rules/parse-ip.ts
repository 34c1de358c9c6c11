// HOT
// The IP part of a flow key (key.ts says what counts as present): addresses, protocol, fragments, and the ports behind them.
//
//   l3                                     l4                  end: of the packet   limit: of what rules look at
//   | IPv4 20-60, or IPv6 40 + extensions  | TCP, UDP, SCTP, … |                    |
//
// All places are offsets in the view; `end` is never behind `limit`. Each function gives CLASS_* bits, 0 where the header is
// absent, and writes to a key that was zeroed before. An IPv6 header that the walk stops at is no L4 protocol, so nothing
// needs to remember that it stopped. Any worker thread.

import {
  IPPROTO_AH,
  IPPROTO_DSTOPTS,
  IPPROTO_FRAGMENT,
  IPPROTO_HOPOPTS,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_ROUTING,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "../../uapi/in.ts";
import {
  CLASS_FRAGMENT,
  CLASS_ICMP,
  CLASS_ICMP6,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_LATER,
  CLASS_SCTP,
  CLASS_TCP,
  CLASS_UDP,
  KEY_FLAGS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_TYPE,
} from "./key.ts";

export const IP4_SIZE = 20;
const IP6_SIZE = 40;
const IP6_ADDRESSES = 8;
const IP6_ADDRESS_WORDS = 8;
const MAX_EXTENSIONS = 8;
/** Every extension header is a multiple of 4 bytes and has at least these (RFC 8200 4, RFC 4302 2). */
const EXTENSION_MIN_SIZE = 8;
export const TCP_SIZE = 20;
export const TCP_CONTROL = 12;
/** Behind the four bits of the header's length: reserved ones, NS, CWR to FIN. */
export const TCP_FLAGS_MASK = 0x0fff;
export const UDP_SIZE = 8;
const SCTP_SIZE = 12;
const ICMP_SIZE = 4;

/** RFC 791 3.1: more-fragments and the 13-bit offset, don't-fragment left out. */
export const IP4_FRAGMENT_MASK = 0x3fff;
const IP4_OFFSET_MASK = 0x1fff;
/** RFC 8200 4.5: the 13-bit offset first, more-fragments last. */
const IP6_FRAGMENT_MASK = 0xfff9;
const IP6_OFFSET_MASK = 0xfff8;

export function parseIp4(view: DataView, l3: number, limit: number, key: Int32Array): number {
  if (limit - l3 < IP4_SIZE) return 0;
  const first = view.getUint8(l3);
  const size = (first & 0xf) << 2;
  const total = view.getUint16(l3 + 2);
  if (first >> 4 !== 4 || size < IP4_SIZE || size > limit - l3 || (total !== 0 && total < size)) return 0;
  const protocol = view.getUint8(l3 + 9);
  key[KEY_TYPE] |= (protocol << 8) | view.getUint8(l3 + 1);
  key[KEY_IP_SRC] = view.getInt32(l3 + 12);
  key[KEY_IP_DST] = view.getInt32(l3 + 16);
  const classes = CLASS_IP4 | fragmentClasses(view.getUint16(l3 + 6), IP4_FRAGMENT_MASK, IP4_OFFSET_MASK);
  if ((classes & CLASS_LATER) !== 0) return classes;
  const end = packetEnd(total, l3, limit);
  if (protocol === IPPROTO_ICMP) return classes | parseIcmp(view, l3 + size, end, CLASS_ICMP, key);
  return classes | parseL4(view, l3 + size, end, protocol, key);
}

export function parseIp6(view: DataView, l3: number, limit: number, key: Int32Array): number {
  if (limit - l3 < IP6_SIZE) return 0;
  const start = view.getUint16(l3);
  if (start >> 12 !== 6) return 0;
  for (let i = 0; i < IP6_ADDRESS_WORDS; i++) key[KEY_IP_SRC + i] = view.getInt32(l3 + IP6_ADDRESSES + i * 4);
  let l4 = l3 + IP6_SIZE;
  const end = packetEnd(view.getUint16(l3 + 4), l4, limit);
  let classes = CLASS_IP6;
  let protocol = view.getUint8(l3 + 6);
  // What follows a later fragment's header is payload, whatever it is called.
  for (let count = 0; count < MAX_EXTENSIONS && (classes & CLASS_LATER) === 0; count++) {
    const size = extensionSize(view, l4, end, protocol);
    if (size === 0) break;
    if (protocol === IPPROTO_FRAGMENT) {
      classes |= fragmentClasses(view.getUint16(l4 + 2), IP6_FRAGMENT_MASK, IP6_OFFSET_MASK);
    }
    protocol = view.getUint8(l4);
    l4 += size;
  }
  key[KEY_TYPE] |= (protocol << 8) | ((start >> 4) & 0xff);
  if ((classes & CLASS_LATER) !== 0) return classes;
  if (protocol === IPPROTO_ICMPV6) return classes | parseIcmp(view, l4, end, CLASS_ICMP6, key);
  return classes | parseL4(view, l4, end, protocol, key);
}

/** Where what is said to be `size` bytes from `start` on ends; 0 is left to the device, and the frame's end is the packet's. */
function packetEnd(size: number, start: number, limit: number): number {
  return size === 0 ? limit : Math.min(start + size, limit);
}

/** CLASS_FRAGMENT and CLASS_LATER of a header's fragment field. */
function fragmentClasses(field: number, fragmentMask: number, offsetMask: number): number {
  if ((field & fragmentMask) === 0) return 0;
  return (field & offsetMask) === 0 ? CLASS_FRAGMENT : CLASS_FRAGMENT | CLASS_LATER;
}

/** Bytes of the extension header at `at`; 0 where `protocol` is none or the header leaves the packet. */
function extensionSize(view: DataView, at: number, end: number, protocol: number): number {
  if (end - at < EXTENSION_MIN_SIZE) return 0;
  let size = 0;
  if (protocol === IPPROTO_HOPOPTS || protocol === IPPROTO_ROUTING || protocol === IPPROTO_DSTOPTS) {
    // RFC 8200 4.3: in units of 8 bytes, the first of them not counted; RFC 4302 2.2: in units of 4, less 2.
    size = (view.getUint8(at + 1) + 1) << 3;
  } else if (protocol === IPPROTO_AH) {
    size = (view.getUint8(at + 1) + 2) << 2;
  } else if (protocol === IPPROTO_FRAGMENT) {
    size = EXTENSION_MIN_SIZE;
  }
  return size <= end - at ? size : 0;
}

function parseL4(view: DataView, l4: number, end: number, protocol: number, key: Int32Array): number {
  const left = end - l4;
  let found = 0;
  if (protocol === IPPROTO_TCP && left >= TCP_SIZE) {
    key[KEY_FLAGS] = (view.getUint16(l4 + TCP_CONTROL) & TCP_FLAGS_MASK) << 16;
    found = CLASS_TCP;
  } else if (protocol === IPPROTO_UDP && left >= UDP_SIZE) {
    found = CLASS_UDP;
  } else if (protocol === IPPROTO_SCTP && left >= SCTP_SIZE) {
    found = CLASS_SCTP;
  }
  if (found !== 0) key[KEY_PORTS] = view.getInt32(l4);
  return found;
}

function parseIcmp(view: DataView, l4: number, end: number, found: number, key: Int32Array): number {
  if (end - l4 < ICMP_SIZE) return 0;
  key[KEY_PORTS] = (view.getUint8(l4) << 16) | view.getUint8(l4 + 1);
  return found;
}
