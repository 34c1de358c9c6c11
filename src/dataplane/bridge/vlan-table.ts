// What the policies say of VLANs, port by port, as hot code reads it.
//
//   members[(vid << 3) + (port >> 5)], bit port & 31     1: the port belongs to the VLAN           4096 x 256 bits, 128 KiB
//   pvid[port]       the VLAN of untagged and priority-tagged frames that come in; 0: they are dropped
//   tpid[port]       the tag that says a VLAN there, 0x8100 or 0x88a8; any other tag is payload. NO_TAGS: so are all
//   bare[port]       the VLAN whose frames leave without a tag; 0: none does
//   inward[port]     VLAN of each id on the wire, 0: of none      outward[port]   id on the wire of each VLAN
//
// Translation is one to one, so that what leaves by a port and comes back is still of its VLAN: an id that stands for another VLAN is
// free no more, and the VLAN that had it is not carried unless it is given an id, too. Ports without a map share one table.
//
// Made cold, with a plan; all but empty where no port has VLANs.

import { MAX_PORTS } from "../shared.ts";
import { type BridgePolicy, hasVlans, type PortPolicy, VID_DEFAULT, VID_MAX } from "./policy.ts";

export const TPID_8021Q = 0x8100;
export const TPID_8021AD = 0x88a8;
/** As a port's tag: no frame has it. */
const NO_TAGS = -1;

const VIDS = 4096;
export const WORDS_PER_VID_LOG2 = 3; // 256 ports in words of 32 bits
const PCP_SHIFT = 13;

export class VlanTable {
  /** Whether frames belong to VLANs; else nothing else here says anything. */
  readonly any: boolean;
  readonly members: Int32Array;
  readonly pvid = new Int32Array(MAX_PORTS).fill(VID_DEFAULT);
  readonly tpid = new Int32Array(MAX_PORTS).fill(TPID_8021Q);
  readonly bare = new Int32Array(MAX_PORTS).fill(VID_DEFAULT);
  readonly inward: Uint16Array[];
  readonly outward: Uint16Array[];
  /** Priority of frames that come in without a tag, where a TCI has it. */
  readonly priority = new Int32Array(MAX_PORTS);
  /** 1: frames of the bare VLAN that have a priority leave with a priority tag. */
  readonly priorityTags = new Int32Array(MAX_PORTS);
  /** 1: others behind this port look for tags in what leaves it. */
  readonly trunk = new Int32Array(MAX_PORTS);

  constructor(policy: BridgePolicy) {
    this.any = hasVlans(policy);
    const straight = Uint16Array.from({ length: this.any ? VIDS : 0 }, (_, id) => id);
    this.members = new Int32Array(this.any ? VIDS << WORDS_PER_VID_LOG2 : 0);
    this.inward = new Array(MAX_PORTS).fill(straight);
    this.outward = new Array(MAX_PORTS).fill(straight);
    if (!this.any) return;
    for (let port = 0; port < MAX_PORTS; port++) this.join(port, VID_DEFAULT, VID_DEFAULT);
    for (const port of policy.ports) this.setPort(port);
  }

  private setPort({ port, vlan, priority, priorityTags }: PortPolicy): void {
    this.priority[port] = priority << PCP_SHIFT;
    if (vlan?.mode !== "tunnel") this.priorityTags[port] = priorityTags ? 1 : 0;
    if (vlan === undefined) return;
    this.leave(port, VID_DEFAULT);
    if (vlan.mode !== "trunk") {
      this.pvid[port] = vlan.vid;
      this.bare[port] = vlan.vid;
      if (vlan.mode === "tunnel") this.tpid[port] = NO_TAGS;
      this.join(port, vlan.vid, vlan.vid);
      return;
    }
    this.trunk[port] = 1;
    this.tpid[port] = vlan.tpid;
    this.pvid[port] = vlan.native;
    this.bare[port] = vlan.nativeTagged ? 0 : vlan.native;
    for (const [first, last] of vlan.allowed) this.join(port, first, Math.min(last, VID_MAX));
    if (vlan.native !== 0) this.join(port, vlan.native, vlan.native);
    if (vlan.map.length > 0) this.translate(port, vlan.map);
  }

  private join(port: number, first: number, last: number): void {
    for (let vid = first; vid <= last; vid++) this.members[memberWord(vid, port)] |= 1 << (port & 31);
  }

  private leave(port: number, vid: number): void {
    this.members[memberWord(vid, port)] &= ~(1 << (port & 31));
  }

  private translate(port: number, map: readonly (readonly [number, number])[]): void {
    const inward = this.inward[port].slice();
    const outward = this.outward[port].slice();
    for (const [, vid] of map) inward[vid] = 0;
    for (const [id] of map) outward[id] = 0;
    for (const [id, vid] of map) {
      inward[id] = vid;
      outward[vid] = id;
    }
    this.inward[port] = inward;
    this.outward[port] = outward;
    // Without an id on the wire a VLAN is carried only where it needs none.
    for (const [id] of map) if (outward[id] === 0 && this.bare[port] !== id) this.leave(port, id);
  }
}

/** Where in `members` the bit of a port is. */
function memberWord(vid: number, port: number): number {
  return (vid << WORDS_PER_VID_LOG2) + (port >> 5);
}
