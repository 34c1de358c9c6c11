// The tables that compile-layout.ts draws, kept so that rules may come and go: cells, filters and slots, chains behind them, and
// behind those what was added since.
//
//   rule -> entries -> two bits in a cell of each slice's word, a bit in the tuple's filter, a slot of the tuple, or a chain
//
//   add       of a shape that is known: the same, in larger slots where the tuple has grown
//             of any other: a spare tuple, for which the source has a search that is told masks by the tables
//   remove    the slot says SLOT_GONE; bits stay, and so do best ranks: they let too much through, never too little
//   renumber  one pass over all slots, as the rules behind one that comes or goes move
//
// So a change costs a slot and a pass over integers, and the workers' functions stay as they are. What it leaves behind (`worn`) costs
// new flows a little, until all is compiled anew. Sizes of new tables follow from counts: one allocation, one pass. Cold; control
// thread.

import { Chains } from "./compile-chains.ts";
import {
  FILTER_SLICES,
  GROUP_BEST,
  RANK_NONE,
  SECOND_BIT,
  SHAPES_MAX,
  SPARE_CLASS_MASK,
  SPARE_CLASS_VALUE,
  SPARE_COUNT,
  SPARE_NEXT,
  SPARE_SLICE_LENGTH,
  SPARE_SLICES,
  SPARES_MAX,
  TABLES_AT_MAGIC,
  TABLES_AT_RULES,
  TABLES_AT_SIZE,
  TABLES_AT_SPARES,
  TABLES_CHECKED,
  TABLES_MAGIC,
  TABLES_SOURCES,
  TABLES_TARGETS,
  TUPLE_BEST,
  TUPLE_FILTER,
  TUPLE_FILTER_SHIFT,
  TUPLE_SLICES,
  WORD_CELLS,
  WORD_SHIFT,
} from "./compile-layout.ts";
import type { Expansion } from "./compile-match.ts";
import { Prefixes, writeEnds } from "./compile-prefixes.ts";
import { type Group, isOfPlain, type Plan, type Shape, type Slice, tupleAt, wordAt } from "./compile-shape.ts";
import { bestNow, bitsFor, TupleSlots } from "./compile-slots.ts";
import { TableWords } from "./compile-words.ts";
import { KEY_CLASS, KEY_IP_DST, KEY_IP_SRC, KEY_WORDS } from "./key.ts";

/** Bits for each entry. Of slices that are not there, one in 60 to 250 finds both bits of its cell; of tuples, one in 32 to 64. */
const CELL_BITS = 16;
const TUPLE_FILTER_BITS = 32;
/** Slots of a spare tuple at first, as a power of two. */
const SPARE_BITS = 4;
/** Entries that went, by those that there were: that many more bits are set than need be. */
const WORN_ENTRIES = 1 / 4;
const SPENT_ENTRIES = 4;

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

/** A tuple, and what is looked at before it. */
interface Place {
  readonly slots: TupleSlots;
  /** Undefined for a spare one, which is looked into at once. */
  readonly planned?: {
    /** Where its group is. */
    readonly group: number;
    readonly filter: Filter;
    /** Of the word of each slice. */
    readonly cells: readonly Filter[];
    readonly slices: readonly Slice[];
    /** Whether plain frames (compile-shape.ts) may match. */
    readonly isOfPlain: boolean;
  };
}

interface Filter {
  readonly at: number;
  readonly shift: number;
}

export class RuleTables {
  /** Entries in them. */
  entries = 0;
  /** All bits of a key that they ask for: the source depends on it. */
  readonly asked = new Int32Array(KEY_WORDS);
  readonly #words: TableWords;
  /** Words when all was compiled, chains included; 0 until then. */
  #built = 0;
  #gone = 0;
  /** By the index of the shape. */
  readonly #places: Place[] = [];
  /** Where they are. */
  readonly #groups: readonly number[];
  readonly #chains = new Chains();
  /** By the word of the key. */
  readonly #prefixes = new Map<number, Prefixes>();
  /** With those of spare tuples. */
  #shapes: number;
  #spares = 0;
  /** What they look at stays `checked`. */
  #hadSpares = false;

