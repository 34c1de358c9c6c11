// Rules that a file, or a list, has in common with what the switch holds: read once more, a text gives the rule that it gave before,
// and costs a look-up instead of being read, written out and compared again. Rules do not change, so several may share one.
//
// The text of a rule is kept beside it for as long as the rule is; nothing else is. Control thread.

import type { Steps } from "../../core/turns.ts";
import { formatRule, ruleText } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import { parseRule } from "./parse-rule.ts";

/** By the text that they were read from, and by the canonical one. */
export type KnownRules = ReadonlyMap<string, NamedRule>;

export const NO_RULES: KnownRules = new Map();

const sources = new WeakMap<NamedRule, string>();

/** The rule of a text. Throws RuleSyntaxError. */
export function readRule(text: string, known: KnownRules): NamedRule {
  const before = known.get(text);
  if (before !== undefined) return before;
  const rule = parseRule(text);
  keepSource(rule, text);
  return rule;
}

/** To be called for a rule that was read from `text` by somebody else. */
export function keepSource(rule: NamedRule, text: string): void {
  sources.set(rule, text);
  // Whoever compares rules needs it: of thousands it would take a second there.
  ruleText(rule);
}

export function* knownRules(rules: readonly { rule: NamedRule }[]): Steps<KnownRules> {
  const known = new Map<string, NamedRule>();
  for (const { rule } of rules) {
    known.set(formatRule(rule), rule);
    const source = sources.get(rule);
    if (source !== undefined) known.set(source, rule);
    yield;
  }
  return known;
}
