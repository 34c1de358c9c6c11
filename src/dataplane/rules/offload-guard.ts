// HOT
// A partial checksum is two bytes of a frame that are written after it was judged, by the switch, a NIC or a receiver, where the
// sender said. They may not be bytes that rules look at, nor bytes that say where those are: else an address, a port or a whole
// header could get past a rule and be made of something else.
//
//   | Ethernet, tags | IP, extension headers | ports ... flags | window | checksum | ...
//    <-------------------- never here ----------------------->         ^ from here on, anywhere
//
// In what rules see of a frame there is no place for a checksum where its IP or ARP header is not understood, nor in a fragment. Guards
// look at more: at the target of an IPv6 neighbour's advertisement, behind the checksum of ICMPv6, and at LLC, which with SNAP may hold IP.
//
// Whoever cuts a super-frame writes more than that: sequence and flags, or a length, counted from where the checksum begins. So
// there, and only there, its TCP or UDP header has to be. It writes the lengths of IP, too: a packet that says it ends before
// that header has none for rules, and would have one for whoever gets what it was cut into. Of TCP's flags, FIN, PSH and CWR are
// taken from most segments; all data has ACK (RFC 9293, 3.10.7.4), so that none is left without any.

import { ETH_HLEN, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "../../uapi/if_ether.ts";
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
import { VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_UDP_L4 } from "../../uapi/virtio_net.ts";
import { type HeaderArena, slotStart } from "./header-arena.ts";
import {
  CLASS_ARP,
  CLASS_FRAGMENT,
  CLASS_INNER,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_TCP,
  CLASS_VLAN,
  HEADER_BYTES,
} from "./key.ts";
import type { Plan } from "./plan.ts";

const TAG_SIZE = 4;
const ARP_SIZE = 28;
/** Behind a length in place of the EtherType, which is below ETH_TYPE_MIN (IEEE 802.3, 3.2.6). */
const LLC_SNAP_SIZE = 8;
const ETH_TYPE_MIN = 0x600;
const IP6_SIZE = 40;
const MAX_EXTENSIONS = 8;
/** Up to the flags, the ports, type and code. */
const TCP_LOOKED_AT = 14;
const TCP_SIZE = 20;
const TCP_FLAGS_AT = 13;
const TCP_ACK = 0x10;
const UDP_SIZE = 8;
const PORTS_SIZE = 4;
const ICMP_LOOKED_AT = 2;
/** Of solicitations and advertisements, behind type, code, checksum and flags (bridge/guards-source.ts). */
const ND_TARGET = 8;
const ND_TARGET_END = ND_TARGET + 16;
/** For what is behind no IP header; IANA keeps it reserved. */
const NO_PROTOCOL = 255;
const PROTOCOL_BITS = 8;
const PROTOCOL_MASK = (1 << PROTOCOL_BITS) - 1;
const NOWHERE = -1;

/** Whether frame `i`, which needs a checksum and is the one judged last, has something written where rules look. */
export function reachesHeader(plan: Plan, i: number): boolean {
  const { arena, classes, type } = plan;
  const { csumOffset, csumStart, gsoType } = arena.judged;
  const start = csumStart[i];
  const field = start + csumOffset[i];
  const gso = gsoType[i];
  const isUdp = gso === VIRTIO_NET_HDR_GSO_UDP_L4;
  if (gso !== VIRTIO_NET_HDR_GSO_NONE) {
    if (!isPacketTo(start + (isUdp ? UDP_SIZE : TCP_SIZE), arena, slotStart(i), classes)) return true;
  }
  if (start >= HEADER_BYTES) return false;
  const found = findTransport(arena, slotStart(i), classes, type);
  const l4 = found >> PROTOCOL_BITS;
  const protocol = found & PROTOCOL_MASK;
  if (field < HEADER_BYTES && (found === NOWHERE || isLookedAt(protocol, field - l4))) return true;
  if (gso === VIRTIO_NET_HDR_GSO_NONE) return false;
  if (start !== l4 || protocol !== (isUdp ? IPPROTO_UDP : IPPROTO_TCP)) return true;
  return (classes & CLASS_TCP) !== 0 && (arena.bytes[slotStart(i) + l4 + TCP_FLAGS_AT] & TCP_ACK) === 0;
}

/** Whether the frame at `start` is an IP packet that goes on up to its byte `end` at least. A length of 0 is left to whoever cuts it. */
function isPacketTo(end: number, { view }: HeaderArena, start: number, classes: number): boolean {
  const l3 = networkHeader(classes);
  if ((classes & CLASS_IP4) !== 0) {
    const total = view.getUint16(start + l3 + 2);
    return total === 0 || l3 + total >= end;
  }
  if ((classes & CLASS_IP6) === 0) return false;
  const payload = view.getUint16(start + l3 + 4);
  return payload === 0 || l3 + IP6_SIZE + payload >= end;
}

function networkHeader(classes: number): number {
  if ((classes & CLASS_VLAN) === 0) return ETH_HLEN;
  return ETH_HLEN + ((classes & CLASS_INNER) === 0 ? TAG_SIZE : 2 * TAG_SIZE);
}

/**
 * What in the frame at `start` is behind the headers that rules look at whole: its offset, and in the low PROTOCOL_BITS its
 * protocol. NOWHERE where no checksum may be in what rules see.
 */
function findTransport(arena: HeaderArena, start: number, classes: number, type: number): number {
  const { bytes } = arena;
  const l3 = networkHeader(classes);
  if ((classes & CLASS_FRAGMENT) !== 0) return NOWHERE;
  if ((classes & CLASS_IP4) !== 0) {
    const l4 = l3 + ((bytes[start + l3] & 0xf) << 2);
    return transport(l4, bytes[start + l3 + 9]);
  }
  if ((classes & CLASS_IP6) !== 0) return findTransport6(arena, start, l3);
  if ((classes & CLASS_ARP) !== 0) return transport(l3 + ARP_SIZE, NO_PROTOCOL);
  if (type < ETH_TYPE_MIN) return transport(l3 + LLC_SNAP_SIZE, NO_PROTOCOL);
  return type === ETH_P_IP || type === ETH_P_IPV6 || type === ETH_P_ARP ? NOWHERE : transport(l3, NO_PROTOCOL);
}

function transport(l4: number, protocol: number): number {
  return (l4 << PROTOCOL_BITS) | protocol;
}

/** Behind the extension headers; nowhere behind one that a sender's stack computes no checksum behind. */
function findTransport6(arena: HeaderArena, start: number, l3: number): number {
  const { bytes } = arena;
  let next = bytes[start + l3 + 6];
  let at = l3 + IP6_SIZE;
  for (let walked = 0; next === IPPROTO_HOPOPTS || next === IPPROTO_ROUTING || next === IPPROTO_DSTOPTS; walked++) {
    if (walked === MAX_EXTENSIONS || at + 2 > HEADER_BYTES) return NOWHERE;
    next = bytes[start + at];
    at += (bytes[start + at + 1] + 1) << 3;
  }
  return next === IPPROTO_AH || next === IPPROTO_FRAGMENT ? NOWHERE : transport(at, next);
}

/** Whether one of two bytes, `at` bytes into what `protocol` has or before that, is looked at. */
function isLookedAt(protocol: number, at: number): boolean {
  if (at < lookedAt(protocol)) return true;
  return protocol === IPPROTO_ICMPV6 && at > ND_TARGET - 2 && at < ND_TARGET_END;
}

function lookedAt(protocol: number): number {
  if (protocol === IPPROTO_TCP) return TCP_LOOKED_AT;
  if (protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP) return PORTS_SIZE;
  return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6 ? ICMP_LOOKED_AT : 0;
}
