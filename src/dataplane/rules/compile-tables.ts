// Entries into tables: the cells, filters and slots that compile-layout.ts draws, and chains behind them.
//
//   expansions by rank -> entries -> two bits in a cell of each slice's word, a bit in the tuple's filter, a slot of the tuple
//
// Sizes follow from counts, so all of it is one allocation and one pass. Cold; control thread.

import { Chains } from "./compile-chains.ts";
import {
  FILTER_SLICES,
  GROUP_BEST,
  SECOND_BIT,
  SLOT_EMPTY,
  TABLES_AT_MAGIC,
  TABLES_AT_RULES,
  TABLES_AT_SIZE,
  TABLES_MAGIC,
  TUPLE_BEST,
  TUPLE_FILTER,
  TUPLE_FILTER_SHIFT,
  TUPLE_SHIFT,
  TUPLE_SLICES,
  TUPLE_SLOTS,
  WORD_CELLS,
  WORD_SHIFT,
} from "./compile-layout.ts";
import type { Expansion } from "./compile-match.ts";
import { type Group, type Plan, type Shape, type Slice, tupleAt, wordAt } from "./compile-shape.ts";

/** Bits for each entry. Of slices that are not there, one in 60 to 250 finds both bits of its cell; of tuples, one in 32 to 64. */
const CELL_BITS = 16;
const TUPLE_FILTER_BITS = 32;

/** All entries of one shape: a hash table. */
export interface Tuple {
  readonly shape: Shape;
  readonly best: number;
  count: number;
}

/** The tuples of the expansions, which come in the order of rank; their shapes have indices below `shapes`. */
export function tuplesOf(expansions: readonly Expansion[], shapes: number): Tuple[] {
  const places = new Int32Array(shapes).fill(-1);
  const tuples: Tuple[] = [];
  for (let rank = 0; rank < expansions.length; rank++) {
    for (const shape of expansions[rank].shapes) {
      if (places[shape.index] >= 0) tuples[places[shape.index]].count++;
      else places[shape.index] = tuples.push({ shape, best: rank, count: 1 }) - 1;
    }
  }
  return tuples;
}

export interface Tables {
  readonly words: Int32Array;
  /** All bits of a key that checks look at. */
  readonly checked: Int32Array;
  /** Ranks of rules that would have to be checked one after the other. */
  readonly crowded: readonly number[];
}

/** `plan` is that of the tuples' shapes. */
export function buildTables(expansions: readonly Expansion[], plan: Plan, tuples: readonly Tuple[]): Tables {
  const builder = new TableBuilder(plan, new Map(tuples.map((tuple) => [tuple.shape, tuple])));
  expansions.forEach((expansion, rank) => {
    builder.add(expansion, rank);
  });
  return builder.finish(expansions.length);
}

/** Where a tuple's parts are. */
interface Place {
  /** Where an answer without slots goes. */
  readonly answer: number;
  readonly slots: number;
  readonly shift: number;
  readonly filter: Filter;
  readonly multipliers: readonly number[];
  readonly cells: readonly Filter[];
}

interface Filter {
  readonly at: number;
  readonly shift: number;
}

class TableBuilder {
  readonly #words: Int32Array;
  /** By the index of the shape. */
  readonly #places: Place[] = [];
  readonly #chains = new Chains();