  /** Empty ones; `plan` is that of the tuples' shapes. */
  constructor(plan: Plan, tuples: readonly Tuple[]) {
    let { size } = plan;
    const take = (words: number) => {
      size += words;
      return size - words;
    };
    const byShape = new Map(tuples.map((tuple) => [tuple.shape, tuple]));
    const cells = placeCells(tuples, take);
    for (const group of plan.groups) {
      const plain = isOfPlain(group);
      group.shapes.forEach(({ index, slices }, i) => {
        const { count } = byShape.get(group.shapes[i])!;
        const filterBits = bitsFor(TUPLE_FILTER_BITS * count, 5);
        this.#places[index] = {
          slots: new TupleSlots(tupleAt(group, i), slices, bitsFor(2 * count, 1), take),
          planned: {
            group: group.at,
            filter: { at: take(2 ** (filterBits - 5)), shift: 32 - filterBits },
            cells: slices.map(({ word }) => cells.get(word)!),
            slices,
            isOfPlain: plain,
          },
        };
      });
    }
    this.#words = new TableWords(size);
    writeEnds(this.#words.all);
    this.#prefixes.set(KEY_IP_SRC, new Prefixes(this.#words, TABLES_SOURCES));
    this.#prefixes.set(KEY_IP_DST, new Prefixes(this.#words, TABLES_TARGETS));
    const { all } = this.#words;
    for (const [word, { at, shift }] of cells) {
      all[wordAt(word) + WORD_CELLS] = at;
      all[wordAt(word) + WORD_SHIFT] = shift;
    }
    for (const group of plan.groups) this.#writeGroup(group, plan.slices, byShape);
    this.#groups = plan.groups.map(({ at }) => at);
    for (const { classMask } of plan.groups) this.asked[KEY_CLASS] |= classMask;
    for (const { word, mask } of plan.slices) this.asked[word] |= mask;
    this.#shapes = tuples.length;
  }

