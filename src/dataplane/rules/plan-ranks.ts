// What becomes of a frame at each rank, as workers read it (plan-layout.ts): kept from plan to plan, so that a rule that comes or goes
// moves words instead of having all others encoded again. Control thread.
//
//   ranks     | kind | row | actions -> | id |   of the rules that stay: moved to where they are now
//   actions   … behind those of before; those of rules that went are left out when they are more than the others

import { atOnce, type Steps } from "../../core/turns.ts";
import { encodeActions } from "./plan-actions.ts";
import { RANK_ACTIONS, RANK_ID, RANK_KIND, RANK_LENGTH, RANK_ROW } from "./plan-layout.ts";
import type { Rule } from "./rule.ts";
import { comparing, type RuleChange } from "./rule-change.ts";

/** Valid until the next is encoded. */
export interface EncodedRanks {
  readonly ranks: Int32Array;
  readonly actions: Int32Array;
}

/** Rows of rules' counters by id. */
type Rows = ReadonlyMap<number, number>;

export class PlanRanks {
  #rules: readonly Rule[] = [];
  #meters = 0;
  #ranks = new Int32Array(0);
  #actions = new Int32Array(0);
  #actionsEnd = 0;
  /** As many as there were when all were encoded. */
  #actionsBuilt = 0;

  /** The next time all are encoded: rules that were encoded last do not run, and may get other rows. */
  forget(): void {
    this.#rules = [];
  }

  /** `rules` in rank order; one keeps its row for as long as it is there. Throws RingyardError BAD_OPTION for what they ask. */
  encode(rules: readonly Rule[], rows: Rows, meters: number): EncodedRanks {
    return atOnce(this.encoding(rules, rows, meters));
  }

  /** The same in steps; until the last of them nothing else is asked for. */
  *encoding(rules: readonly Rule[], rows: Rows, meters: number): Steps<EncodedRanks> {
    const change = meters === this.#meters ? yield* comparing(this.#rules, rules) : undefined;
    const isPatched =
      change !== undefined && change.added.length < rules.length && this.#actionsEnd <= 2 * this.#actionsBuilt;
    this.#rules = [];
    if (isPatched) yield* this.#patch(rules, rows, meters, change);
    else yield* this.#encodeAll(rules, rows, meters);
    this.#rules = rules.slice();
    this.#meters = meters;
    return { ranks: this.#ranks, actions: this.#actions.subarray(0, this.#actionsEnd) };
  }

  *#encodeAll(rules: readonly Rule[], rows: Rows, meters: number): Steps<void> {
    this.#ranks = new Int32Array(rules.length * RANK_LENGTH);
    this.#actionsEnd = 0;
    for (const [rank, rule] of rules.entries()) {
      this.#put(rule, rank, rows, meters);
      yield;
    }
    this.#actionsBuilt = this.#actionsEnd;
  }

  *#patch(rules: readonly Rule[], rows: Rows, meters: number, { added, ranks }: RuleChange): Steps<void> {
    const before = this.#ranks;
    const now = new Int32Array(rules.length * RANK_LENGTH);
    const length = ranks.length - 1;
    for (let rank = 0; rank < length; ) {
      const first = rank++;
      if (ranks[first] < 0) continue;
      while (rank < length && ranks[rank] === ranks[rank - 1] + 1) rank++;
      now.set(before.subarray(first * RANK_LENGTH, rank * RANK_LENGTH), ranks[first] * RANK_LENGTH);
    }
    this.#ranks = now;
    for (const rank of added) {
      this.#put(rules[rank], rank, rows, meters);
      yield;
    }
  }

  #put(rule: Rule, rank: number, rows: Rows, meters: number): void {
    const { kind, words } = encodeActions(rule, meters);
    const at = rank * RANK_LENGTH;
    this.#ranks[at + RANK_KIND] = kind;
    this.#ranks[at + RANK_ROW] = rows.get(rule.id)!;
    this.#ranks[at + RANK_ACTIONS] = this.#actionsEnd;
    this.#ranks[at + RANK_ID] = rule.id;
    const end = this.#actionsEnd + words.length;
    if (end > this.#actions.length) {
      const grown = new Int32Array(2 * end);
      grown.set(this.#actions);
      this.#actions = grown;
    }
    this.#actions.set(words, this.#actionsEnd);
    this.#actionsEnd = end;
  }
}
