// What can be said of a VLAN, as in `[vlans.10]` and `vlan set 10 KEY=VALUE`:
//
//   { ageing: 60, learning: false, suppress: ["arp", "nd"] }   <->   VlanPolicy
//
// VLAN 0 is the frames of a switch whose ports have no VLANs. Pure.

import type { z } from "zod";
import { VID_MAX, type VlanPolicy } from "../../dataplane/bridge/policy.ts";
import type { ConfigProblem } from "../config.ts";
import { suggest } from "../nearest.ts";
import { someOf, valueProblem, wholeNumber, yesOrNo } from "./policy-values.ts";
import type { PolicyRead, PolicyWords } from "./policy-words.ts";

/** A day, as for the switch as a whole. */
const AGEING_MAX_S = 86_400;

/** What a table of VLANs has as keys. */
export const vlanId = wholeNumber("a VLAN id", 0, VID_MAX);

const SCHEMAS = {
  ageing: wholeNumber("seconds", 1, AGEING_MAX_S),
  learning: yesOrNo,
  suppress: someOf("arp", "nd"),
} as const satisfies Record<string, z.ZodType>;

type Said = { [K in keyof typeof SCHEMAS]?: z.output<(typeof SCHEMAS)[K]> };

export const VLAN_POLICY_KEYS: readonly string[] = Object.keys(SCHEMAS);

export function readVlanPolicy(vid: number, words: Readonly<Record<string, unknown>>): PolicyRead<VlanPolicy> {
  const problems: ConfigProblem[] = [];
  const said: Said = {};
  for (const [key, value] of Object.entries(words)) {
    if (!Object.hasOwn(SCHEMAS, key)) {
      problems.push({ path: [key], message: `unknown key: ${suggest(key, "known:", VLAN_POLICY_KEYS)}` });
      continue;
    }
    const parsed = SCHEMAS[key as keyof typeof SCHEMAS].safeParse(value);
    if (parsed.success) Object.assign(said, { [key]: parsed.data });
    else problems.push(valueProblem([key], value, parsed.error));
  }
  if (problems.length > 0) return { problems };
  const { ageing, learning = true, suppress = [] } = said;
  return {
    is: {
      vid,
      ...(ageing === undefined ? {} : { ageingS: ageing }),
      learning,
      suppressArp: suppress.includes("arp"),
      suppressNd: suppress.includes("nd"),
    },
  };
}

/** As they can be read again; none where the VLAN is as any other. */
export function vlanPolicyWords({ ageingS, learning, suppressArp, suppressNd }: Omit<VlanPolicy, "vid">): PolicyWords {
  const suppress = [...(suppressArp ? ["arp"] : []), ...(suppressNd ? ["nd"] : [])];
  return {
    ...(ageingS === undefined ? {} : { ageing: ageingS }),
    ...(learning ? {} : { learning }),
    ...(suppress.length === 0 ? {} : { suppress }),
  };
}
