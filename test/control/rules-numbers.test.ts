// Which ids rules get: kept by their text, ascending in the order of a file, never given twice.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ruleText } from "../../src/control/rules/format-rule.ts";
import type { NamedRule } from "../../src/control/rules/named-rule.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { numberRules, RULE_ID_MAX } from "../../src/control/rules/rule-numbers.ts";
import type { TableRule } from "../../src/control/rules/rules-api.ts";
import { RingyardError } from "../../src/core/errors.ts";

const parse = (...texts: string[]): NamedRule[] => texts.map(parseRule);
const short = (rules: readonly TableRule[]) => rules.map(({ id, rule }) => `${id} ${ruleText(rule)}`);
const greatestOf = (rules: readonly TableRule[]) => Math.max(0, ...rules.map(({ id }) => id));

/** What a first file becomes, and a second one after it. */
function twice(first: string[], second: string[]): string[] {
  const { rules } = numberRules(parse(...first), [], 0);
  return short(numberRules(parse(...second), rules, greatestOf(rules)).rules);
}

const [A, B, C] = ["prio 1000 in a drop", "prio 1000 in b drop", "prio 1000 in c drop"];

test("count up from 1", () => {
  expect(twice([], [A, B, C])).toEqual([`1 ${A}`, `2 ${B}`, `3 ${C}`]);
});

test("stay with a rule's text, however it is written", () => {
  expect(twice([A, B], ["in a drop", "prio   1000  in b  drop", C])).toEqual([`1 ${A}`, `2 ${B}`, `3 ${C}`]);
  expect(twice([A, B, C], [A, C])).toEqual([`1 ${A}`, `3 ${C}`]);
});

test("ascend in the order of the file: what stands behind a new rule gets a new id too", () => {
  expect(twice([A, B], [A, C, B])).toEqual([`1 ${A}`, `3 ${C}`, `4 ${B}`]);
  expect(twice([A, B], [B, A])).toEqual([`2 ${B}`, `3 ${A}`]);
});

test("of other priorities are no concern", () => {
  const high = "prio 2000 in c drop";
  expect(twice([A, B], [high, A, B])).toEqual([`3 ${high}`, `1 ${A}`, `2 ${B}`]);
});

test("chosen by a person are kept, and the others stand behind them", () => {
  expect(twice([], [`id 50 ${A}`, B])).toEqual([`50 ${A}`, `51 ${B}`]);
  expect(twice([A, B], [`id 2 ${A}`, B])).toEqual([`2 ${A}`, `3 ${B}`]);
});

test("stand around those that were chosen as the file has them", () => {
  expect(twice([], [A, `id 50 ${B}`, C])).toEqual([`1 ${A}`, `50 ${B}`, `51 ${C}`]);
  // Also where a file that was there gets a chosen one.
  expect(twice([A], [A, `id 50 ${B}`, C])).toEqual([`1 ${A}`, `50 ${B}`, `51 ${C}`]);
  // Who has the least room is served first: of two priorities, each with one in front of a chosen one.
  const [high, low] = ["prio 2000 in a drop", "prio 2000 in b drop"];
  expect(twice([], [high, `id 10 ${low}`, A, `id 2 ${B}`])).toEqual([`3 ${high}`, `10 ${low}`, `1 ${A}`, `2 ${B}`]);
});

test("stand behind a chosen one where no id is left before it", () => {
  expect(twice([], [A, `id 1 ${B}`])).toEqual([`2 ${A}`, `1 ${B}`]);
});

test("are given to equal rules one each", () => {
  expect(twice([A, A], [A, A, A])).toEqual([`1 ${A}`, `2 ${A}`, `3 ${A}`]);
});

test("say which rules of the table are repeated", () => {
  const table = numberRules(parse(A, B, C), [], 0).rules;
  expect([...numberRules(parse(C, A, "id 2 in x drop"), table, 3).taken].sort()).toEqual([1, 2, 3]);
  expect([...numberRules(parse(B), table, 3).taken]).toEqual([2]);
});

// With a search from the lowest id each time: minutes.
test("are found where very many rules say the same behind an id that is above all of theirs", () => {
  const count = 300_000;
  const [same] = parse(A);
  const table = numberRules(Array<NamedRule>(count).fill(same), [], 0).rules;
  const [above] = parse(`id ${count + 1} ${B}`);
  const { rules, taken } = numberRules([above, ...Array<NamedRule>(count).fill(same)], table, count);
  expect(rules.map(({ id }) => id)).toEqual(Array.from({ length: count + 1 }, (_, index) => count + 1 + index));
  expect(taken.size).toBe(count);
});

