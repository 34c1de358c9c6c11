// What changeOf says of two lists: applied to the first it makes the second, whatever came and went.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { changeOf } from "../../../src/dataplane/rules/rule-change.ts";
import { sized } from "../../support/scale.ts";

const rule = (id: number): Rule => ({ id, priority: 1, match: [], actions: [] });
const RULES = Array.from({ length: 20 }, (_, i) => rule(i + 1));
const some = (text: string) => [...text].map((letter) => RULES[letter.charCodeAt(0) - 97]);

test("what went, what came, and where the others are now", () => {
  const change = changeOf(some("abcde"), some("acxde".replace("x", "t")))!;
  expect(change.removed).toEqual([1]);
  expect(change.added).toEqual([2]);
  expect([...change.ranks]).toEqual([0, ~1, 1, 3, 4, 5]);
});

test("nothing, all, from nothing, to nothing", () => {
  const parts = (before: string, after: string) => {
    const { removed, added, ranks } = changeOf(some(before), some(after))!;
    return [removed, added, [...ranks]];
  };
  expect(parts("abc", "abc")).toEqual([[], [], [0, 1, 2, 3]]);
  expect(parts("ab", "cd")).toEqual([
    [0, 1],
    [0, 1],
    [~0, ~0, 2],
  ]);
  expect(parts("", "ab")).toEqual([[], [0, 1], [2]]);
  expect(parts("ab", "")).toEqual([[0, 1], [], [~0, ~0, 0]]);
});

test("rules that change places are no change that can be said so", () => {
  expect(changeOf(some("abc"), some("bac"))).toBeUndefined();
  expect(changeOf(some("abcd"), some("adcb"))).toBeUndefined();
});

test("a copy is another rule", () => {
  const [first] = RULES;
  expect(changeOf([first], [{ ...first }])).toMatchObject({ removed: [0], added: [0] });
});

test("any two lists in one order", () => {
  const anyList = fc.subarray(RULES);
  fc.assert(
    fc.property(anyList, anyList, (before, after) => {
      const change = changeOf(before, after)!;
      const made: (Rule | undefined)[] = new Array(change.ranks[before.length]).fill(undefined);
      before.forEach((it, rank) => {
        const to = change.ranks[rank];
        expect(to < 0).toBe(change.removed.includes(rank));
        if (to >= 0) made[to] = it;
        // Where the next of those that stay is, or that comes behind it.
        else expect(~to).toBeLessThanOrEqual(Math.min(...[...change.ranks.subarray(rank)].filter((it) => it >= 0)));
      });
      for (const rank of change.added) {
        expect(made[rank]).toBeUndefined();
        made[rank] = after[rank];
      }
      expect(made).toEqual(after);
    }),
    { numRuns: sized(2_000, 200_000) },
  );
});
