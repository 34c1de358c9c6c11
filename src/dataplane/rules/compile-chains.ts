// Entries that ask for the same slices, as far as one slot does not hold them: several, or with ranges to check.
//
//   slot   | ~at | slices |
//   at     | rank << 1 | continues | checks, or 0 | … | CHAIN_END | word | mask | low | high | … | CHECK_END | … |
//
// In the order of rank. What can never be found is left out: all behind an entry that has no checks and ends the search, and a
// rule's second entry behind its first. Cold; control thread.

import { CHAIN_END, CHECK_END, CHECK_LENGTH, SLOT_EMPTY } from "./compile-layout.ts";
import { KEY_WORDS } from "./key.ts";

/** More checks than this, one after the other, and prefixes are the better choice: each costs a new flow some 2 ns. */
const CROWD = 16;

interface Chain {
  /** Where in the tables its slot's answer is. */
  readonly at: number;
  readonly answers: number[];
  readonly checks: (readonly number[])[];
}

export class Chains {
  readonly #chains: Chain[] = [];
  /** All bits of a key that checks look at. */
  readonly checked = new Int32Array(KEY_WORDS);

  /**
   * What a slot answers that has answered `there` so far, when `answer` comes: rank << 1 | continues. Ranks come in order. An answer
   * below 0 names a chain, and stands for its place until `writeTo`.
   */
  add(slot: number, there: number, answer: number, checks: readonly number[]): number {
    for (let at = 0; at < checks.length; at += CHECK_LENGTH) this.checked[checks[at]] |= checks[at + 1];
    if (there < 0) {
      append(this.#chains[~there], answer, checks);
      return there;
    }
    if (there !== SLOT_EMPTY && (endsSearch(there) || (there === answer && checks.length === 0))) return there;
    if (there === SLOT_EMPTY && checks.length === 0) return answer;
    const chain: Chain =
      there === SLOT_EMPTY ? { at: slot, answers: [], checks: [] } : { at: slot, answers: [there], checks: [[]] };
    append(chain, answer, checks);
    return ~(this.#chains.push(chain) - 1);
  }

  /** Words to stand behind `tables`, whose slots this points to them. */
  writeTo(tables: Int32Array): number[] {
    const words: number[] = [];
    for (const { at, answers, checks } of this.#chains) {
      const start = tables.length + words.length;
      tables[at] = ~start;
      let checksAt = start + 2 * answers.length + 1;
      answers.forEach((answer, i) => {
        words.push(answer, checks[i].length === 0 ? 0 : checksAt);
        if (checks[i].length > 0) checksAt += checks[i].length + 1;
      });
      words.push(CHAIN_END);
      for (const some of checks) if (some.length > 0) words.push(...some, CHECK_END);
    }
    return words;
  }

  /** Ranks of rules whose checks stand in a crowd. */
  crowded(): number[] {
    return this.#chains.flatMap(({ answers, checks }) => {
      const checked = answers.filter((_, i) => checks[i].length > 0);
      return checked.length > CROWD ? checked.map((answer) => answer >> 1) : [];
    });
  }
}

function append({ answers, checks }: Chain, answer: number, more: readonly number[]): void {
  const last = answers.length - 1;
  const isReached = last < 0 || checks[last].length > 0 || (!endsSearch(answers[last]) && answers[last] !== answer);
  if (!isReached) return;
  answers.push(answer);
  checks.push(more);
}

function endsSearch(answer: number): boolean {
  return (answer & 1) === 0;
}