test("what a switch has, written as a file, is numbered in the same order", () => {
  const rule = fc.record({
    priority: fc.constantFrom(1, 2, 3),
    port: fc.constantFrom("a", "b", "c"),
    id: fc.integer({ min: 1, max: 12 }),
    isChosen: fc.boolean(),
  });
  const tables = fc.uniqueArray(rule, { maxLength: 10, selector: ({ id }) => id });
  fc.assert(
    fc.property(tables, (table) => {
      const sorted = table.toSorted((a, b) => b.priority - a.priority || a.id - b.id);
      const wanted = sorted.map(({ id, isChosen, port, priority }) =>
        parseRule(`${isChosen ? `id ${id} ` : ""}prio ${priority} in ${port} drop`),
      );
      const { rules } = numberRules(wanted, [], 0);
      expect(rules.map((it) => it.rule)).toEqual(wanted);
      for (const [k, { id, rule }] of rules.entries()) {
        const next = rules[k + 1];
        if (next?.rule.priority === rule.priority) expect(id).toBeLessThan(next.id);
      }
    }),
    { numRuns: 2000 },
  );
});

test("thousands of priorities with a chosen id each take no time to speak of", () => {
  const wanted = Array.from({ length: 20_000 }, (_, n) =>
    parse(`id ${n + 1} prio ${n} in a drop`, `prio ${n} in b drop`),
  );
  const { rules } = numberRules(wanted.flat(), [], 0);
  expect(new Set(rules.map(({ id }) => id)).size).toBe(40_000);
});

describe("refusals", () => {
  const advice = (wanted: NamedRule[], greatest: number) => {
    try {
      numberRules(wanted, [], greatest);
    } catch (error) {
      if (error instanceof RingyardError) return `${error.code} ${error.advice}`;
    }
    throw new Error("it was accepted");
  };

  test("of an id that is there twice", () => {
    expect(advice(parse(`id 7 ${A}`, `id 7 ${B}`), 0)).toBe(
      "EXISTS two rules have the id 7: give each its own, or none",
    );
  });

  test("where no id is left", () => {
    expect(advice(parse(A), RULE_ID_MAX)).toStartWith(`LIMIT no rule id above ${RULE_ID_MAX}`);
    expect(numberRules(parse(`id 9 ${A}`), [], RULE_ID_MAX).rules[0].id).toBe(9);
  });
});

test("a file read after any other gives the order of a start with it", () => {
  const rule = fc.record({
    priority: fc.constantFrom(1, 2),
    port: fc.constantFrom("a", "b", "c", "d"),
    id: fc.option(fc.integer({ min: 1, max: 12 }), { freq: 6, nil: undefined }),
  });
  const files = fc.array(fc.uniqueArray(rule, { maxLength: 8, selector: ({ id }) => id ?? Symbol() }), {
    minLength: 1,
    maxLength: 4,
  });
  const order = (rules: readonly TableRule[]) =>
    rules.toSorted((a, b) => b.rule.priority - a.rule.priority || a.id - b.id).map(({ rule }) => ruleText(rule));
  fc.assert(
    fc.property(files, (texts) => {
      let table: TableRule[] = [];
      let greatest = 0;
      for (const file of texts) {
        const wanted = parse(
          ...file.map(
            ({ id, priority, port }) => `${id === undefined ? "" : `id ${id} `}prio ${priority} in ${port} drop`,
          ),
        );
        const before = new Map(table.map(({ id, rule }) => [id, ruleText(rule)]));
        const last = greatest;
        table = numberRules(wanted, table, greatest).rules;
        greatest = Math.max(greatest, greatestOf(table));
        expect(new Set(table.map(({ id }) => id)).size).toBe(table.length);
        // An id that the switch gave means what it meant, or is new.
        for (const { id, rule } of table) {
          if (rule.id === undefined) expect(id > last || before.get(id) === ruleText(rule)).toBe(true);
        }
        if (wanted.every(({ id }) => id === undefined))
          expect(order(table)).toEqual(order(numberRules(wanted, [], 0).rules));
      }
    }),
    { numRuns: 2000 },
  );
});
