// HOT
// Where the layers of a frame lie. The frame is linear and private (a guest can no longer change it), but its contents are
// whatever a guest wrote, so every length is checked against what is left before anything behind it is read.
//
//   | Ethernet 14 | 0-2 VLAN tags | IPv4 20-60, or IPv6 40 + extension headers | TCP 20-60 or UDP 8 | payload | padding |
//   frameOffset                   L3                                           L4                   PAYLOAD   END
//
// Limits: two tags (802.1ad with 802.1Q inside, what Linux guests make); eight extension headers, twice the four that RFC
// 8200 4.1 recommends a packet to have of these kinds; no fragments, since only the first one has the header we look for.
// Any worker thread; the result array is the caller's.

import { ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6 } from "../../uapi/if_ether.ts";
import {
  IPPROTO_DSTOPTS,
  IPPROTO_FRAGMENT,
  IPPROTO_HOPOPTS,
  IPPROTO_ROUTING,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "../../uapi/in.ts";

/** Slots of the result; offsets count from the start of `bytes`, and are valid only as far as the outcome says. */
export const PARSED_L3 = 0;
export const PARSED_L4 = 1;
/** First byte behind the TCP or UDP header: written by `parseTcp` and `parseUdp`. */
export const PARSED_PAYLOAD = 2;
/** First byte behind the IP packet; Ethernet padding may follow. */
export const PARSED_END = 3;
/** 4, 6, or 0 when the frame carries no IP. */
export const PARSED_VERSION = 4;
export const PARSED_PROTOCOL = 5;
export const PARSED_SLOTS = 6;

// Why software offload refuses a frame: outcomes of all functions in this folder, so that one array can count them.
export const REFUSED_TRUNCATED = -1;
export const REFUSED_NOT_IP = -2;
/** A version or length field contradicts the frame. */
export const REFUSED_HEADER = -3;
export const REFUSED_FRAGMENT = -4;
export const REFUSED_EXTENSIONS = -5;
export const REFUSED_NOT_TCP = -6;
/** The checksum field leaves the frame, or would overwrite what the switch has already judged. */
export const REFUSED_CSUM_FIELD = -7;
/** Unknown gso_type, or not the one of this IP version. */
export const REFUSED_GSO_TYPE = -8;
export const REFUSED_GSO_SIZE = -9;
export const REFUSED_SEGMENT_COUNT = -10;
export const REFUSED_HEADER_SIZE = -11;
export const REFUSED_TCP_FLAGS = -12;
/** The header area leaves `bytes` or overlaps the frame: the caller's mistake, not the guest's. */
export const REFUSED_HEADER_AREA = -13;
export const REFUSED_NOT_UDP = -14;
/** Length of an array indexed by `-outcome`. */
export const REFUSED_SLOTS = 15;

const VLAN_TAG_SIZE = 4;
const MAX_VLAN_TAGS = 2;

const IPV4_MIN_SIZE = 20;
/** More-fragments and the 13-bit offset, without don't-fragment (RFC 791 3.1). */
const IPV4_FRAGMENT_MASK = 0x3fff;
export const IPV6_SIZE = 40;
const MAX_EXTENSIONS = 8;
const TCP_MIN_SIZE = 20;
export const UDP_SIZE = 8;

export function read16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 8) | bytes[offset + 1];
}

export function write16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

/** Finds L3, L4, END, version and protocol. 0, or REFUSED_*; with REFUSED_NOT_IP, L3 is valid. */
export function parseIp(bytes: Uint8Array, frameOffset: number, frameLength: number, parsed: Int32Array): number {
  const end = frameOffset + frameLength;
  if (frameOffset < 0 || frameLength < ETH_HLEN || end > bytes.length) return REFUSED_TRUNCATED;
  let l3 = frameOffset + ETH_HLEN;
  let type = read16(bytes, l3 - 2);
  for (let tags = 0; tags < MAX_VLAN_TAGS && (type === ETH_P_8021Q || type === ETH_P_8021AD); tags++) {
    l3 += VLAN_TAG_SIZE;
    if (l3 > end) return REFUSED_TRUNCATED;
    type = read16(bytes, l3 - 2);
  }
  parsed[PARSED_L3] = l3;
  parsed[PARSED_VERSION] = 0;
  if (type === ETH_P_IP) return parseIpv4(bytes, l3, end, parsed);
  if (type === ETH_P_IPV6) return parseIpv6(bytes, l3, end, parsed);
  return REFUSED_NOT_IP;
}

