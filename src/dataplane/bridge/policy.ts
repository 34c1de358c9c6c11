// What ports and VLANs are told to do beyond learning and flooding: VLANs, guards, limits, mirrors. Names are resolved to indices, and
// every setting has a value. Plain data, made by the control thread (control/policy/), sent to workers within a plan
// (rules/plan-image.ts), and turned into what their hot code reads by bridge.ts.
//
//   BridgePolicy   ports [ {port 3, vlan: access 10, isolated, ...} ... ]   vlans [ {vid 10, ageingS 60} ]   mirrors [ ... ]
//
// A port that is not listed has PORT_DEFAULTS. A policy that lists nothing is none: without one, and without rules, workers run the
// code of a plain learning switch.

/** Tokens a second, and how many may be saved up: bits of frames (without preamble and gap), or frames. */
export interface Rate {
  unit: "bits" | "frames";
  rate: number;
  burst: number;
}

export const VID_MAX = 4094;
/** What ports belong to that say nothing, where others do. */
export const VID_DEFAULT = 1;

/** First and last VLAN id, both included. */
export type VidRange = readonly [number, number];

/** How a port takes part in VLANs. */
export type VlanMembership =
  /** Untagged frames of one VLAN. Tagged ones are taken where the tag is that VLAN's, or a priority tag. */
  | { mode: "access"; vid: number }
  | {
      mode: "trunk";
      allowed: readonly VidRange[];
      /** The VLAN of untagged frames; 0: they are dropped. It is one of the allowed ones or added to them. */
      native: number;
      /** Frames of the native VLAN leave with a tag, too. */
      nativeTagged: boolean;
      /** Of the tags on the wire: 0x8100 or 0x88a8. */
      tpid: number;
      /** Ids on the wire and the VLANs that they stand for. */
      map: readonly (readonly [number, number])[];
    }
  /** 802.1Q tunnel (QinQ): whatever arrives, tagged or not, is of one VLAN, and keeps its tags inside. */
  | { mode: "tunnel"; vid: number };

/** What happens when a port that has learned `macLimit` addresses meets another one. */
export type LimitAction = "evict" | "stop" | "drop" | "shutdown";

/** A station that may send: its address, and where given the IP addresses (IPv4 or IPv6) that it may use. */
export interface SourceBinding {
  /** Twelve hex digits. */
  mac: string;
  /** Prefixes in the usual notation, `10.0.0.5/32`, `fe80::/10`. Empty: any. */
  ips: readonly string[];
}

export interface PortPolicy {
  port: number;
  /** Absent: access to VID_DEFAULT where any port has VLANs, else no VLANs. */
  vlan?: VlanMembership;
  /** An untagged frame with a priority leaves with a priority tag (VLAN id 0) instead of none. */
  priorityTags: boolean;
  learning: boolean;
  /** Learned addresses do not move to other ports: frames that would move one are dropped. */
  sticky: boolean;
  limitAction: LimitAction;
  /** Seconds after which a port that was shut down or blocked is tried again; 0: never. */
  recoverS: number;
  /** Which floods go out of this port. */
  floodBroadcast: boolean;
  floodMulticast: boolean;
  floodUnknown: boolean;
  /** Limits of what comes in and would be flooded. */
  stormBroadcast?: Rate;
  stormMulticast?: Rate;
  stormUnknown?: Rate;
  loopGuard: boolean;
  /** No frame goes from a port of a group to another one of it; isolated ports are such a group of their own. */
  isolated: boolean;
  groups: readonly string[];
  /** Absent: whoever. Empty: nobody. */
  sources?: readonly SourceBinding[];
  /** What servers of DHCP (v4 and v6) say is dropped. */
  dhcpGuard: boolean;
  /** IPv6 router advertisements and redirects are dropped. */
  raGuard: boolean;
  /** Limit of what comes in, and of what goes out (that waits in queues). */
  police?: Rate;
  shape?: Rate;
  /** What a frame's priority, 0 to 7, is taken from; where it has none, or with "none", it is `priority`. */
  trust: "none" | "pcp" | "dscp";
  priority: number;
  /** Queues of what goes out, one for each priority: the higher first, or by turns in proportion to eight weights (DRR). */
  scheduler: "strict" | readonly number[];
}

export const PORT_DEFAULTS: Omit<PortPolicy, "port"> = {
  priorityTags: false,
  learning: true,
  sticky: false,
  limitAction: "evict",
  recoverS: 300,
  floodBroadcast: true,
  floodMulticast: true,
  floodUnknown: true,
  loopGuard: false,
  isolated: false,
  groups: [],
  dhcpGuard: false,
  raGuard: false,
  trust: "none",
  priority: 0,
  scheduler: "strict",
};

export interface VlanPolicy {
  vid: number;
  /** Absent: the switch's. */
  ageingS?: number;
  learning: boolean;
  /** Requests for addresses that the switch has seen answered go to their owner's port alone. */
  suppressArp: boolean;
  suppressNd: boolean;
}

export type Direction = "in" | "out" | "both";

/** Copies of frames of some ports or VLANs, for one port. */
export interface MirrorPolicy {
  name: string;
  ports: readonly { port: number; direction: Direction }[];
  vlans: readonly { vid: number; direction: Direction }[];
  to: number;
  /** Bytes of each frame; 0: all. */
  truncate: number;
}

/** A capture that runs: of what passes a port, of what is dropped, or of what meets a rule. */
export interface CapturePolicy {
  what: { of: "port"; port: number; direction: Direction } | { of: "drops" } | { of: "rule"; id: number };
  /** Bytes of each frame that are kept. */
  snap: number;
  /** A match, compiled as that of a rule (rules/compile.ts); absent: every frame. */
  filter?: { tables: readonly number[]; source: string };
  /** Address of its TapMemory. */
  memory: number;
}

export interface BridgePolicy {
  ports: readonly PortPolicy[];
  /** With VLAN 0: what holds for frames of a switch without VLANs. */
  vlans: readonly VlanPolicy[];
  mirrors: readonly MirrorPolicy[];
  /** No policies of a person's, but workers hear of them in the same way, and where there are some, there is a plan. */
  captures?: readonly CapturePolicy[];
}

export const NO_POLICY: BridgePolicy = { ports: [], vlans: [], mirrors: [] };

/** Whether it asks for nothing. */
export function isNoPolicy({ ports, vlans, mirrors, captures = [] }: BridgePolicy): boolean {
  return ports.length === 0 && vlans.length === 0 && mirrors.length === 0 && captures.length === 0;
}

/** Whether frames belong to VLANs: any port says so. */
export function hasVlans({ ports }: BridgePolicy): boolean {
  return ports.some(({ vlan }) => vlan !== undefined);
}
