// Entries that ask for the same slices, as far as one slot does not hold them: several, or with ranges to check.
//
//   slot   | ~at | slices |
//   at     | rank << 1 | continues | checks, or 0 | … | CHAIN_END | word | mask | low | high | … | CHECK_END | … |
//
// In the order of rank. What can never be found is not written: all behind an entry that has no checks and ends the search, and a
// rule's second entry behind its first. It is kept here, since what hides it may go. Cold; control thread.

import { CHAIN_END, CHECK_END, CHECK_LENGTH, SLOT_EMPTY, SLOT_GONE } from "./compile-layout.ts";
import type { TableWords } from "./compile-words.ts";
import { KEY_WORDS } from "./key.ts";

/** More checks than this, one after the other, and prefixes are the better choice: each costs a new flow some 2 ns. */
const CROWD = 16;

type Checks = readonly number[];
const NO_CHECKS: Checks = [];

interface Entry {
  /** rank << 1 | continues */
  answer: number;
  readonly checks: Checks;
}

interface Chain {
  /** Where in the tables its slot's answer is. */
  slot: number;
  /** All of them, in the order of rank; and those that can be found, as they were written. */
  readonly entries: Entry[];
  found: readonly Entry[];
  /** Where they were written, and how many words are free there. */
  at: number;
  room: number;
}

export class Chains {
  readonly #chains = new Map<number, Chain>();
  readonly #unwritten = new Set<Chain>();
  /** All bits of a key that checks look at, or did. */
  readonly checked = new Int32Array(KEY_WORDS);

  /** What a slot says that has said `there` so far, when an entry comes. A slot with a chain says nothing until `writeTo`. */
  add(slot: number, there: number, answer: number, checks: Checks): number {
    if (there === SLOT_EMPTY && checks.length === 0) return answer;
    for (let at = 0; at < checks.length; at += CHECK_LENGTH) this.checked[checks[at]] |= checks[at + 1];
    let chain = this.#chains.get(slot);
    if (chain === undefined) {
      const isFree = there === SLOT_EMPTY || there === SLOT_GONE;
      if (isFree && checks.length === 0) return answer;
      const entries = isFree ? [] : [{ answer: there, checks: NO_CHECKS }];
      chain = { slot, entries, found: [], at: 0, room: 0 };
      this.#chains.set(slot, chain);
    }
    insert(chain.entries, { answer, checks });
    this.#unwritten.add(chain);
    return SLOT_GONE;
  }

  /** The same when an entry goes. All of a rule's go together, so it does not matter which of them in the slot is which. */
  remove(slot: number, answer: number): number {
    const chain = this.#chains.get(slot);
    if (chain === undefined) return SLOT_GONE;
    const index = chain.entries.findIndex((entry) => entry.answer === answer);
    if (index >= 0) chain.entries.splice(index, 1);
    if (chain.entries.length > 0) this.#unwritten.add(chain);
    else {
      this.#chains.delete(slot);
      this.#unwritten.delete(chain);
    }
    return SLOT_GONE;
  }

  has(slot: number): boolean {
    return this.#chains.has(slot);
  }

  /** A tuple's slots have other places. */
  move(from: readonly number[], to: readonly number[]): void {
    const chains = from.map((slot) => this.#chains.get(slot));
    for (const slot of from) this.#chains.delete(slot);
    chains.forEach((chain, i) => {
      if (chain === undefined) return;
      chain.slot = to[i];
      this.#chains.set(chain.slot, chain);
    });
  }

  /** Rules have other ranks (RuleChange.ranks). */
  renumber(words: Int32Array, ranks: Int32Array): void {
    for (const chain of this.#chains.values()) {
      for (const entry of chain.entries) entry.answer = renumbered(entry.answer, ranks);
      if (this.#unwritten.has(chain) || isDirect(chain.found)) continue;
      chain.found.forEach(({ answer }, i) => {
        words[chain.at + 2 * i] = answer;
      });
    }
  }

  /** Writes what changed, and points slots there. Returns ranks of rules whose checks stand in a crowd in what was written. */
  writeTo(tables: TableWords): number[] {
    const crowded: number[] = [];
    for (const chain of this.#unwritten) {
      chain.found = findable(chain.entries);
      if (isDirect(chain.found)) tables.all[chain.slot] = chain.found[0].answer;
      else writeChain(chain, tables);
      const checked = chain.found.filter(({ checks }) => checks.length > 0);
      if (checked.length > CROWD) for (const { answer } of checked) crowded.push(answer >> 1);
    }
    this.#unwritten.clear();
    return crowded;
  }
}

/** The answer with the rank that its rule has now. */
export function renumbered(answer: number, ranks: Int32Array): number {
  return (ranks[answer >> 1] << 1) | (answer & 1);
}

/** Mostly rules come in the order of rank. */
function insert(entries: Entry[], entry: Entry): void {
  const before = entries.findLastIndex(({ answer }) => answer <= entry.answer);
  entries.splice(before + 1, 0, entry);
}

function findable(entries: readonly Entry[]): Entry[] {
  const found: Entry[] = [];
  for (const entry of entries) {
    const last = found.at(-1);
    if (last !== undefined && last.checks.length === 0 && (endsSearch(last.answer) || last.answer === entry.answer))
      continue;
    found.push(entry);
  }
  return found;
}

function endsSearch(answer: number): boolean {
  return (answer & 1) === 0;
}

/** One that the slot itself can hold. */
function isDirect(found: readonly Entry[]): boolean {
  return found.length === 1 && found[0].checks.length === 0;
}

function writeChain(chain: Chain, tables: TableWords): void {
  const { slot, found } = chain;
  const size = found.reduce((sum, { checks }) => sum + 2 + (checks.length === 0 ? 0 : checks.length + 1), 1);
  if (size > chain.room) {
    chain.at = tables.take(size);
    chain.room = size;
  }
  const words = tables.all;
  let at = chain.at;
  let checksAt = at + 2 * found.length + 1;
  words[slot] = ~at;
  for (const { answer, checks } of found) {
    words[at++] = answer;
    words[at++] = checks.length === 0 ? 0 : checksAt;
    if (checks.length === 0) continue;
    words.set(checks, checksAt);
    words[checksAt + checks.length] = CHECK_END;
    checksAt += checks.length + 1;
  }
  words[at] = CHAIN_END;
}
