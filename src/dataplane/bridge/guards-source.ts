// HOT
// Source guard: at a port with a list of stations, a frame comes in only from one of them, and from an address that it may use.
//
//   any frame            its source is a listed MAC
//   ARP                  the sender's MAC is the frame's; its IP address is one of the station's, or 0.0.0.0 in a request for one of them
//                        (a probe, RFC 5227)
//   IPv4                 the source is one of the station's; 0.0.0.0 only from a DHCP client to a server
//   IPv6                 the source is one of the station's (link-local: guards-bindings.ts); :: only in solicitations and listener reports,
//                        as when an address is being checked for duplicates
//   advertisement of     the target is one of the station's, too: else it could answer for others from an address of its own. The same of
//   an IPv6 neighbour    solicitations from ::, which would keep others from taking their addresses
//
// Addresses count only where the station has any. What cannot be judged (guards-hidden.ts) is dropped: of any station, since it may be ARP.
// Other protocols are judged by their MAC alone. Any worker.

import { ETH_P_ARP, ETH_P_IP, ETH_P_IPV6 } from "../../uapi/if_ether.ts";
import { IPPROTO_ICMPV6 } from "../../uapi/in.ts";
import {
  CLASS_ARP,
  CLASS_ICMP6,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_UDP,
  KEY_CLASS,
  KEY_DST_SRC,
  KEY_FLAGS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_SRC,
  KEY_TYPE,
} from "../rules/key.ts";
import { type Bindings, findStation, mayUse4, mayUse6, mayUseAny, mayUseSome6 } from "./guards-bindings.ts";
import { isCovered, mayHide6, networkHeader } from "./guards-hidden.ts";
import {
  ARP_REQUEST,
  icmp6Type,
  isOwnArp,
  isUnspecified,
  MLD_DONE,
  MLD_REPORT,
  MLD2_REPORT,
  ND_NEIGHBOR_ADVERT,
  ND_NEIGHBOR_SOLICIT,
  ND_ROUTER_SOLICIT,
  targetOf,
} from "./neighbours-headers.ts";

const DHCP_CLIENT_TO_SERVER = (68 << 16) | 67;

/** Whether the frame of `key`, `length` bytes at `at`, that came in on `port` is from nobody who may send it. */
export function isForged(
  bindings: Bindings,
  port: number,
  key: Int32Array,
  view: DataView,
  at: number,
  length: number,
): boolean {
  const station = findStation(bindings, port, key[KEY_DST_SRC] & 0xffff, key[KEY_SRC]);
  if (station < 0) return true;
  const classes = key[KEY_CLASS];
  const type = key[KEY_TYPE] >>> 16;
  const isArp = (classes & CLASS_ARP) !== 0;
  // Where it may be ARP that the key does not read, it may name anybody: Linux takes hardware type 6 for Ethernet's, too.
  if (isArp ? !isOwnArp(key) : type === ETH_P_ARP || isCovered(key, view, at, length)) return true;
  if (mayUseAny(bindings, station)) return false;
  const source = key[KEY_IP_SRC];
  if (isArp) return !mayUse4(bindings, station, source) && !isOwnProbe(bindings, station, key);
  if ((classes & CLASS_IP4) !== 0) return !mayUse4(bindings, station, source) && !isDhcpRequest(key);
  if ((classes & CLASS_IP6) !== 0) return isForged6(bindings, station, key, view, at, length);
  return type === ETH_P_IP || type === ETH_P_IPV6;
}

/** Who probes for another's address keeps it from taking that (RFC 5227, 2.1.1). */
function isOwnProbe(bindings: Bindings, station: number, key: Int32Array): boolean {
  const isProbe = key[KEY_IP_SRC] === 0 && (key[KEY_FLAGS] & 0xffff) === ARP_REQUEST;
  return isProbe && mayUse4(bindings, station, key[KEY_IP_DST]);
}

function isDhcpRequest(key: Int32Array): boolean {
  return key[KEY_IP_SRC] === 0 && (key[KEY_CLASS] & CLASS_UDP) !== 0 && key[KEY_PORTS] === DHCP_CLIENT_TO_SERVER;
}

function isForged6(
  bindings: Bindings,
  station: number,
  key: Int32Array,
  view: DataView,
  at: number,
  length: number,
): boolean {
  if (mayHide6(key, IPPROTO_ICMPV6, CLASS_ICMP6)) return true;
  const type = icmp6Type(key);
  const unspecified = isUnspecified(key);
  if (unspecified) {
    if (!mayUseSome6(bindings, station) || !isOfNobody(type)) return true;
  } else if (
    !mayUse6(bindings, station, key[KEY_IP_SRC], key[KEY_IP_SRC + 1], key[KEY_IP_SRC + 2], key[KEY_IP_SRC + 3])
  ) {
    return true;
  }
  if (type !== ND_NEIGHBOR_ADVERT && (type !== ND_NEIGHBOR_SOLICIT || !unspecified)) return false;
  const l3 = networkHeader(key, at);
  const target = targetOf(view, l3, length - (l3 - at));
  if (target < 0) return true;
  return !mayUse6(
    bindings,
    station,
    view.getInt32(target),
    view.getInt32(target + 4),
    view.getInt32(target + 8),
    view.getInt32(target + 12),
  );
}

/** What a host may send before it has an address. */
function isOfNobody(type: number): boolean {
  return (
    type === ND_NEIGHBOR_SOLICIT ||
    type === ND_ROUTER_SOLICIT ||
    type === MLD2_REPORT ||
    type === MLD_REPORT ||
    type === MLD_DONE
  );
}
