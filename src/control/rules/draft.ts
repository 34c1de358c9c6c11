// A rule while its words are read: what was said so far, and by which word, so that what is said twice or against something said
// before is noticed at the later word. `finish` makes the rule of it, in canonical order. Pure.

import { FIELD_NAMES, type FieldName } from "../../dataplane/rules/key.ts";
import { type FieldValue, PRIORITY_DEFAULT } from "../../dataplane/rules/rule.ts";
import { ActionOrder } from "./action-order.ts";
import type { HeaderField } from "./grammar.ts";
import { checkLayout, rivals } from "./layout.ts";
import { checkCombinations } from "./limits.ts";
import type { NamedAction, NamedConstraint, NamedRule } from "./named-rule.ts";
import { type Word, WordProblem } from "./word.ts";

/** A constraint and the word that made it; `phrase` names it in messages: `eth type`. */
export interface Given {
  readonly constraint: NamedConstraint;
  readonly word: Word;
  readonly phrase: string;
}

const PRESENT: readonly FieldValue[] = [{ value: 1n, mask: 1n }];
const ABSENT: readonly FieldValue[] = [{ value: 0n, mask: 1n }];

export class Draft {
  readonly #given = new Map<FieldName, Given>();
  readonly #numbers = new Map<"id" | "prio", number>();
  readonly #order = new ActionOrder();

  setNumber(name: "id" | "prio", value: number, word: Word): void {
    if (this.#numbers.has(name)) throw new WordProblem(word, `${name} is given twice`, "leave one out");
    this.#numbers.set(name, value);
  }

  /** The frame has a header, or has not. A header may be named again, for more of its fields. */
  setPresence(field: HeaderField, present: boolean, word: Word, phrase: string): void {
    const oneOf = present ? PRESENT : ABSENT;
    const before = this.#given.get(field);
    if (before === undefined) this.#given.set(field, { constraint: { field, oneOf }, word, phrase });
    else if (before.constraint.oneOf !== oneOf) throw rivals(word, phrase, before.phrase);
  }

  constrain(constraint: NamedConstraint, word: Word, phrase: string): void {
    if (this.#given.has(constraint.field)) {
      const next = constraint.field === "vlan.id" ? "write inner for the tag behind it" : "join the values by commas";
      throw new WordProblem(word, `${phrase} is given twice`, next);
    }
    this.#given.set(constraint.field, { constraint, word, phrase });
  }

  act(action: NamedAction, word: Word): void {
    this.#order.add(action, word);
  }

  /** `end` stands behind the last word. Throws WordProblem as `match` does, and where nothing is done. */
  finish(end: Word): NamedRule {
    const { actions } = this.#order;
    const match = this.match();
    if (actions.length === 0)
      throw new WordProblem(end, "the rule lacks an action", "end it with allow, drop or another");
    const rule = { priority: this.#numbers.get("prio") ?? PRIORITY_DEFAULT, match, actions };
    const id = this.#numbers.get("id");
    return id === undefined ? rule : { id, ...rule };
  }

  /** Throws WordProblem where no frame can match, or too much were to be compiled. */
  match(): NamedConstraint[] {
    const given = [...this.#given.values()];
    checkLayout(given);
    checkCombinations(given);
    return given.map(({ constraint }) => constraint).sort(byField);
  }
}

/** The canonical order of a match. */
function byField(a: NamedConstraint, b: NamedConstraint): number {
  return FIELD_NAMES.indexOf(a.field) - FIELD_NAMES.indexOf(b.field);
}
