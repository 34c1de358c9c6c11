// What is said of rules and meters: to whoever lists them, and to the log. Pure; control thread.

import type { MeterCounters } from "../../dataplane/rules/plan-builder.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import type { RuleCounters } from "../../dataplane/rules/table.ts";
import { isSameRule, ruleText } from "./format-rule.ts";
import { formatBurst, formatRate } from "./meter-spec.ts";
import type { NamedRule } from "./named-rule.ts";
import type { RuleLookup } from "./resolve.ts";
import type { RuleEntry } from "./rule-entry.ts";
import { waitsFor } from "./rule-waiting.ts";
import type { MeterInfo, RuleInfo, RuleSet } from "./rules-api.ts";

/** Characters of a rule in one line of the log. */
const LOGGED_TEXT = 200;

/** A rule with its counters, and, where it waits for something that `lookup` does not have, for what. */
export function ruleInfo(entry: RuleEntry, { frames, bytes, lastHitS }: RuleCounters, lookup: RuleLookup): RuleInfo {
  const { id, rule } = entry;
  const inactive = waitsFor(entry, lookup);
  return {
    ...{ id, priority: rule.priority, text: ruleText(rule), frames, bytes },
    ...(lastHitS < 0 ? {} : { lastHitS }),
    ...(inactive === undefined ? {} : { inactive }),
  };
}

/** Ids that go over the control socket with a meter, in one frame. */
const USERS_SHOWN = 1000;

/** A meter with its counters; `rules`: ids of those that name it. */
export function meterInfo(meter: MeterSpec, { frames, bytes, dropped }: MeterCounters, rules: number[]): MeterInfo {
  return {
    name: meter.name,
    ...meterText(meter),
    frames,
    bytes,
    dropped,
    rules: rules.slice(0, USERS_SHOWN),
    users: rules.length,
  };
}

/** As a person would type them. */
export function meterText(meter: MeterSpec): { rate: string; burst: string } {
  return { rate: formatRate(meter), burst: formatBurst(meter) };
}

/** A rule in a line of the log. */
export function logged(rule: NamedRule): string {
  const text = ruleText(rule);
  return text.length <= LOGGED_TEXT ? text : `${text.slice(0, LOGGED_TEXT)}…`;
}

/** What a replacement changed: how many there are now, how many came and how many went. */
export function replacedFacts(before: RuleSet, now: RuleSet): Record<"rules" | "meters" | "added" | "removed", number> {
  const had = new Map(before.rules.map(({ id, rule }) => [id, rule]));
  const kept = now.rules.filter(({ id, rule }) => {
    const old = had.get(id);
    return old !== undefined && isSameRule(old, rule);
  }).length;
  const rules = now.rules.length;
  return { rules, meters: now.meters.length, added: rules - kept, removed: before.rules.length - kept };
}
