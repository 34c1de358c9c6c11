// VLANs of the running switch, as `vlan show` tells of them: what was said of each, who belongs to it and how its frames leave there.
//
//   VLAN 10   vm1 access untagged   up1 trunk tagged   up2 trunk tagged as 110
//
// A VLAN is there when a port or the configuration names it, or an address was learned in it; a trunk of all VLANs names none. Pure.

import { VID_DEFAULT, type VlanMembership, type VlanPolicy } from "../../dataplane/bridge/policy.ts";
import { hasVid, isAllVids } from "./vid-ranges.ts";

export interface VlanMember {
  port: string;
  mode: VlanMembership["mode"];
  /** How frames of the VLAN leave the port. */
  leaves: "tagged" | "untagged";
  /** The id in the tag, where it is another than the VLAN's. */
  wireId?: number;
  /** Absent: 802.1Q. */
  tagType?: "802.1ad";
}

export interface VlanInfo {
  id: number;
  /** Of learned addresses. */
  ageingS: number;
  learning: boolean;
  suppress: ("arp" | "nd")[];
  /** Addresses learned in it. */
  macs: number;
  /** Requests that went to one port instead of being flooded. */
  directed: number;
  members: VlanMember[];
}

/** What is to be known of the switch. */
export interface VlanFacts {
  /** All ports, with what was said of them. */
  ports: ReadonlyMap<string, VlanMembership | undefined>;
  vlans: ReadonlyMap<number, VlanPolicy>;
  ageingS: number;
  /** VLANs of the addresses that were learned. */
  learned: ReadonlyMap<number, number>;
  directed(vid: number): number;
}

const TPID_8021AD = 0x88a8;

/** All that there are, in their order; VLAN 0, of a switch without VLANs, only where something is said of it. */
export function vlanIds(facts: VlanFacts): number[] {
  return [...idsOf(facts)].sort((a, b) => a - b);
}

/** Without its members, who may be many. */
export function vlanInfo(id: number, { vlans, ageingS, learned, directed }: VlanFacts): Omit<VlanInfo, "members"> {
  const { learning = true, suppressArp = false, suppressNd = false, ageingS: own = ageingS } = vlans.get(id) ?? {};
  return {
    ...{ id, ageingS: own, learning },
    suppress: [...(suppressArp ? (["arp"] as const) : []), ...(suppressNd ? (["nd"] as const) : [])],
    macs: learned.get(id) ?? 0,
    directed: directed(id),
  };
}

function idsOf({ ports, vlans, learned }: VlanFacts): Set<number> {
  const ids = new Set<number>([...vlans.keys(), ...learned.keys()]);
  if (!hasVlans(ports)) return without(ids, (id) => !vlans.has(id));
  for (const said of ports.values()) {
    if (said === undefined) ids.add(VID_DEFAULT);
    else if (said.mode !== "trunk") ids.add(said.vid);
    else {
      if (said.native > 0) ids.add(said.native);
      for (const [, own] of said.map) ids.add(own);
      if (isAllVids(said.allowed)) continue;
      for (const [first, last] of said.allowed) for (let id = first; id <= last; id++) ids.add(id);
    }
  }
  return without(ids, (id) => id === 0 && !vlans.has(0));
}

function without(ids: ReadonlySet<number>, out: (id: number) => boolean): Set<number> {
  return new Set([...ids].filter((id) => !out(id)));
}

export function vlanMembers(id: number, { ports }: VlanFacts): VlanMember[] {
  // Without VLANs all frames are of VLAN 0, and every port has them.
  const plain: VlanMembership = { mode: "access", vid: hasVlans(ports) ? VID_DEFAULT : 0 };
  const members: VlanMember[] = [];
  for (const [port, said] of ports) {
    const member = memberOf(id, said ?? plain);
    if (member !== undefined) members.push({ port, ...member });
  }
  return members;
}

function hasVlans(ports: VlanFacts["ports"]): boolean {
  for (const said of ports.values()) if (said !== undefined) return true;
  return false;
}

function memberOf(id: number, membership: VlanMembership): Omit<VlanMember, "port"> | undefined {
  const { mode } = membership;
  if (mode !== "trunk") return membership.vid === id ? { mode, leaves: "untagged" } : undefined;
  const { allowed, native, nativeTagged, tpid, map } = membership;
  if (id === native && !nativeTagged) return { mode, leaves: "untagged" };
  if (id !== native && !hasVid(allowed, id)) return undefined;
  const wireId = map.find(([, own]) => own === id)?.[0] ?? id;
  // Its id stands for another VLAN here, and none is left for it.
  if (wireId === id && map.some(([wire, own]) => wire === id && own !== id)) return undefined;
  return {
    ...{ mode, leaves: "tagged" },
    ...(wireId === id ? {} : { wireId }),
    ...(tpid === TPID_8021AD ? { tagType: "802.1ad" as const } : {}),
  };
}
