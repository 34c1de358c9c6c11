// What differs between two lists of rules, both in the order of rank. A Rule is known by identity; all that is kept moves up or down
// by what comes and goes before it.
//
//   before   a b c d e          removed  1              (b)
//   after    a c x d e          added    2              (x)
//                               ranks    0 ~1 1 3 4 5   new ranks of a, b, c, d, e, and of the end; ~ of what goes: its successor's
//
// Mostly one rule of thousands comes or goes, so that most of it is a comparison of what both begin and end with. Pure; control thread.

import { atOnce, type Steps } from "../../core/turns.ts";
import type { Rule } from "./rule.ts";

export interface RuleChange {
  /** Ranks of before, ascending. */
  readonly removed: readonly number[];
  /** Ranks of after, ascending. */
  readonly added: readonly number[];
  /** By rank of before, and one for the end. Below 0: removed, ~ of where what follows is now. */
  readonly ranks: Int32Array;
}

/** Rules between two stops: each is a look into a set. */
const STEP = 64;

/** Undefined where rules that stay change places among each other. */
export function changeOf(before: readonly Rule[], after: readonly Rule[]): RuleChange | undefined {
  return atOnce(comparing(before, after));
}

/** The same in steps: thousands may differ. */
export function* comparing(before: readonly Rule[], after: readonly Rule[]): Steps<RuleChange | undefined> {
  const most = Math.min(before.length, after.length);
  let first = 0;
  while (first < most && before[first] === after[first]) first++;
  let last = before.length;
  let lastAfter = after.length;
  while (last > first && lastAfter > first && before[last - 1] === after[lastAfter - 1]) {
    last--;
    lastAfter--;
  }
  const ranks = new Int32Array(before.length + 1);
  for (let rank = 0; rank < first; rank++) ranks[rank] = rank;
  const change = yield* between(before, first, last, after, first, lastAfter, ranks);
  for (let rank = last, to = lastAfter; rank <= before.length; rank++, to++) ranks[rank] = to;
  return change;
}

/** The part in which they differ; fills its part of `ranks`. */
function* between(
  before: readonly Rule[],
  first: number,
  last: number,
  after: readonly Rule[],
  firstAfter: number,
  lastAfter: number,
  ranks: Int32Array,
): Steps<RuleChange | undefined> {
  const had = yield* setOf(before, first, last);
  const has = yield* setOf(after, firstAfter, lastAfter);
  const removed: number[] = [];
  const added: number[] = [];
  let to = firstAfter;
  for (let rank = first; rank < last; rank++) {
    if (rank % STEP === 0) yield;
    const rule = before[rank];
    if (!has.has(rule)) {
      removed.push(rank);
      ranks[rank] = ~to;
      continue;
    }
    for (; to < lastAfter && after[to] !== rule; to++) {
      if (had.has(after[to])) return undefined;
      added.push(to);
    }
    if (to === lastAfter) return undefined;
    ranks[rank] = to++;
  }
  for (; to < lastAfter; to++) {
    if (to % STEP === 0) yield;
    if (had.has(after[to])) return undefined;
    added.push(to);
  }
  return { removed, added, ranks };
}

function* setOf(rules: readonly Rule[], from: number, end: number): Steps<Set<Rule>> {
  const set = new Set<Rule>();
  for (let rank = from; rank < end; rank++) {
    set.add(rules[rank]);
    if (rank % STEP === 0) yield;
  }
  return set;
}
