// HOT
// VLANs of frames on their way through: which one a frame belongs to when it comes in, which ports belong to it, and the tag with
// which it leaves each of them. (IEEE 802.1Q-2022 6.9, 8.6.1, 8.6.2; where ports leave room, as Linux's bridge does it.)
//
//   on the wire        | dst src | 8100 TCI | type ...      the port's own kind of tag, or none: VLAN by id, else the port's
//   within the switch  | dst src | type ...                 vids[i] = VLAN, tcis[i] = priority and DEI, tags[i] = NONE
//   leaving a port     | dst src | 88a8 TCI | type ...      tags[i] = 88a8 TCI, until the next port wants another one
//
// A tag is pushed and popped where the frame lies in the arena (rules/rewrite.ts). What a rule forwards keeps what it has (AS_IS), and
// so do copies for mirrors (forms from BURST on).
//
// On a trunk a frame of the native VLAN leaves with a tag, all the same, where what it carries begins like one: without, who is behind
// the trunk would take it for a frame of the VLAN that its sender wrote there. Where the native VLAN has no id on that wire (another one
// was given it), such a frame is dropped: a tag without an id is taken off, and the sender's is met behind it.

import { BURST } from "../../mem/batch.ts";
import { DROP_VLAN } from "../../mem/counters.ts";
import type { Plan } from "../rules/plan.ts";
import { popTag, pushTag, setTag, TAGGED_SIZE } from "../rules/rewrite.ts";
import type { Tables } from "../tables.ts";
import { dropVerdict } from "../verdict.ts";
import { dropFrame } from "./drop.ts";
import type { BridgePolicy } from "./policy.ts";
import { TPID_8021AD, TPID_8021Q, VlanTable, WORDS_PER_VID_LOG2 } from "./vlan-table.ts";

/** As a frame's VLAN: its port does not take it, and a rule forwards it all the same. Nothing is learned from it. */
export const VID_NONE = 4095;

const REFUSED = dropVerdict(DROP_VLAN);
const VID_MASK = 0xfff;
const PCP_MASK = 0xe000;
const TPID_AT = 12;
const TCI_AT = 14;
// As a frame's tag, which is TPID << 16 | TCI otherwise.
const NONE = 0;
const AS_IS = 1;
/** As the tag with which a frame is to leave: there is none that would say its VLAN. */
const UNSAID = 2;

export class Vlans {
  readonly table: VlanTable;
  // Of each frame of a burst: its VLAN, the priority and DEI that came with it, and the tag that it has now.
  readonly vids = new Int32Array(BURST);
  readonly tcis = new Int32Array(BURST);
  readonly tags = new Int32Array(BURST);

  constructor(policy: BridgePolicy) {
    this.table = new VlanTable(policy);
  }
}

/**
 * The VLAN of frame `i` that came in on `plan.port`: 0 where there are no VLANs; below 0 the drop verdict (verdict.ts) where the port
 * does not take it. Takes the tag that said so off. With `asIs` the frame stays as it is, and is never refused.
 */
export function enterVlan(vlans: Vlans, plan: Plan, i: number, asIs: boolean): number {
  const { table } = vlans;
  if (!table.any) return 0;
  const { arena, port } = plan;
  const { judged, view } = arena;
  const s = judged.first[i];
  const at = judged.pool.offset[s];
  const type = view.getUint16(at + TPID_AT);
  const isTagged = type === table.tpid[port];
  const tci = isTagged ? view.getUint16(at + TCI_AT) : table.priority[port];
  const id = isTagged ? tci & VID_MASK : 0;
  const vid = id === 0 ? table.pvid[port] : table.inward[port][id];
  // Padded to 60 bytes, it would come out as a frame with that tag.
  const isCut = judged.pool.length[s] < TAGGED_SIZE && (type === TPID_8021Q || type === TPID_8021AD);
  const isAdmitted = isMember(vlans, vid, port) && !isCut;
  vlans.vids[i] = isAdmitted ? vid : VID_NONE;
  if (asIs) {
    vlans.tags[i] = AS_IS;
    return vlans.vids[i];
  }
  if (!isAdmitted) return REFUSED;
  vlans.tcis[i] = tci & ~VID_MASK;
  vlans.tags[i] = NONE;
  if (!isTagged) return vid;
  const reason = popTag(arena, i);
  return reason === 0 ? vid : dropVerdict(reason);
}

/** Whether frames of a VLAN may leave by a port. */
export function isMember({ table }: Vlans, vid: number, port: number): boolean {
  if (!table.any) return true;
  return ((table.members[(vid << WORDS_PER_VID_LOG2) + (port >> 5)] >>> (port & 31)) & 1) !== 0;
}

/**
 * Gives frames `list[0..count)`, those of a burst and forms of them, the tags with which they leave `port`. What cannot have one is
 * dropped, and taken out of the list. Returns how many are left.
 */
export function leaveVlan(
  vlans: Vlans,
  tables: Tables,
  plan: Plan,
  port: number,
  list: Int32Array,
  count: number,
): number {
  if (!vlans.table.any) return count;
  const { arena } = plan;
  const { tags } = vlans;
  let kept = 0;
  for (let k = 0; k < count; k++) {
    const i = list[k];
    if (i < BURST && tags[i] !== AS_IS) {
      const tag = tagAt(vlans, plan, port, i);
      if (tag !== tags[i]) {
        const reason = tag === UNSAID ? DROP_VLAN : retag(vlans, plan, i, tag);
        if (reason !== 0) {
          dropFrame(plan, i, reason);
          continue;
        }
        tables.longest = Math.max(tables.longest, arena.judged.length[i]);
      }
    }
    list[kept++] = i;
  }
  return kept;
}

/** The tag with which frame `i` leaves a port that belongs to its VLAN, NONE or UNSAID. */
function tagAt(vlans: Vlans, plan: Plan, port: number, i: number): number {
  const { table, tcis, vids } = vlans;
  const vid = vids[i];
  const tpid = table.tpid[port];
  if (vid === table.bare[port] && !isAmbiguous(vlans, plan, port, i)) {
    return table.priorityTags[port] !== 0 && (tcis[i] & PCP_MASK) !== 0 ? (tpid << 16) | tcis[i] : NONE;
  }
  const id = table.outward[port][vid];
  return id === 0 ? UNSAID : (tpid << 16) | tcis[i] | id;
}

/** Whether frame `i` without a tag of ours would be one with a tag to those behind a trunk. */
function isAmbiguous({ table, tags }: Vlans, { arena }: Plan, port: number, i: number): boolean {
  if (table.trunk[port] === 0) return false;
  const { judged, view } = arena;
  const at = judged.pool.offset[judged.first[i]];
  return view.getUint16(at + (tags[i] === NONE ? TPID_AT : TPID_AT + 4)) === table.tpid[port];
}

/** Returns 0, or the DROP_* counter of what cannot be tagged so. */
function retag(vlans: Vlans, plan: Plan, i: number, tag: number): number {
  const { tags } = vlans;
  const { arena } = plan;
  let reason = 0;
  if (tag === NONE) reason = popTag(arena, i);
  else if (tags[i] === NONE) reason = pushTag(arena, i, tag);
  else setTag(arena, i, tag);
  if (reason === 0) tags[i] = tag;
  return reason;
}
