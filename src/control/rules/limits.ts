// How much one rule may be: the compiler makes an entry of each combination of its values, and lists multiply. It refuses too many
// by itself (compile-match.ts), but when the rule is written it can still be said at which word. Pure.
//
//   ip src 10 addresses, ip dst 10 prefixes, tcp dport 80,8000-8100       10 * 10 * 2 entries
//
// A range is one check, except in fields that span words of the key (MAC and IPv6 addresses), where it is cut into prefixes.

import { RULE_ENTRIES_MAX } from "../../dataplane/rules/compile-layout.ts";
import { FIELDS } from "../../dataplane/rules/fields.ts";
import type { FieldValue } from "../../dataplane/rules/rule.ts";
import type { Given } from "./draft.ts";
import type { NamedConstraint } from "./named-rule.ts";
import { WordProblem } from "./word.ts";

/** Throws WordProblem at the constraint that makes it too many. */
export function checkCombinations(given: readonly Given[]): void {
  let combinations = 1;
  for (const { constraint, word, phrase } of given) {
    combinations *= entriesOf(constraint);
    if (combinations > RULE_ENTRIES_MAX) {
      const message = `with ${phrase} the values multiply to ${combinations} combinations, more than ${RULE_ENTRIES_MAX}`;
      throw new WordProblem(word, message, "spread the lists over several rules");
    }
  }
}

function entriesOf({ field, oneOf }: NamedConstraint): number {
  if (field === "in" || FIELDS[field].pieces.length === 1) return oneOf.length;
  return (oneOf as readonly FieldValue[]).reduce((sum, value) => sum + prefixesIn(value), 0);
}

/** How many prefixes a range is cut into. Of each size it has at most one at either end, which no larger one takes in. */
export function prefixesIn(value: FieldValue): number {
  if ("mask" in value) return 1;
  let count = 0;
  // In units of the size that is looked at: the first one, and the one behind the last.
  for (let low = value.low, end = value.high + 1n; low < end; low >>= 1n, end >>= 1n) {
    if ((low & 1n) === 1n) {
      count++;
      low++;
    }
    if ((end & 1n) === 1n) count++;
  }
  return count;
}
