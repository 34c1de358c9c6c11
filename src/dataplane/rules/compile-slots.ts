// One tuple in the tables: a hash table with open addressing, whose entries are found by their slices.
//
//   slots from `hash >>> shift`   | answer | slices |  | SLOT_EMPTY |  | SLOT_GONE | slices |  | ~chain | slices |  …
//
// Half of the slots at least are SLOT_EMPTY. One that says SLOT_GONE is used again for the same slices, and left behind when the tuple
// needs more room. Without slices there is one slot, in the tuple itself. Cold; control thread.

import { type Chains, renumbered } from "./compile-chains.ts";
import { SLOT_EMPTY, SLOT_GONE, TUPLE_BEST, TUPLE_SHIFT, TUPLE_SLOTS } from "./compile-layout.ts";
import type { Slice } from "./compile-shape.ts";
import type { TableWords } from "./compile-words.ts";

export class TupleSlots {
  /** Entries, chains' included. */
  entries = 0;
  readonly #multipliers: readonly number[];
  #slots: number;
  #shift: number;
  /** Slots that are not SLOT_EMPTY. */
  #used = 0;

  /** 2 ** `bits` slots for the tuple at `at`, taken by `take`; they are there when `clear` was called. */
  constructor(
    readonly at: number,
    slices: readonly Slice[],
    bits: number,
    take: (count: number) => number,
  ) {
    this.#multipliers = slices.map(({ multiplier }) => multiplier);
    this.#slots = slices.length === 0 ? at + TUPLE_SLOTS : take(this.#stride << bits);
    this.#shift = 32 - bits;
  }

  /** Slices of an entry. */
  get length(): number {
    return this.#multipliers.length;
  }

  get #stride(): number {
    return this.#multipliers.length + 1;
  }

  get #end(): number {
    return this.#slots + (this.length === 0 ? 1 : this.#stride * 2 ** (32 - this.#shift));
  }

  /** What `index` of an entry's slices adds to its hash. */
  product(index: number, value: number): number {
    return Math.imul(value, this.#multipliers[index]);
  }

  clear(words: Int32Array): void {
    if (this.length > 0) {
      words[this.at + TUPLE_SLOTS] = this.#slots;
      words[this.at + TUPLE_SHIFT] = this.#shift;
    }
    const end = this.#end;
    for (let at = this.#slots; at < end; at += this.#stride) words[at] = SLOT_EMPTY;
  }

  /** The slot of an entry, whose slices are `values` from `from` on; taken if there is none. */
  slotFor(tables: TableWords, chains: Chains, values: readonly number[], from: number): number {
    const at = this.find(tables.all, values, from);
    if (tables.all[at] !== SLOT_EMPTY || this.length === 0) return at;
    if (2 * (this.#used + 1) > 2 ** (32 - this.#shift)) {
      this.#enlarge(tables, chains);
      return this.slotFor(tables, chains, values, from);
    }
    this.#used++;
    for (let i = 0; i < this.length; i++) tables.all[at + 1 + i] = values[from + i];
    return at;
  }

  /** The slot that has these slices, or the empty one that would. */
  find(words: Int32Array, values: readonly number[], from: number): number {
    const length = this.#multipliers.length;
    if (length === 0) return this.#slots;
    let hash = 0;
    for (let i = 0; i < length; i++) hash = (hash + Math.imul(values[from + i], this.#multipliers[i])) | 0;
    const last = -1 >>> this.#shift;
    for (let slot = hash >>> this.#shift; ; slot = (slot + 1) & last) {
      const at = this.#slots + slot * (length + 1);
      if (words[at] === SLOT_EMPTY) return at;
      let i = 0;
      while (i < length && words[at + 1 + i] === values[from + i]) i++;
      if (i === length) return at;
    }
  }

  /** Room for twice what is in use, elsewhere. */
  #enlarge(tables: TableWords, chains: Chains): void {
    const live: number[] = [];
    for (let at = this.#slots; at < this.#end; at += this.#stride) {
      const answer = tables.all[at];
      if (answer !== SLOT_EMPTY && (answer !== SLOT_GONE || chains.has(at))) live.push(at);
    }
    const bits = bitsFor(4 * (live.length + 1), 1);
    this.#slots = tables.take(this.#stride << bits);
    this.#shift = 32 - bits;
    this.#used = live.length;
    const words = tables.all;
    this.clear(words);
    const moved = live.map((at) => {
      const values = [...words.subarray(at + 1, at + this.#stride)];
      const to = this.find(words, values, 0);
      words[to] = words[at];
      words.set(values, to + 1);
      return to;
    });
    chains.move(live, moved);
  }

  /** Rules have other ranks (RuleChange.ranks). */
  renumber(words: Int32Array, ranks: Int32Array): void {
    words[this.at + TUPLE_BEST] = bestNow(words[this.at + TUPLE_BEST], ranks);
    const [stride, end] = [this.#stride, this.#end];
    for (let at = this.#slots; at < end; at += stride) {
      const answer = words[at];
      if (answer >= 0 && answer < SLOT_GONE) words[at] = renumbered(answer, ranks);
    }
  }
}

/** The best rank that there may be when rules have others: what was best may be gone. */
export function bestNow(best: number, ranks: Int32Array): number {
  if (best >= ranks.length) return best;
  return ranks[best] < 0 ? ~ranks[best] : ranks[best];
}

/** Bits of the smallest power of two that is at least `count`, but at least `least`. */
export function bitsFor(count: number, least: number): number {
  return Math.max(least, 32 - Math.clz32(count - 1));
}
