// HOT
// VLANs of frames on their way through: which one a frame belongs to when it comes in, which ports belong to it, and the tag with
// which it leaves each of them.

import type { Plan } from "../rules/plan.ts";
import type { Tables } from "../tables.ts";
import type { BridgePolicy } from "./policy.ts";

export class Vlans {
  constructor(readonly policy: BridgePolicy) {}
}

/**
 * The VLAN of frame `i` that came in on `plan.port`: 0 where there are no VLANs; below 0 the drop verdict (verdict.ts) where the port
 * does not take it. Takes the tag that said so off, unless `asIs`: then the frame leaves as it is.
 */
export function enterVlan(_vlans: Vlans, _plan: Plan, _i: number, _asIs: boolean): number {
  return 0;
}

/** Whether frames of a VLAN may leave by a port. */
export function isMember(_vlans: Vlans, _vid: number, _port: number): boolean {
  return true;
}

/** Gives frames `list[0..count)`, those of a burst and forms of them, the tags with which they leave `port`. */
export function leaveVlan(
  _vlans: Vlans,
  _tables: Tables,
  _plan: Plan,
  _port: number,
  _list: Int32Array,
  _count: number,
): void {}
