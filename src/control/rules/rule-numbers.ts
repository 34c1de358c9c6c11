// Which ids rules get. Of one priority the lower id is tried first, so ids say an order, and they carry the counters. Pure.
//
//   table            wanted (a file, read again)          numbered
//   1 in a drop      in a drop                            1 in a drop       kept
//   2 in b drop      in c drop     (new, in between)      3 in c drop       new: above all that were given
//                    in b drop                            4 in b drop       new too: 2 would stand before 3
//
// Around ids that people chose, the others stand as they do in the file, as far as ids are free there: of `in a drop`, `id 50 in b drop`,
// `in c drop` the first gets one below 50 and the last one above. So a file that is changed and read again gives the same order as a start with
// it does, but where that takes an id that the switch has given: none is given again while it runs.

import { RingyardError } from "../../core/errors.ts";
import { atOnce, eachInSteps, type Steps } from "../../core/turns.ts";
import { ruleText } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import type { TableRule } from "./rules-api.ts";

/** A rule's id is below 2^31 (dataplane/rules/rule.ts). */
export const RULE_ID_MAX = 2 ** 31 - 1;

/** Rules with their ids, and the ids of all rules of the table that they repeat. */
export interface Numbered {
  rules: TableRule[];
  taken: Set<number>;
}

/** What `RulesApi.number` says; `given` is the greatest id that the switch gave. Throws EXISTS and LIMIT. */
export function numberRules(wanted: readonly NamedRule[], table: readonly TableRule[], given: number): Numbered {
  return atOnce(numberingRules(wanted, table, given));
}

/** The same in steps. */
export function* numberingRules(
  wanted: readonly NamedRule[],
  table: readonly TableRule[],
  given: number,
): Steps<Numbered> {
  const chosen = chosenIds(wanted);
  const free = yield* idsByText(table, chosen);
  const taken = new Set<number>(table.flatMap(({ id }) => (chosen.has(id) ? [id] : [])));
  const last = new Map<number, number>();
  const ids = yield* eachInSteps(wanted, (rule) => {
    const after = last.get(rule.priority) ?? 0;
    const same = rule.id === undefined ? free.get(ruleText(rule)) : undefined;
    const kept = same?.takeAbove(after);
    // The rule that it repeats goes even where its id cannot stay.
    const repeated = kept ?? same?.takePassed();
    if (repeated !== undefined) taken.add(repeated);
    const id = rule.id ?? kept;
    last.set(rule.priority, Math.max(after, id ?? given));
    return id;
  });
  const used = new UsedIds();
  for (const id of chosen) used.add(id);
  for (const { id } of table) used.add(id);
  for (const { index, above } of yield* missing(wanted, ids)) {
    yield;
    ids[index] = used.takeAbove(Math.max(given, above));
  }
  return { rules: wanted.map((rule, index) => ({ id: ids[index] as number, rule })), taken };
}

/** A rule without an id: its place in the list, and the ids between which it stands there. */
interface Missing {
  index: number;
  above: number;
  below: number;
}

/** In the order in which the least free id can be given to each: whoever has the least room first, so that all find some if they can. */
function* missing(wanted: readonly NamedRule[], ids: readonly (number | undefined)[]): Steps<Missing[]> {
  const last = new Map<number, number>();
  const open = new Map<number, Missing[]>();
  const all: Missing[] = [];
  for (const [index, { priority }] of wanted.entries()) {
    yield;
    const id = ids[index];
    if (id === undefined) {
      const one = { index, above: last.get(priority) ?? 0, below: Number.POSITIVE_INFINITY };
      all.push(one);
      const others = open.get(priority);
      if (others === undefined) open.set(priority, [one]);
      else others.push(one);
      continue;
    }
    for (const one of open.get(priority) ?? []) one.below = id;
    open.delete(priority);
    last.set(priority, id);
  }
  // Stable: of equals, whoever comes first in the list. The difference of two that have no end is no number.
  return all.sort((a, b) => (a.below === b.below ? 0 : a.below - b.below));
}

/** Ids that are in use, and the way from each to one that is not. */
class UsedIds {
  readonly #next = new Map<number, number>();

  add(id: number): void {
    if (!this.#next.has(id)) this.#next.set(id, id + 1);
  }

  /** The least that is free above `greatest`; throws LIMIT. */
  takeAbove(greatest: number): number {
    const id = this.#find(freshId(greatest));
    if (id > RULE_ID_MAX) freshId(RULE_ID_MAX);
    this.add(id);
    return id;
  }

  /** The least that is free from `id` on; what was passed points there from now on. */
  #find(id: number): number {
    let end = id;
    for (let next = this.#next.get(end); next !== undefined; next = this.#next.get(end)) end = next;
    for (let at = id; at !== end; ) {
      const next = this.#next.get(at) as number;
      this.#next.set(at, end);
      at = next;
    }
    return end;
  }
}

/** The id behind `greatest`; throws LIMIT. */
export function freshId(greatest: number): number {
  if (greatest < RULE_ID_MAX) return greatest + 1;
  throw new RingyardError(
    "LIMIT",
    `no rule id above ${RULE_ID_MAX}`,
    "choose an id, delete the rule that has this one, or restart the switch",
  );
}

/** Ids that people chose; throws where one is there twice. */
function chosenIds(wanted: readonly NamedRule[]): Set<number> {
  const chosen = new Set<number>();
  for (const { id } of wanted) {
    if (id === undefined) continue;
    if (chosen.has(id)) throw new RingyardError("EXISTS", `two rules have the id ${id}`, "give each its own, or none");
    chosen.add(id);
  }
  return chosen;
}

/** Ids that rules of the table can hand on, ascending, by the rule's text. */
function* idsByText(table: readonly TableRule[], chosen: ReadonlySet<number>): Steps<Map<string, SameText>> {
  const ids = new Map<string, SameText>();
  for (const { id, rule } of table.toSorted((a, b) => a.id - b.id)) {
    yield;
    if (chosen.has(id)) continue;
    const text = ruleText(rule);
    const same = ids.get(text);
    if (same === undefined) ids.set(text, new SameText(id));
    else same.ids.push(id);
  }
  return ids;
}

/** The ids of one text, ascending. They are of one priority, so what is asked for only grows, and none is looked at twice. */
class SameText {
  readonly ids: number[];
  #next = 0;
  readonly #passed: number[] = [];
  #taken = 0;

  constructor(first: number) {
    this.ids = [first];
  }

  /** Takes the lowest id above `after`. */
  takeAbove(after: number): number | undefined {
    while (this.ids[this.#next] <= after) this.#passed.push(this.ids[this.#next++]);
    return this.ids[this.#next++];
  }

  /** Takes the lowest of those that were too low. */
  takePassed(): number | undefined {
    return this.#passed[this.#taken++];
  }
}