// A length of 0 reads as "up to the end of the frame": that is what senders write into super-frames whose length they
// leave to the device (Linux iph_set_totlen; older NetKVM for IPv6). Segmentation writes each segment's length anew.

function parseIpv4(bytes: Uint8Array, l3: number, end: number, parsed: Int32Array): number {
  const left = end - l3;
  if (left < IPV4_MIN_SIZE) return REFUSED_TRUNCATED;
  const size = (bytes[l3] & 0x0f) << 2;
  if (bytes[l3] >> 4 !== 4 || size < IPV4_MIN_SIZE) return REFUSED_HEADER;
  if (left < size) return REFUSED_TRUNCATED;
  const total = read16(bytes, l3 + 2);
  if (total !== 0 && (total < size || total > left)) return REFUSED_HEADER;
  if ((read16(bytes, l3 + 6) & IPV4_FRAGMENT_MASK) !== 0) return REFUSED_FRAGMENT;
  parsed[PARSED_L4] = l3 + size;
  parsed[PARSED_END] = total === 0 ? end : l3 + total;
  parsed[PARSED_VERSION] = 4;
  parsed[PARSED_PROTOCOL] = bytes[l3 + 9];
  return 0;
}

function parseIpv6(bytes: Uint8Array, l3: number, frameEnd: number, parsed: Int32Array): number {
  if (frameEnd - l3 < IPV6_SIZE) return REFUSED_TRUNCATED;
  if (bytes[l3] >> 4 !== 6) return REFUSED_HEADER;
  const payload = read16(bytes, l3 + 4);
  if (payload > frameEnd - l3 - IPV6_SIZE) return REFUSED_HEADER;
  const end = payload === 0 ? frameEnd : l3 + IPV6_SIZE + payload;
  let at = l3 + IPV6_SIZE;
  let next = bytes[l3 + 6];
  for (let count = 0; next === IPPROTO_HOPOPTS || next === IPPROTO_ROUTING || next === IPPROTO_DSTOPTS; count++) {
    if (count === MAX_EXTENSIONS) return REFUSED_EXTENSIONS;
    if (end - at < 8) return REFUSED_TRUNCATED;
    next = bytes[at];
    // RFC 8200 4.3: length in units of 8 bytes, not counting the first 8.
    at += (bytes[at + 1] + 1) << 3;
    if (at > end) return REFUSED_TRUNCATED;
  }
  if (next === IPPROTO_FRAGMENT) return REFUSED_FRAGMENT;
  parsed[PARSED_L4] = at;
  parsed[PARSED_END] = end;
  parsed[PARSED_VERSION] = 6;
  parsed[PARSED_PROTOCOL] = next;
  return 0;
}

/** Finds PAYLOAD after a successful `parseIp`. 0, or REFUSED_*. */
export function parseTcp(bytes: Uint8Array, parsed: Int32Array): number {
  if (parsed[PARSED_PROTOCOL] !== IPPROTO_TCP) return REFUSED_NOT_TCP;
  const l4 = parsed[PARSED_L4];
  const left = parsed[PARSED_END] - l4;
  if (left < TCP_MIN_SIZE) return REFUSED_TRUNCATED;
  const size = (bytes[l4 + 12] >> 4) << 2;
  if (size < TCP_MIN_SIZE) return REFUSED_HEADER;
  if (size > left) return REFUSED_TRUNCATED;
  parsed[PARSED_PAYLOAD] = l4 + size;
  return 0;
}

/** Finds PAYLOAD after a successful `parseIp`. 0, or REFUSED_*. Only the whole rest of the packet may be the datagram. */
export function parseUdp(bytes: Uint8Array, parsed: Int32Array): number {
  if (parsed[PARSED_PROTOCOL] !== IPPROTO_UDP) return REFUSED_NOT_UDP;
  const l4 = parsed[PARSED_L4];
  const left = parsed[PARSED_END] - l4;
  if (left < UDP_SIZE) return REFUSED_TRUNCATED;
  // 0 as in the IP headers: a super-frame's length may be left to the device.
  const length = read16(bytes, l4 + 4);
  if (length !== 0 && length !== left) return REFUSED_HEADER;
  parsed[PARSED_PAYLOAD] = l4 + UDP_SIZE;
  return 0;
}
