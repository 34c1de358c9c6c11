// HOT
// Who may send what into a port, judged by the flow key of a frame as it was received, before any rule.
//
//   source guard   only listed stations, from their own addresses (guards-source.ts)
//   DHCP guard     nothing that a server says: UDP from port 67 or to port 68 in IPv4, from 547 or to 546 in IPv6. Clients look at the port
//                  it comes to, and mostly not at the one it is from (dhclient's filter, udhcpc, systemd-networkd)
//   RA guard       no router advertisements and redirects, ICMPv6 types 134 and 137 (RFC 6105, RFC 7113)
//
// A port with none of them costs one byte read for a run of frames. The frame's header is a private copy, and its bytes are looked at
// only where it is no plain IPv4: such frames are a run each (rules/flow-runs.ts), so that what is said holds for the whole run.
// RFC 7113 lets pass what has no link-local source or no hop limit of 255, since hosts ignore it; here it is dropped, too. Any worker.

import { DROP_DHCP_GUARD, DROP_RA_GUARD, DROP_SOURCE_GUARD } from "../../mem/counters.ts";
import { ETH_P_IP, ETH_P_IPV6 } from "../../uapi/if_ether.ts";
import { IPPROTO_ICMPV6, IPPROTO_UDP } from "../../uapi/in.ts";
import { slotStart } from "../rules/header-arena.ts";
import {
  CLASS_ICMP6,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_LATER,
  CLASS_UDP,
  KEY_CLASS,
  KEY_PORTS,
  KEY_TYPE,
} from "../rules/key.ts";
import type { Plan } from "../rules/plan.ts";
import { MAX_PORTS } from "../shared.ts";
import { Bindings } from "./guards-bindings.ts";
import { isCovered, mayHide6 } from "./guards-hidden.ts";
import { isForged } from "./guards-source.ts";
import { icmp6Type, ND_REDIRECT, ND_ROUTER_ADVERT } from "./neighbours-headers.ts";
import type { BridgePolicy } from "./policy.ts";

const GUARD_SOURCE = 1;
const GUARD_DHCP = 2;
const GUARD_RA = 4;

const DHCP_SERVER_PORT = 67;
const DHCP_CLIENT_PORT = 68;
const DHCP6_SERVER_PORT = 547;
const DHCP6_CLIENT_PORT = 546;

export class Guards {
  /** GUARD_* bits of each port. */
  readonly bits = new Uint8Array(MAX_PORTS);
  readonly bindings: Bindings;

  constructor(policy: BridgePolicy) {
    this.bindings = new Bindings(policy);
    for (const { port, sources, dhcpGuard, raGuard } of policy.ports) {
      this.bits[port] =
        (sources === undefined ? 0 : GUARD_SOURCE) | (dhcpGuard ? GUARD_DHCP : 0) | (raGuard ? GUARD_RA : 0);
    }
  }
}

/** 0 where the frame of `plan.program.key`, whose header is form `i` of the arena, may come in; else the DROP_* counter that says why not. */
export function refusedAtEntry(guards: Guards, plan: Plan, i: number): number {
  const bits = guards.bits[plan.port];
  return bits === 0 ? 0 : refusedBy(guards, bits, plan, i);
}

function refusedBy(guards: Guards, bits: number, plan: Plan, i: number): number {
  const { key } = plan.program;
  const { view } = plan.arena;
  const at = slotStart(i);
  const length = plan.arena.judged.length[i];
  if ((bits & GUARD_SOURCE) !== 0 && isForged(guards.bindings, plan.port, key, view, at, length)) {
    return DROP_SOURCE_GUARD;
  }
  if ((bits & (GUARD_DHCP | GUARD_RA)) === 0) return 0;
  const covered = isCovered(key, view, at, length);
  if ((bits & GUARD_DHCP) !== 0 && (covered || mayBeDhcpServer(key))) return DROP_DHCP_GUARD;
  return (bits & GUARD_RA) !== 0 && (covered || mayBeRouter(key)) ? DROP_RA_GUARD : 0;
}

function mayBeDhcpServer(key: Int32Array): boolean {
  const classes = key[KEY_CLASS];
  const type = key[KEY_TYPE] >>> 16;
  const from = key[KEY_PORTS] >>> 16;
  const to = key[KEY_PORTS] & 0xffff;
  if ((classes & CLASS_IP4) !== 0) {
    if ((classes & CLASS_UDP) !== 0) return from === DHCP_SERVER_PORT || to === DHCP_CLIENT_PORT;
    return (classes & CLASS_LATER) === 0 && ((key[KEY_TYPE] >>> 8) & 0xff) === IPPROTO_UDP;
  }
  if ((classes & CLASS_IP6) === 0) return type === ETH_P_IP || type === ETH_P_IPV6;
  if ((classes & CLASS_UDP) !== 0) return from === DHCP6_SERVER_PORT || to === DHCP6_CLIENT_PORT;
  return mayHide6(key, IPPROTO_UDP, CLASS_UDP);
}

function mayBeRouter(key: Int32Array): boolean {
  if ((key[KEY_CLASS] & CLASS_IP6) === 0) return key[KEY_TYPE] >>> 16 === ETH_P_IPV6;
  const type = icmp6Type(key);
  return type === ND_ROUTER_ADVERT || type === ND_REDIRECT || mayHide6(key, IPPROTO_ICMPV6, CLASS_ICMP6);
}
