// Ranks that are kept from plan to plan say what ranks say that are encoded anew, whatever came and went.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { encodeActions } from "../../../src/dataplane/rules/plan-actions.ts";
import { RANK_ACTIONS, RANK_ID, RANK_KIND, RANK_LENGTH, RANK_ROW } from "../../../src/dataplane/rules/plan-layout.ts";
import { type EncodedRanks, PlanRanks } from "../../../src/dataplane/rules/plan-ranks.ts";
import { byRank, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { rulesOf } from "./rules-of.ts";

const METERS = 2;

function expectRanks(
  { ranks, actions }: EncodedRanks,
  rules: readonly Rule[],
  rows: ReadonlyMap<number, number>,
): void {
  expect(ranks.length).toBe(rules.length * RANK_LENGTH);
  rules.forEach((rule, rank) => {
    const { kind, words } = encodeActions(rule, METERS);
    const of = ranks.subarray(rank * RANK_LENGTH, (rank + 1) * RANK_LENGTH);
    expect([of[RANK_KIND], of[RANK_ROW], of[RANK_ID]]).toEqual([kind, rows.get(rule.id)!, rule.id]);
    expect([...actions.subarray(of[RANK_ACTIONS], of[RANK_ACTIONS] + words.length)]).toEqual(words);
  });
}

test("any history of rules", () => {
  const anySteps = fc.array(fc.array(fc.nat(19), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(anyRules(20), anySteps, (all, steps) => {
      const kept = new PlanRanks();
      const active = new Set<Rule>();
      const rows = new Map<number, number>();
      let row = 0;
      for (const step of steps) {
        for (const index of step) {
          const rule = all[index];
          if (rule === undefined) continue;
          if (!active.delete(rule)) active.add(rule);
        }
        const now = [...active].sort(byRank);
        for (const { id } of all) if (!now.some((rule) => rule.id === id)) rows.delete(id);
        for (const { id } of now) if (!rows.has(id)) rows.set(id, row++);
        if (step.length === 3) kept.forget();
        expectRanks(kept.encode(now, rows, METERS), now, rows);
      }
    }),
    { numRuns: sized(500, 50_000) },
  );
});

test("words of rules that went do not pile up", () => {
  const ranks = new PlanRanks();
  const stays = rulesOf([9, {}, { do: "forward", ports: [1, 2, 3] }]);
  for (let n = 0; n < 200; n++) {
    const rules = [...stays, { ...stays[0], id: 100 + n, priority: 1 }];
    const encoded = ranks.encode(
      rules,
      new Map([
        [1, 0],
        [100 + n, 1],
      ]),
      0,
    );
    expect(encoded.actions.length).toBeLessThan(50);
  }
});

test("a meter fewer, and what names it is refused though it was there before", () => {
  const ranks = new PlanRanks();
  const rules = rulesOf([9, {}, { do: "meter", meter: 1 }]);
  const rows = new Map([[1, 0]]);
  ranks.encode(rules, rows, 2);
  expect(() => ranks.encode(rules, rows, 1)).toThrow("has a meter 1 that is not in 0..0");
  expectRanks(ranks.encode(rules, rows, 2), rules, rows);
});
