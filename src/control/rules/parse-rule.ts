// The text of a rule, read: a match, then actions (read-match.ts and read-actions.ts have the words). Pure.
//
//   prio 100 in vm1 ip dst 10.0.0.0/8 tcp dport 80,443 drop
//   '------------- match ----------------------------' '--' actions
//
// Every mistake is a RuleSyntaxError that points at a word. Time is linear in the text, whose length is bounded.

import { Draft } from "./draft.ts";
import type { NamedConstraint, NamedRule } from "./named-rule.ts";
import { readActions } from "./read-actions.ts";
import { readMatch } from "./read-match.ts";
import { RuleSyntaxError } from "./syntax-error.ts";
import { splitWords, WordProblem, type Words } from "./word.ts";

/** A full list of IPv6 prefixes with the rest of a rule around it. */
export const RULE_LENGTH_MAX = 16_384;

/** Throws RuleSyntaxError. */
export function parseRule(text: string): NamedRule {
  return read(text, (words, draft) => {
    readActions(words, draft);
    return draft.finish(words.end);
  });
}

/** A match alone, as a filter has it. Throws RuleSyntaxError. */
export function parseMatch(text: string): NamedConstraint[] {
  return read(text, (words, draft) => {
    const word = words.peek();
    if (word !== undefined) throw new WordProblem(word, "a filter takes no action", "end it with the match");
    return draft.match();
  });
}

/** Reads the match, and then as `rest` says. */
function read<T>(text: string, rest: (words: Words, draft: Draft) => T): T {
  if (text.length > RULE_LENGTH_MAX) {
    const problem = `a rule of more than ${RULE_LENGTH_MAX} characters`;
    throw new RuleSyntaxError(problem, "spread its lists over several rules", text, RULE_LENGTH_MAX, 1);
  }
  try {
    const words = splitWords(text);
    const draft = new Draft();
    readMatch(words, draft);
    return rest(words, draft);
  } catch (error) {
    if (!(error instanceof WordProblem)) throw error;
    const { word, message, next } = error;
    throw new RuleSyntaxError(message, next, text, word.at, Math.max(1, word.text.length));
  }
}