  #writeGroup(group: Group, slices: readonly Slice[], tuples: ReadonlyMap<Shape, Tuple>): void {
    const words = this.#words.all;
    words[group.at + GROUP_BEST] = Math.min(...group.shapes.map((shape) => tuples.get(shape)!.best));
    group.shapes.forEach((shape, i) => {
      const { slots, planned } = this.#places[shape.index];
      const { filter } = planned!;
      const at = tupleAt(group, i);
      words[at + TUPLE_BEST] = tuples.get(shape)!.best;
      words[at + TUPLE_FILTER] = filter.at;
      words[at + TUPLE_FILTER_SHIFT] = filter.shift;
      for (let j = 0; j < FILTER_SLICES; j++) {
        words[at + TUPLE_SLICES + j] = j < shape.slices.length ? slices.indexOf(shape.slices[j]) : slices.length;
      }
      // Without slices there is nothing to filter: the hash is 0.
      if (shape.slices.length === 0) words[filter.at] = 1;
      slots.clear(words);
    });
  }

  /** All bits of a key that checks look at; and those of spare tuples, which matter as much. */
  get checked(): Int32Array {
    return this.#words.all.subarray(TABLES_CHECKED, TABLES_CHECKED + KEY_WORDS);
  }

  /** Whether it is time to compile all anew: new flows pay for what changes left here. */
  get worn(): boolean {
    return this.#hadSpares || this.#gone > this.entries * WORN_ENTRIES || this.#words.end > 2 * this.#built;
  }

  /** Whether that cannot wait for a pause. */
  get spent(): boolean {
    return this.#gone > this.entries * SPENT_ENTRIES || this.#words.end > 4 * this.#built;
  }

  /** False where a shape is one too many: then this is to be thrown away. */
  add({ continues, shapes, words, checks }: Expansion, rank: number): boolean {
    let from = 0;
    for (let entry = 0; entry < shapes.length; entry++) {
      const place = this.#places[shapes[entry].index] ?? this.#makeSpare(shapes[entry]);
      if (place === undefined) return false;
      const { slots, planned } = place;
      this.#mark(place, words, from);
      const at = slots.slotFor(this.#words, this.#chains, words, from);
      from += slots.length;
      slots.entries++;
      const { all } = this.#words;
      all[at] = this.#chains.add(at, all[at], (rank << 1) | Number(continues), checks[entry]);
      if (rank < all[slots.at + TUPLE_BEST]) all[slots.at + TUPLE_BEST] = rank;
      if (planned !== undefined && rank < all[planned.group + GROUP_BEST]) all[planned.group + GROUP_BEST] = rank;
    }
    this.entries += shapes.length;
    return true;
  }

  /** Sets an entry's bits in the cells of its words and in its tuple's filter, and adds its prefixes. */
  #mark({ slots, planned }: Place, values: readonly number[], from: number): void {
    if (planned === undefined) return;
    const { filter, cells, slices } = planned;
    if (planned.isOfPlain) {
      slices.forEach(({ word, mask, shift }, i) => {
        this.#prefixes.get(word)?.add(values[from + i] << shift, mask);
      });
    }
    const { all } = this.#words;
    let hash = 0;
    for (let i = 0; i < slots.length; i++) {
      const product = slots.product(i, values[from + i]);
      hash = i < FILTER_SLICES ? (hash + product) | 0 : hash;
      all[cells[i].at + (product >>> cells[i].shift)] |= (1 << product) | (1 << (product >>> SECOND_BIT));
    }
    const bit = hash >>> filter.shift;
    all[filter.at + (bit >>> 5)] |= 1 << bit;
  }

  /** What `add` was given, with the rank that it has now. */
  remove({ continues, shapes, words }: Expansion, rank: number): void {
    let from = 0;
    for (const { index } of shapes) {
      const { slots, planned } = this.#places[index];
      const { all } = this.#words;
      const at = slots.find(all, words, from);
      from += slots.length;
      all[at] = this.#chains.remove(at, (rank << 1) | Number(continues));
      if (--slots.entries === 0 && planned === undefined) this.#dropSpare(index, slots.at);
    }
    this.entries -= shapes.length;
    this.#gone += shapes.length;
  }

  /** Rules have other ranks (RuleChange.ranks); those that went were removed before. */
  renumber(ranks: Int32Array): void {
    const { all } = this.#words;
    this.#places.forEach(({ slots }) => {
      slots.renumber(all, ranks);
    });
    for (const at of this.#groups) all[at + GROUP_BEST] = bestNow(all[at + GROUP_BEST], ranks);
    this.#chains.renumber(all, ranks);
  }

  /** Undefined where there are too many. */
  #makeSpare({ index, classMask, classValue, slices }: Shape): Place | undefined {
    if (this.#spares === SPARES_MAX || this.#shapes === SHAPES_MAX) return undefined;
    this.#hadSpares = true;
    this.#shapes++;
    this.#spares++;
    const take = (count: number) => this.#words.take(count);
    const at = take(SPARE_SLICES + SPARE_SLICE_LENGTH * slices.length);
    const place: Place = { slots: new TupleSlots(at, slices, SPARE_BITS, take) };
    this.#places[index] = place;
    const { all } = this.#words;
    place.slots.clear(all);
    all[at + TUPLE_BEST] = RANK_NONE;
    all[at + SPARE_NEXT] = all[TABLES_AT_SPARES];
    all[TABLES_AT_SPARES] = at;
    all[at + SPARE_CLASS_MASK] = classMask;
    all[at + SPARE_CLASS_VALUE] = classValue;
    all[at + SPARE_COUNT] = slices.length;
    this.asked[KEY_CLASS] |= classMask;
    slices.forEach(({ word, mask, shift, multiplier }, i) => {
      all.set([word, mask, shift, multiplier], at + SPARE_SLICES + SPARE_SLICE_LENGTH * i);
      this.asked[word] |= mask;
      all[TABLES_CHECKED + word] |= mask;
    });
    return place;
  }

  #dropSpare(index: number, at: number): void {
    const { all } = this.#words;
    let link = TABLES_AT_SPARES;
    while (all[link] !== at) link = all[link] + SPARE_NEXT;
    all[link] = all[at + SPARE_NEXT];
    delete this.#places[index];
    this.#spares--;
    this.#shapes--;
  }

  /** After changes: chains and header are written. Returns ranks of rules whose checks stand in a crowd since. */
  finish(rules: number): number[] {
    const crowded = this.#chains.writeTo(this.#words);
    const { checked } = this;
    for (let word = 0; word < KEY_WORDS; word++) {
      checked[word] |= this.#chains.checked[word];
      this.asked[word] |= checked[word];
    }
    const { all, end } = this.#words;
    all[TABLES_AT_MAGIC] = TABLES_MAGIC;
    all[TABLES_AT_RULES] = rules;
    all[TABLES_AT_SIZE] = end;
    if (this.#built === 0) this.#built = end;
    return crowded;
  }

  /** As workers read them, until the next change. */
  get tables(): Int32Array {
    return this.#words.all.subarray(0, this.#words.end);
  }
}

/** Cells for each word that the tuples have slices of. */
function placeCells(tuples: readonly Tuple[], take: (words: number) => number): Map<number, Filter> {
  const counts = new Map<number, number>();
  for (const { shape, count } of tuples) {
    for (const { word } of shape.slices) counts.set(word, (counts.get(word) ?? 0) + count);
  }
  return new Map(
    [...counts].map(([word, count]) => {
      const bits = bitsFor(CELL_BITS * count, 6);
      return [word, { at: take(2 ** (bits - 5)), shift: 32 - (bits - 5) }];
    }),
  );
}
