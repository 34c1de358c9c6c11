// Which ids rules get. Of one priority the lower id is tried first, so ids say an order, and they carry the counters. Pure.
//
//   table            wanted (a file, read again)          numbered
//   1 in a drop      in a drop                            1 in a drop       kept
//   2 in b drop      in c drop     (new, in between)      3 in c drop       new: above all, and all that were given
//                    in b drop                            4 in b drop       new too: 2 would stand before 3
//
// So a file that is changed and read again gives the same order as a start with it does, and a rule that is added later stands
// behind the others. An id that the switch gave is never given again while it runs.

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

/** What `RulesApi.number` says; `greatest` is the greatest id that is there or was given. Throws EXISTS and LIMIT. */
export function numberRules(wanted: readonly NamedRule[], table: readonly TableRule[], greatest: number): Numbered {
  return atOnce(numberingRules(wanted, table, greatest));
}

/** The same in steps. */
export function* numberingRules(
  wanted: readonly NamedRule[],
  table: readonly TableRule[],
  greatest: number,
): Steps<Numbered> {
  const chosen = chosenIds(wanted);
  const free = yield* idsByText(table, chosen);
  const taken = new Set<number>(table.flatMap(({ id }) => (chosen.has(id) ? [id] : [])));
  const last = new Map<number, number>();
  let fresh = greatest;
  for (const id of chosen) fresh = Math.max(fresh, id);
  const rules = yield* eachInSteps(wanted, (rule): TableRule => {
    const after = last.get(rule.priority) ?? 0;
    const same = rule.id === undefined ? free.get(ruleText(rule)) : undefined;
    const kept = same?.takeAbove(after);
    // The rule that it repeats goes even where its id cannot stay.
    const repeated = kept ?? same?.takePassed();
    if (repeated !== undefined) taken.add(repeated);
    const id = rule.id ?? kept ?? freshId(fresh++);
    last.set(rule.priority, Math.max(after, id));
    return { id, rule };
  });
  return { rules, taken };
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
