// HOT
// ARP and neighbour discovery suppression: where a VLAN has it, a request for an address whose owner the switch has heard goes to that
// owner's port alone, unchanged, instead of everywhere. The owner answers itself, so nothing is ever answered that is not so.
//
//   learnt from   ARP, any operation: the sender             advertisement: its target and the frame's source   solicitation: its source
//   directed      ARP request, broadcast, of one for another      solicitation to the target's multicast group, from an address
//   flooded       announcements and probes of one's own address, and whatever the table (neighbours.ts) or the fdb does not know,
//                 or whose owner may not be reached from there
//
// An owner is a MAC: which port it is at, the fdb says at the time of the request. A sender whose packet names another MAC than its frame
// (a proxy) claims nothing. Packets count as the bridge sees them, behind the tag that said their VLAN: what has another tag there
// is of a network within, with addresses of its own. Any worker.

import { DROP_OWN_PORT } from "../../mem/counters.ts";
import { ETH_HLEN, ETH_P_ARP, ETH_P_IPV6 } from "../../uapi/if_ether.ts";
import { fdbLookup } from "../fdb.ts";
import {
  CLASS_ARP,
  CLASS_ICMP6,
  KEY_CLASS,
  KEY_DST_SRC,
  KEY_FLAGS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_SRC,
} from "../rules/key.ts";
import type { Plan } from "../rules/plan.ts";
import { list } from "../rules/plan-verdict.ts";
import { PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { type BridgeMemoryLayout, VLAN_COUNT } from "./bridge-memory.ts";
import { dropFrame } from "./drop.ts";
import { ask, claim, FAMILY_IP4, FAMILY_IP6, Neighbour } from "./neighbours.ts";
import {
  ARP_REQUEST,
  icmp6Type,
  isOwnArp,
  isUnspecified,
  ND_NEIGHBOR_ADVERT,
  ND_NEIGHBOR_SOLICIT,
  targetOf,
} from "./neighbours-headers.ts";
import type { BridgePolicy } from "./policy.ts";
import { reaches } from "./reach.ts";
import { isMember } from "./vlans.ts";

const SUPPRESS_ARP = 1;
const SUPPRESS_ND = 2;
/** Of a frame that may say who has an address. */
export const MAY_CLAIM = CLASS_ARP | CLASS_ICMP6;

const TYPE_AT = 12;
/** 224.0.0.0 and up: groups and broadcast, nobody's own. */
const GROUPS4 = 224;
const GROUPS6 = 0xff;
// ff02::1:ff00:0/104, the groups that solicitations go to (RFC 4291, 2.7.1).
const SOLICITED_A = 0xff020000 | 0;
const SOLICITED_C = 1;
const SOLICITED_D = 0xff;

export class Suppression {
  /** SUPPRESS_* bits of each VLAN. */
  readonly vlans = new Uint8Array(VLAN_COUNT);
  /** Table of neighbours.ts, and this worker's count of requests, per VLAN, that were not flooded. */
  readonly table: Int32Array;
  readonly directed: Float64Array;
  readonly neighbour = new Neighbour();

  constructor({ vlans }: BridgePolicy, buffer: ArrayBuffer, { neighbours, directed }: BridgeMemoryLayout) {
    this.table = new Int32Array(buffer, neighbours.at, neighbours.size >> 2);
    this.directed = new Float64Array(buffer, directed.at, directed.size >> 3);
    for (let k = 0; k < vlans.length; k++) {
      const { vid, suppressArp, suppressNd } = vlans[k];
      this.vlans[vid] = (suppressArp ? SUPPRESS_ARP : 0) | (suppressNd ? SUPPRESS_ND : 0);
    }
  }
}

/** Where frame `i` begins, as the bridge sees it now, if its EtherType is `type`; else -1. */
function startOf(plan: Plan, i: number, type: number): number {
  const { judged, view } = plan.arena;
  const at = judged.pool.offset[judged.first[i]];
  return view.getUint16(at + TYPE_AT) === type ? at : -1;
}

/** Notes what frame `i` of VLAN `vid`, which has one of the MAY_CLAIM classes, says of its sender. */
export function noteClaim(tables: Tables, plan: Plan, bridge: Bridge, i: number, vid: number): void {
  const { suppression } = bridge;
  const bits = suppression.vlans[vid];
  if (bits === 0) return;
  const { key } = plan.program;
  const claims =
    (key[KEY_CLASS] & CLASS_ARP) !== 0
      ? (bits & SUPPRESS_ARP) !== 0 && claimsByArp(plan, suppression.neighbour, i, vid)
      : (bits & SUPPRESS_ND) !== 0 && claimsByNd(plan, suppression.neighbour, i, vid);
  if (claims) claim(suppression.table, tables.fdb, suppression.neighbour, plan.port, plan.nowS);
}

function claimsByArp(plan: Plan, it: Neighbour, i: number, vid: number): boolean {
  const { key } = plan.program;
  const sender = key[KEY_IP_SRC];
  if (sender === 0 || sender >>> 24 >= GROUPS4 || !isOwnArp(key) || startOf(plan, i, ETH_P_ARP) < 0) return false;
  setIp4(it, vid, sender);
  setOwner(it, key);
  return true;
}

function claimsByNd(plan: Plan, it: Neighbour, i: number, vid: number): boolean {
  const { key } = plan.program;
  const type = icmp6Type(key);
  if (type !== ND_NEIGHBOR_ADVERT && type !== ND_NEIGHBOR_SOLICIT) return false;
  const target = ndTarget(plan, i);
  if (target < 0) return false;
  if (type === ND_NEIGHBOR_ADVERT) setTarget(plan, it, vid, target);
  else setIp6(it, vid, key[KEY_IP_SRC], key[KEY_IP_SRC + 1], key[KEY_IP_SRC + 2], key[KEY_IP_SRC + 3]);
  setOwner(it, key);
  return it.a >>> 24 !== GROUPS6 && (it.a | it.b | it.c | it.d) !== 0;
}

function ndTarget(plan: Plan, i: number): number {
  const at = startOf(plan, i, ETH_P_IPV6);
  if (at < 0) return -1;
  return targetOf(plan.arena.view, at + ETH_HLEN, plan.arena.judged.length[i] - ETH_HLEN);
}

function setIp4(it: Neighbour, vid: number, address: number): void {
  it.tag = vid | FAMILY_IP4;
  it.a = address;
  it.b = 0;
  it.c = 0;
  it.d = 0;
}

function setIp6(it: Neighbour, vid: number, a: number, b: number, c: number, d: number): void {
  it.tag = vid | FAMILY_IP6;
  it.a = a;
  it.b = b;
  it.c = c;
  it.d = d;
}

function setTarget(plan: Plan, it: Neighbour, vid: number, at: number): void {
  const { view } = plan.arena;
  setIp6(it, vid, view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
}

/** The frame's source as it was received, in the order of bytes that the fdb has (core/mac.ts). */
function setOwner(it: Neighbour, key: Int32Array): void {
  it.lo = swap(((key[KEY_DST_SRC] & 0xffff) << 16) | (key[KEY_SRC] >>> 16));
  it.hi = swap(key[KEY_SRC] << 16);
}

function swap(word: number): number {
  return (word >>> 24) | ((word >>> 8) & 0xff00) | ((word << 8) & 0xff0000) | (word << 24);
}

/**
 * Lists frame `i` of VLAN `vid`, which is to be flooded, for the port of the station that it asks for, and returns true; false: it is
 * no request, or has to be flooded.
 */
export function directRequest(tables: Tables, plan: Plan, bridge: Bridge, i: number, vid: number): boolean {
  const { suppression } = bridge;
  const bits = suppression.vlans[vid];
  if (bits === 0 || (plan.classes & MAY_CLAIM) === 0) return false;
  const it = suppression.neighbour;
  const isRequest =
    (plan.classes & CLASS_ARP) !== 0
      ? (bits & SUPPRESS_ARP) !== 0 && asksByArp(plan, it, i, vid)
      : (bits & SUPPRESS_ND) !== 0 && asksByNd(plan, it, i, vid);
  if (!isRequest || !ask(suppression.table, tables.fdb, it, plan.nowS)) return false;
  const out = fdbLookup(tables.fdb, it.lo, it.hi, plan.nowS, vid);
  if (out < 0) return false;
  if (out === plan.port) {
    suppression.directed[vid]++;
    dropFrame(plan, i, DROP_OWN_PORT);
    return true;
  }
  if (tables.control[SharedState.portWord(out, PORT_UP)] === 0) return false;
  if (!isMember(bridge.vlans, vid, out) || !reaches(bridge.reach, plan.port, out)) return false;
  suppression.directed[vid]++;
  list(tables, plan, i, out);
  return true;
}

function asksByArp(plan: Plan, it: Neighbour, i: number, vid: number): boolean {
  const { key } = plan.program;
  const sender = key[KEY_IP_SRC];
  const target = key[KEY_IP_DST];
  if ((key[KEY_FLAGS] & 0xffff) !== ARP_REQUEST || sender === 0 || sender === target) return false;
  if (startOf(plan, i, ETH_P_ARP) < 0) return false;
  setIp4(it, vid, target);
  return true;
}

function asksByNd(plan: Plan, it: Neighbour, i: number, vid: number): boolean {
  const { key } = plan.program;
  if (icmp6Type(key) !== ND_NEIGHBOR_SOLICIT || isUnspecified(key)) return false;
  const isSolicited =
    key[KEY_IP_DST] === SOLICITED_A && key[KEY_IP_DST + 1] === 0 && key[KEY_IP_DST + 2] === SOLICITED_C;
  if (!isSolicited || key[KEY_IP_DST + 3] >>> 24 !== SOLICITED_D) return false;
  const target = ndTarget(plan, i);
  if (target < 0) return false;
  setTarget(plan, it, vid, target);
  return true;
}