  constructor({ slices, groups, size }: Plan, tuples: ReadonlyMap<Shape, Tuple>) {
    const take = (words: number) => {
      size += words;
      return size - words;
    };
    const counts = new Map<number, number>();
    for (const { shape, count } of tuples.values()) {
      for (const { word } of shape.slices) counts.set(word, (counts.get(word) ?? 0) + count);
    }
    const cells = new Map<number, Place["filter"]>();
    for (const [word, count] of counts) {
      const bits = bitsFor(CELL_BITS * count, 6);
      cells.set(word, { at: take(2 ** (bits - 5)), shift: 32 - (bits - 5) });
    }
    for (const group of groups) {
      group.shapes.forEach((shape, i) => {
        const { count } = tuples.get(shape)!;
        const bits = bitsFor(2 * count, 1);
        const filterBits = bitsFor(TUPLE_FILTER_BITS * count, 5);
        this.#places[shape.index] = {
          answer: tupleAt(group, i) + TUPLE_SLOTS,
          slots: shape.slices.length === 0 ? SLOT_EMPTY : take((shape.slices.length + 1) << bits),
          shift: 32 - bits,
          filter: { at: take(2 ** (filterBits - 5)), shift: 32 - filterBits },
          multipliers: shape.slices.map(({ multiplier }) => multiplier),
          cells: shape.slices.map(({ word }) => cells.get(word)!),
        };
      });
    }
    this.#words = new Int32Array(size);
    for (const [word, { at, shift }] of cells) {
      this.#words[wordAt(word) + WORD_CELLS] = at;
      this.#words[wordAt(word) + WORD_SHIFT] = shift;
    }
    for (const group of groups) this.#writeGroup(group, slices, tuples);
  }

  #writeGroup(group: Group, slices: readonly Slice[], tuples: ReadonlyMap<Shape, Tuple>): void {
    const words = this.#words;
    words[group.at + GROUP_BEST] = Math.min(...group.shapes.map((shape) => tuples.get(shape)!.best));
    group.shapes.forEach((shape, i) => {
      const { slots, shift, filter } = this.#places[shape.index];
      const at = tupleAt(group, i);
      words[at + TUPLE_BEST] = tuples.get(shape)!.best;
      words[at + TUPLE_SLOTS] = slots;
      words[at + TUPLE_SHIFT] = shift;
      words[at + TUPLE_FILTER] = filter.at;
      words[at + TUPLE_FILTER_SHIFT] = filter.shift;
      for (let j = 0; j < FILTER_SLICES; j++) {
        words[at + TUPLE_SLICES + j] = j < shape.slices.length ? slices.indexOf(shape.slices[j]) : slices.length;
      }
      if (shape.slices.length === 0) {
        // Nothing to filter: the hash is 0.
        words[filter.at] = 1;
        return;
      }
      const stride = shape.slices.length + 1;
      const end = slots + stride * 2 ** (32 - shift);
      for (let slot = slots; slot < end; slot += stride) words[slot] = SLOT_EMPTY;
    });
  }

  add({ continues, shapes, words, checks }: Expansion, rank: number): void {
    let from = 0;
    for (let entry = 0; entry < shapes.length; entry++) {
      const place = this.#places[shapes[entry].index];
      const at = this.#slotFor(place, words, from);
      from += place.multipliers.length;
      this.#words[at] = this.#chains.add(at, this.#words[at], (rank << 1) | Number(continues), checks[entry]);
    }
  }

  /** Sets the entry's bits in the filters, and finds its slot or takes one. */
  #slotFor(
    { answer, slots, shift, filter, multipliers, cells }: Place,
    words: readonly number[],
    from: number,
  ): number {
    const tables = this.#words;
    const length = multipliers.length;
    if (length === 0) return answer;
    let hash = 0;
    for (let i = 0; i < length; i++) {
      const product = Math.imul(words[from + i], multipliers[i]);
      hash = (hash + product) | 0;
      tables[cells[i].at + (product >>> cells[i].shift)] |= (1 << product) | (1 << (product >>> SECOND_BIT));
      if (i === Math.min(length, FILTER_SLICES) - 1) this.#mark(filter, hash);
    }
    const last = -1 >>> shift;
    for (let slot = hash >>> shift; ; slot = (slot + 1) & last) {
      const at = slots + slot * (length + 1);
      let i = 0;
      if (tables[at] === SLOT_EMPTY) {
        for (; i < length; i++) tables[at + 1 + i] = words[from + i];
        return at;
      }
      while (i < length && tables[at + 1 + i] === words[from + i]) i++;
      if (i === length) return at;
    }
  }

  #mark({ at, shift }: Filter, hash: number): void {
    const bit = hash >>> shift;
    this.#words[at + (bit >>> 5)] |= 1 << bit;
  }

  finish(rules: number): Tables {
    const tail = this.#chains.writeTo(this.#words);
    const words = new Int32Array(this.#words.length + tail.length);
    words.set(this.#words);
    words.set(tail, this.#words.length);
    words[TABLES_AT_MAGIC] = TABLES_MAGIC;
    words[TABLES_AT_RULES] = rules;
    words[TABLES_AT_SIZE] = words.length;
    return { words, checked: this.#chains.checked, crowded: this.#chains.crowded() };
  }
}

/** Bits of the smallest power of two that is at least `count`, but at least `least`. */
function bitsFor(count: number, least: number): number {
  return Math.max(least, 32 - Math.clz32(count - 1));
}
