// A bridge with VLANs, the obvious way, for tests: one frame after the other, on bytes, with lists and Maps. Written from IEEE 802.1Q-2022
// (6.9 how a frame gets its VLAN and loses its tag, 8.6.1 and 8.6.2 who takes part), with what the standard leaves to a bridge as
// dataplane/bridge/vlans.ts and policy.ts say it. Shares no code with them.
//
//   receive   tag of the port's kind, or none -> {vid, priority and DEI, body}, or nothing: refused
//   relay     by its VLAN's addresses, or to every port of the VLAN but its own
//   transmit  body -> bytes, with the tag that the port wants

import type { VlanMembership } from "../../../src/dataplane/bridge/policy.ts";

export interface ModelPort {
  /** Undefined: nothing was said of it, though of others. */
  vlan?: VlanMembership;
  priority?: number;
  priorityTags?: boolean;
}

/** Of a frame: bytes for each port that it leaves by, and by how many it cannot, or why it goes nowhere. */
export type Relayed = { to: Map<number, Uint8Array>; unsaid: number } | { dropped: string };

interface Body {
  vid: number;
  /** PCP and DEI. */
  priority: number;
  bytes: Uint8Array;
}

const TAG_TYPES = [0x8100, 0x88a8];
const ACCESS_1: VlanMembership = { mode: "access", vid: 1 };

const at16 = (bytes: Uint8Array, at: number) => bytes[at] * 256 + bytes[at + 1];

export class VlanModel {
  private readonly stations = new Map<string, number>();

  constructor(private readonly ports: readonly ModelPort[]) {}

  relay(from: number, bytes: Uint8Array): Relayed {
    const body = this.receive(from, bytes);
    if (body === undefined) return { dropped: "vlan" };
    const address = (at: number) => `${body.vid} ${bytes.subarray(at, at + 6).toHex()}`;
    this.stations.set(address(6), from);
    const others = this.ports.keys().filter((port) => port !== from && this.carries(port, body.vid));
    const known = (bytes[0] & 1) === 1 ? undefined : this.stations.get(address(0));
    if (known === from) return { dropped: "own_port" };
    const to = known === undefined ? [...others] : [known];
    if (to.length === 0) return { dropped: "no_destination" };
    const sent = to.flatMap((port): [number, Uint8Array][] => {
      const out = this.transmit(port, body);
      return out === undefined ? [] : [[port, out]];
    });
    return { to: new Map(sent), unsaid: to.length - sent.length };
  }

  private vlan(port: number): VlanMembership {
    return this.ports[port].vlan ?? ACCESS_1;
  }

  private tagType(port: number): number | undefined {
    const vlan = this.vlan(port);
    if (vlan.mode === "tunnel") return undefined;
    return vlan.mode === "trunk" ? vlan.tpid : 0x8100;
  }

  /** The VLAN that an id on the wire stands for (6.9, VID translation), if any. */
  private vlanOf(port: number, id: number): number | undefined {
    const vlan = this.vlan(port);
    if (vlan.mode !== "trunk") return id;
    const mapped = vlan.map.find(([wire]) => wire === id);
    if (mapped !== undefined) return mapped[1];
    return vlan.map.some(([, vid]) => vid === id) ? undefined : id;
  }

  private wireOf(port: number, vid: number): number | undefined {
    const vlan = this.vlan(port);
    if (vlan.mode !== "trunk") return vid;
    const mapped = vlan.map.find(([, target]) => target === vid);
    if (mapped !== undefined) return mapped[0];
    return vlan.map.some(([wire]) => wire === vid) ? undefined : vid;
  }

  /** Whether frames of the VLAN leave by the port without a tag. */
  private isUntagged(port: number, vid: number): boolean {
    const vlan = this.vlan(port);
    return vlan.mode === "trunk" ? vid === vlan.native && !vlan.nativeTagged : vid === vlan.vid;
  }

  /** Whether the port is in the VLAN's member set. */
  private carries(port: number, vid: number): boolean {
    const vlan = this.vlan(port);
    if (vlan.mode !== "trunk") return vid === vlan.vid;
    if (vid < 1 || vid > 4094) return false;
    const isAllowed = vid === vlan.native || vlan.allowed.some(([first, last]) => first <= vid && vid <= last);
    return isAllowed && (this.isUntagged(port, vid) || this.wireOf(port, vid) !== undefined);
  }

  private receive(port: number, bytes: Uint8Array): Body | undefined {
    const vlan = this.vlan(port);
    const type = at16(bytes, 12);
    if (TAG_TYPES.includes(type) && bytes.length < 18) return undefined;
    const isTagged = type === this.tagType(port);
    const id = isTagged ? at16(bytes, 14) % 4096 : 0;
    const own = vlan.mode === "trunk" ? vlan.native : vlan.vid;
    const vid = id === 0 ? own : this.vlanOf(port, id);
    if (vid === undefined || !this.carries(port, vid)) return undefined;
    if (!isTagged) return { vid, priority: (this.ports[port].priority ?? 0) * 2, bytes };
    const rest = Uint8Array.from([...bytes.subarray(0, 12), ...bytes.subarray(16)]);
    return { vid, priority: bytes[14] >> 4, bytes: rest };
  }

  /** Undefined where it would be taken for a frame of the VLAN in its payload, and no tag can say better. */
  private transmit(port: number, { vid, priority, bytes }: Body): Uint8Array | undefined {
    const vlan = this.vlan(port);
    const type = this.tagType(port);
    const tagged = (id: number) => {
      const tci = priority * 4096 + id;
      const tag = [type! >> 8, type! & 0xff, tci >> 8, tci & 0xff];
      return Uint8Array.from([...bytes.subarray(0, 12), ...tag, ...bytes.subarray(12)]);
    };
    const wouldMislead = vlan.mode === "trunk" && at16(bytes, 12) === type;
    if (!this.isUntagged(port, vid) || wouldMislead) {
      const id = this.wireOf(port, vid);
      return id === undefined ? undefined : tagged(id);
    }
    const wantsPriority = vlan.mode !== "tunnel" && this.ports[port].priorityTags === true;
    return wantsPriority && priority >= 2 ? tagged(0) : bytes;
  }
}
