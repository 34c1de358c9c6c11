// Whatever a rule says, its text and its object say the same, and say it in one way only.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatAction, formatMatch, formatRule } from "../../../src/control/rules/format-rule.ts";
import type { NamedRule } from "../../../src/control/rules/named-rule.ts";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { ruleFromObject, ruleToObject } from "../../../src/control/rules/rule-object.ts";
import { anyNamedRule } from "../../support/random-named-rules.ts";
import { sized } from "../../support/scale.ts";

const runs = { numRuns: sized(500, 50_000) };
const TIMEOUT_MS = sized(30_000, 600_000);

test(
  "rule -> text -> rule",
  () => {
    fc.assert(
      fc.property(anyNamedRule, (rule) => {
        const text = formatRule(rule);
        expect(parseRule(text)).toEqual(rule);
        expect(formatRule(parseRule(text))).toBe(text);
      }),
      runs,
    );
  },
  TIMEOUT_MS,
);

test(
  "rule -> object -> JSON -> object -> rule",
  () => {
    fc.assert(
      fc.property(anyNamedRule, (rule) => {
        const object = JSON.parse(JSON.stringify(ruleToObject(rule)));
        expect(ruleFromObject(object)).toEqual(rule);
        expect(ruleToObject(ruleFromObject(object))).toEqual(object);
      }),
      runs,
    );
  },
  TIMEOUT_MS,
);

test(
  "text -> object -> text",
  () => {
    fc.assert(
      fc.property(anyNamedRule, (rule) => {
        const text = formatRule(rule);
        expect(formatRule(ruleFromObject(ruleToObject(parseRule(text))))).toBe(text);
        expect(ruleFromObject({ rule: text })).toEqual(rule);
        expect(ruleFromObject(text)).toEqual(rule);
      }),
      runs,
    );
  },
  TIMEOUT_MS,
);

/** Each of a rule's constraints by itself, and its numbers: `prio 1`, `ip any`, `ip src 10.0.0.0/8`, `ip dst 10.0.0.1`. */
function phrases({ id, priority, match }: NamedRule): string[] {
  const parts = match.map((constraint) => formatMatch({ priority, match: [constraint], actions: [] }));
  return [...parts, `prio ${priority}`, ...(id === undefined ? [] : [`id ${id}`])];
}

const anyRuleInAnyOrder = anyNamedRule.chain((rule) => {
  const words = phrases(rule);
  return fc.record({ rule: fc.constant(rule), words: fc.shuffledSubarray(words, { minLength: words.length }) });
});

test(
  "the words of a match may stand in any order",
  () => {
    fc.assert(
      fc.property(anyRuleInAnyOrder, ({ rule, words }) => {
        const text = [...words, ...rule.actions.map(formatAction)].join(" \t ");
        expect(parseRule(text)).toEqual(rule);
      }),
      runs,
    );
  },
  TIMEOUT_MS,
);
