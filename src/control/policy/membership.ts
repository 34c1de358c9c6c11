// How a port takes part in VLANs, in words. One key says the mode, and the others go with a trunk:
//
//   vlan = 10        access: untagged frames of VLAN 10
//   trunk = "10,20"  tagged frames of these; native, native-tagged, tag-type, vlan-map say more
//   tunnel = 100     802.1Q tunnel (QinQ): all that comes is of VLAN 100, whatever its own tags say
//
// Pure.

import type { z } from "zod";
import type { VlanMembership } from "../../dataplane/bridge/policy.ts";
import type { ConfigProblem } from "../config.ts";
import { oneOf, valueProblem, vid, vidMap, vidRanges, yesOrNo } from "./policy-values.ts";
import type { PolicyRead, PolicyWords } from "./policy-words.ts";
import { formatVidRanges, hasVid, isAllVids } from "./vid-ranges.ts";

type Trunk = Extract<VlanMembership, { mode: "trunk" }>;

const TPIDS = { "802.1Q": 0x8100, "802.1ad": 0x88a8 } as const;
type TagType = keyof typeof TPIDS;

export const MODE_KEYS = ["vlan", "trunk", "tunnel"] as const;
export const TRUNK_KEYS = ["native", "native-tagged", "tag-type", "vlan-map"] as const;

const SCHEMAS = {
  vlan: vid,
  trunk: vidRanges,
  tunnel: vid,
  native: vid,
  "native-tagged": yesOrNo,
  "tag-type": oneOf("802.1Q", "802.1ad"),
  "vlan-map": vidMap,
} as const satisfies Record<(typeof MODE_KEYS)[number] | (typeof TRUNK_KEYS)[number], z.ZodType>;

type Said = { [K in keyof typeof SCHEMAS]?: z.output<(typeof SCHEMAS)[K]> };

export const MEMBERSHIP_KEYS: readonly string[] = [MODE_KEYS[0], MODE_KEYS[1], ...TRUNK_KEYS, MODE_KEYS[2]];

export function isMembershipKey(key: string): boolean {
  return MEMBERSHIP_KEYS.includes(key);
}

/** Undefined where nothing of it is said. */
export function readMembership(words: Readonly<Record<string, unknown>>): PolicyRead<VlanMembership | undefined> {
  const said: Said = {};
  const problems: ConfigProblem[] = [];
  for (const [key, schema] of Object.entries(SCHEMAS)) {
    if (!Object.hasOwn(words, key)) continue;
    const parsed = schema.safeParse(words[key]);
    if (parsed.success) Object.assign(said, { [key]: parsed.data });
    else problems.push(valueProblem([key], words[key], parsed.error));
  }
  if (problems.length === 0) problems.push(...contradictions(said));
  if (problems.length > 0) return { problems };
  if (said.vlan !== undefined) return { is: { mode: "access", vid: said.vlan } };
  if (said.tunnel !== undefined) return { is: { mode: "tunnel", vid: said.tunnel } };
  if (said.trunk === undefined) return { is: undefined };
  const trunk: Trunk = {
    mode: "trunk",
    allowed: said.trunk,
    native: said.native ?? 0,
    nativeTagged: said["native-tagged"] ?? false,
    tpid: TPIDS[said["tag-type"] ?? "802.1Q"],
    map: said["vlan-map"] ?? [],
  };
  const message = mapMistake(trunk);
  return message === undefined ? { is: trunk } : { problems: [{ path: ["vlan-map"], message }] };
}

function contradictions(said: Said): ConfigProblem[] {
  const [mode, other] = MODE_KEYS.filter((key) => said[key] !== undefined);
  if (other !== undefined) {
    const message = `a port with ${mode} has no ${other}: leave one out`;
    return [{ path: [other], message }];
  }
  if (mode !== "trunk") {
    const stray = TRUNK_KEYS.find((key) => said[key] !== undefined);
    if (stray !== undefined)
      return [{ path: [stray], message: `${stray} goes with trunk: say which VLANs, or leave it out` }];
  }
  if (said["native-tagged"] && said.native === undefined)
    return [
      { path: ["native-tagged"], message: "there is no native VLAN that could be tagged: say which with native" },
    ];
  return [];
}

/** Each id on the wire stands for one VLAN, and each VLAN has one; a trunk of all VLANs leaves those out that have none left. */
function mapMistake({ map, allowed, native, nativeTagged }: Trunk): string | undefined {
  const wires = new Map(map.map(([wire, own]) => [own, wire]));
  for (const [wire, own] of map) {
    if (wires.get(own) !== wire)
      return `VLAN ${own} has two ids on the wire, ${wire} and ${wires.get(own)}: choose one`;
    if (!hasVid(allowed, own) && own !== native) return `VLAN ${own} is not one of trunk: add it there`;
    const isAsked = wire === native ? nativeTagged : hasVid(allowed, wire) && !isAllVids(allowed);
    if (isAsked && !wires.has(wire))
      return `id ${wire} stands for VLAN ${own}, so none is left for VLAN ${wire}: take that out of trunk, or map it`;
  }
  return undefined;
}

/** The words of a membership, none where it is undefined. */
export function membershipWords(membership: VlanMembership | undefined): PolicyWords {
  if (membership === undefined) return {};
  if (membership.mode === "access") return { vlan: membership.vid };
  if (membership.mode === "tunnel") return { tunnel: membership.vid };
  const { allowed, native, nativeTagged, tpid, map } = membership;
  const tagType = (Object.keys(TPIDS) as TagType[]).find((type) => TPIDS[type] === tpid) ?? String(tpid);
  return {
    trunk: formatVidRanges(allowed),
    ...(native === 0 ? {} : { native }),
    ...(nativeTagged ? { "native-tagged": true } : {}),
    ...(tpid === TPIDS["802.1Q"] ? {} : { "tag-type": tagType }),
    ...(map.length === 0 ? {} : { "vlan-map": Object.fromEntries(map.map(([wire, own]) => [String(wire), own])) }),
  };
}
