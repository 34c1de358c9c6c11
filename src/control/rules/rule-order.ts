// In which order rules are tried: by priority, the greatest first, and of one priority by id. Pure.

import type { RuleEntry } from "./rule-entry.ts";

/** The same order as `byRank` (dataplane/rules/rule.ts), which needs resolved rules. */
export function inOrder(a: RuleEntry, b: RuleEntry): number {
  return b.rule.priority - a.rule.priority || a.id - b.id;
}

/** `entries`, which are in order, with one more. Sorting thousands for one that comes would cost more than all else of it. */
export function withEntry(entries: readonly RuleEntry[], entry: RuleEntry): readonly RuleEntry[] {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (inOrder(entries[middle], entry) < 0) low = middle + 1;
    else high = middle;
  }
  return entries.toSpliced(low, 0, entry);
}
