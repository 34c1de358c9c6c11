// HOT
// A partial checksum is two bytes of a frame that are written after it was judged, by the switch, a NIC or a receiver, where the
// sender said. They may not be bytes that rules look at, nor bytes that say where those are: else an address, a port or a whole
// header could get past a rule and be made of something else.
//
//   | Ethernet, tags | IP, extension headers | ports ... flags | window | checksum | ...
//    <-------------------- never here ----------------------->         ^ from here on, anywhere
//
// In what rules see of a frame there is no place for a checksum where its IP or ARP header is not understood, nor in a fragment.

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
import { type HeaderArena, slotStart } from "./header-arena.ts";
import { CLASS_ARP, CLASS_FRAGMENT, CLASS_INNER, CLASS_IP4, CLASS_IP6, CLASS_VLAN, HEADER_BYTES } from "./key.ts";
import type { Plan } from "./plan.ts";

const TAG_SIZE = 4;
const ARP_SIZE = 28;
const IP6_SIZE = 40;
const MAX_EXTENSIONS = 8;
/** Up to the flags, the ports, type and code. */
const TCP_LOOKED_AT = 14;
const PORTS_SIZE = 4;
const ICMP_LOOKED_AT = 2;
const NOWHERE = 0x7fffffff;

/** Whether frame `i`, which needs a checksum and is the one judged last, wants it where rules look. */
export function reachesHeader(plan: Plan, i: number): boolean {
  const { arena, classes, type } = plan;
  const { judged } = arena;
  const field = judged.csumStart[i] + judged.csumOffset[i];
  return field < HEADER_BYTES && field < leastField(arena, slotStart(i), classes, type);
}

/** Where in the frame at `start` a checksum may be at the earliest. */
function leastField(arena: HeaderArena, start: number, classes: number, type: number): number {
  const { bytes } = arena;
  const tags = ((classes & CLASS_VLAN) !== 0 ? 1 : 0) + ((classes & CLASS_INNER) !== 0 ? 1 : 0);
  const l3 = ETH_HLEN + tags * TAG_SIZE;
  if ((classes & CLASS_FRAGMENT) !== 0) return NOWHERE;
  if ((classes & CLASS_IP4) !== 0) {
    const l4 = l3 + ((bytes[start + l3] & 0xf) << 2);
    return l4 + lookedAt(bytes[start + l3 + 9]);
  }
  if ((classes & CLASS_IP6) !== 0) return leastField6(arena, start, l3);
  if ((classes & CLASS_ARP) !== 0) return l3 + ARP_SIZE;
  return type === ETH_P_IP || type === ETH_P_IPV6 || type === ETH_P_ARP ? NOWHERE : l3;
}

/** Behind the extension headers; nowhere behind one that a sender's stack computes no checksum behind. */
function leastField6(arena: HeaderArena, start: number, l3: number): number {
  const { bytes } = arena;
  let next = bytes[start + l3 + 6];
  let at = l3 + IP6_SIZE;
  for (let walked = 0; next === IPPROTO_HOPOPTS || next === IPPROTO_ROUTING || next === IPPROTO_DSTOPTS; walked++) {
    if (walked === MAX_EXTENSIONS || at + 2 > HEADER_BYTES) return NOWHERE;
    next = bytes[start + at];
    at += (bytes[start + at + 1] + 1) << 3;
  }
  return next === IPPROTO_AH || next === IPPROTO_FRAGMENT ? NOWHERE : at + lookedAt(next);
}

function lookedAt(protocol: number): number {
  if (protocol === IPPROTO_TCP) return TCP_LOOKED_AT;
  if (protocol === IPPROTO_UDP || protocol === IPPROTO_SCTP) return PORTS_SIZE;
  return protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6 ? ICMP_LOOKED_AT : 0;
}
