// The text of a rule, read: a match, then actions (read-match.ts and read-actions.ts have the words). Pure.
//
//   prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop
//   '------------- match ----------------------------' '--' actions
//
// Every mistake is a RuleSyntaxError that points at a word. Time is linear in the text, whose length is bounded.

import { Draft } from "./draft.ts";
import type { NamedRule } from "./named-rule.ts";
import { readActions } from "./read-actions.ts";
import { readMatch } from "./read-match.ts";
import { RuleSyntaxError } from "./syntax-error.ts";
import { splitWords, WordProblem } from "./word.ts";

/** A full list of IPv6 prefixes with the rest of a rule around it. */
export const RULE_LENGTH_MAX = 16_384;

/** Throws RuleSyntaxError. */
export function parseRule(text: string): NamedRule {
  if (text.length > RULE_LENGTH_MAX) {
    const problem = `a rule of more than ${RULE_LENGTH_MAX} characters`;
    throw new RuleSyntaxError(problem, "spread its lists over several rules", text, RULE_LENGTH_MAX, 1);
  }
  try {
    const words = splitWords(text);
    const draft = new Draft();
    readMatch(words, draft);
    readActions(words, draft);
    return draft.finish(words.end);
  } catch (error) {
    if (!(error instanceof WordProblem)) throw error;
    const { word, message, next } = error;
    throw new RuleSyntaxError(message, next, text, word.at, Math.max(1, word.text.length));
  }
}
