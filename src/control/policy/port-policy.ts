// What can be said of a port, key by key, as in `[ports.NAME]` and `port set NAME KEY=VALUE`, and what it means.
//
//   { trunk: "10,20-30", native: 10, isolated: true }   <->   { vlan: { mode: "trunk", … }, isolated: true }     (PortSettings)
//
// Most keys are one setting; those of VLANs are one together (membership.ts). A setting that has its default is as good as none, so
// that one policy has one form, and a port of which nothing special is said costs nothing. Pure.

import type { z } from "zod";
import { PORT_DEFAULTS, type Rate } from "../../dataplane/bridge/policy.ts";
import type { ConfigProblem } from "../config.ts";
import { suggest } from "../nearest.ts";
import { isMembershipKey, MEMBERSHIP_KEYS, membershipWords, readMembership } from "./membership.ts";
import type { PortSettings } from "./named-policy.ts";
import {
  bindingWord,
  groupNames,
  oneOf,
  rate,
  rateWord,
  scheduler,
  someOf,
  sourceBindings,
  valueProblem,
  wholeNumber,
  yesOrNo,
} from "./policy-values.ts";
import type { PolicyRead, PolicyValue, PolicyWords } from "./policy-words.ts";

/** A day, as for ageing. */
const RECOVER_MAX_S = 86_400;
const FLOODS = ["broadcast", "multicast", "unknown"] as const;

/** A key that is one setting, or some that are only ever said together. */
interface Key {
  schema: z.ZodType;
  toSettings(value: never): PortSettings;
  /** Undefined where it is not said. */
  toWord(settings: PortSettings): PolicyValue | undefined;
}

/** A setting whose value is written as it is. */
function plain(name: keyof PortSettings, schema: z.ZodType): Key {
  return {
    schema,
    toSettings: (value) => ({ [name]: value }),
    toWord: (settings) => settings[name] as PolicyValue | undefined,
  };
}

type RateName = "stormBroadcast" | "stormMulticast" | "stormUnknown" | "police" | "shape";

function limit(name: RateName): Key {
  return {
    schema: rate,
    toSettings: (value: Rate) => ({ [name]: value }),
    toWord: ({ [name]: rate }) => rate && rateWord(rate),
  };
}

const flood: Key = {
  schema: someOf(...FLOODS),
  toSettings: (kinds: readonly string[]) => ({
    floodBroadcast: kinds.includes("broadcast"),
    floodMulticast: kinds.includes("multicast"),
    floodUnknown: kinds.includes("unknown"),
  }),
  toWord({ floodBroadcast = true, floodMulticast = true, floodUnknown = true }) {
    const on = [floodBroadcast, floodMulticast, floodUnknown];
    if (on.every((each) => each)) return undefined;
    const kinds = FLOODS.filter((_, index) => on[index]);
    return kinds.length === 0 ? "none" : kinds;
  },
};

const KEYS: Readonly<Record<string, Key>> = {
  "priority-tags": plain("priorityTags", yesOrNo),
  learning: plain("learning", yesOrNo),
  sticky: plain("sticky", yesOrNo),
  "mac-limit-action": plain("limitAction", oneOf("evict", "stop", "drop", "shutdown")),
  recover: plain("recoverS", wholeNumber("seconds", 0, RECOVER_MAX_S)),
  flood,
  "storm-broadcast": limit("stormBroadcast"),
  "storm-multicast": limit("stormMulticast"),
  "storm-unknown": limit("stormUnknown"),
  "loop-guard": plain("loopGuard", yesOrNo),
  isolated: plain("isolated", yesOrNo),
  groups: plain("groups", groupNames),
  "source-guard": {
    schema: sourceBindings,
    toSettings: (sources: PortSettings["sources"]) => ({ sources }),
    // An empty list would look as if there were no guard.
    toWord: ({ sources }) => (sources?.length === 0 ? "nobody" : sources?.map(bindingWord)),
  },
  "dhcp-guard": plain("dhcpGuard", yesOrNo),
  "ra-guard": plain("raGuard", yesOrNo),
  police: limit("police"),
  shape: limit("shape"),
  trust: plain("trust", oneOf("none", "pcp", "dscp")),
  priority: plain("priority", wholeNumber("a priority", 0, 7)),
  scheduler: plain("scheduler", scheduler),
};

/** In the order in which they are shown. */
export const PORT_POLICY_KEYS: readonly string[] = [...MEMBERSHIP_KEYS, ...Object.keys(KEYS)];

export function isPortPolicyKey(key: string): boolean {
  return isMembershipKey(key) || Object.hasOwn(KEYS, key);
}

/** Reads what was said; every mistake is told. */
export function readPortPolicy(words: Readonly<Record<string, unknown>>): PolicyRead<PortSettings> {
  const problems: ConfigProblem[] = [];
  const settings: PortSettings = {};
  for (const [key, value] of Object.entries(words)) {
    if (isMembershipKey(key)) continue;
    if (!Object.hasOwn(KEYS, key)) {
      problems.push({ path: [key], message: `unknown key: ${suggest(key, "known:", PORT_POLICY_KEYS)}` });
      continue;
    }
    const { schema, toSettings } = KEYS[key];
    const parsed = schema.safeParse(value);
    if (parsed.success) Object.assign(settings, toSettings(parsed.data as never));
    else problems.push(valueProblem([key], value, parsed.error));
  }
  const membership = readMembership(words);
  if ("problems" in membership) problems.push(...membership.problems);
  else if (membership.is !== undefined) settings.vlan = membership.is;
  return problems.length > 0 ? { problems } : { is: withoutDefaults(settings) };
}

/** As they can be read again; what has its default is left out. */
export function portPolicyWords(settings: PortSettings): PolicyWords {
  const said = withoutDefaults(settings);
  const words: PolicyWords = membershipWords(said.vlan);
  for (const [key, { toWord }] of Object.entries(KEYS)) {
    const word = toWord(said);
    if (word !== undefined) words[key] = word;
  }
  return words;
}

function withoutDefaults(settings: PortSettings): PortSettings {
  const defaults: Readonly<Record<string, unknown>> = { ...PORT_DEFAULTS };
  return Object.fromEntries(
    Object.entries(settings).filter(([name, value]) => value !== undefined && !Bun.deepEquals(value, defaults[name])),
  );
}
