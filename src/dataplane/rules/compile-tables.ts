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

import { Chains, renumbered } from "./compile-chains.ts";
import {
  FILTER_SLICES,
  GROUP_BEST,
  RANK_NONE,
  SECOND_BIT,
  SHAPES_MAX,
  SLOT_EMPTY,
  SLOT_GONE,
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
import { KEY_CLASS, KEY_WORDS } from "./key.ts";

/** Bits for each entry. Of slices that are not there, one in 60 to 250 finds both bits of its cell; of tuples, one in 32 to 64. */
const CELL_BITS = 16;
const TUPLE_FILTER_BITS = 32;
/** Slots of a spare tuple at first, as a power of two. */
const SPARE_BITS = 4;
/** Words behind new tables, for the first changes. */
const SLACK = 4096;
/** Entries that went, by those that there were: that many more bits are set than need be. */
const WORN_ENTRIES = 1 / 4;

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

/** Where a tuple's parts are. */
interface Place {
  /** The tuple itself, and its group; a spare one has none. */
  readonly at: number;
  readonly group: number;
  slots: number;
  shift: number;
  /** Slots that are not SLOT_EMPTY. */
  used: number;
  /** Entries, chains' included. */
  live: number;
  /** A spare one has neither. */
  readonly filter?: Filter;
  readonly cells: readonly Filter[];
  readonly multipliers: readonly number[];
}

interface Filter {
  readonly at: number;
  readonly shift: number;
}

export class RuleTables {
  words: Int32Array;
  /** Entries in them. */
  entries = 0;
  /** All bits of a key that they ask for: the source depends on it. */
  readonly asked = new Int32Array(KEY_WORDS);
  #end: number;
  readonly #built: number;
  #gone = 0;
  /** By the index of the shape. */
  readonly #places: Place[] = [];
  /** Where they are. */
  readonly #groups: readonly number[];
  readonly #chains = new Chains();
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
      group.shapes.forEach((shape, i) => {
        const { count } = byShape.get(shape)!;
        const bits = bitsFor(2 * count, 1);
        const filterBits = bitsFor(TUPLE_FILTER_BITS * count, 5);
        const at = tupleAt(group, i);
        this.#places[shape.index] = {
          at,
          group: group.at,
          slots: shape.slices.length === 0 ? at + TUPLE_SLOTS : take((shape.slices.length + 1) << bits),
          shift: 32 - bits,
          used: 0,
          live: 0,
          filter: { at: take(2 ** (filterBits - 5)), shift: 32 - filterBits },
          multipliers: shape.slices.map(({ multiplier }) => multiplier),
          cells: shape.slices.map(({ word }) => cells.get(word)!),
        };
      });
    }
    this.#end = size;
    this.words = new Int32Array(size + SLACK);
    for (const [word, { at, shift }] of cells) {
      this.words[wordAt(word) + WORD_CELLS] = at;
      this.words[wordAt(word) + WORD_SHIFT] = shift;
    }
    for (const group of plan.groups) this.#writeGroup(group, plan.slices, byShape);
    this.#groups = plan.groups.map(({ at }) => at);
    for (const { classMask } of plan.groups) this.asked[KEY_CLASS] |= classMask;
    for (const { word, mask } of plan.slices) this.asked[word] |= mask;
    this.#shapes = tuples.length;
    this.#built = size;
  }

  #writeGroup(group: Group, slices: readonly Slice[], tuples: ReadonlyMap<Shape, Tuple>): void {
    const words = this.words;
    words[group.at + GROUP_BEST] = Math.min(...group.shapes.map((shape) => tuples.get(shape)!.best));
    group.shapes.forEach((shape, i) => {
      const place = this.#places[shape.index];
      const { filter } = place;
      const at = tupleAt(group, i);
      words[at + TUPLE_BEST] = tuples.get(shape)!.best;
      words[at + TUPLE_FILTER] = filter!.at;
      words[at + TUPLE_FILTER_SHIFT] = filter!.shift;
      for (let j = 0; j < FILTER_SLICES; j++) {
        words[at + TUPLE_SLICES + j] = j < shape.slices.length ? slices.indexOf(shape.slices[j]) : slices.length;
      }
      // Without slices there is nothing to filter: the hash is 0.
      if (shape.slices.length === 0) words[filter!.at] = 1;
      this.#clearSlots(place);
    });
  }

  #clearSlots({ at, slots, shift, multipliers: { length } }: Place): void {
    const words = this.words;
    if (length === 0) {
      words[slots] = SLOT_EMPTY;
      return;
    }
    words[at + TUPLE_SLOTS] = slots;
    words[at + TUPLE_SHIFT] = shift;
    const end = slots + (length + 1) * 2 ** (32 - shift);
    for (let slot = slots; slot < end; slot += length + 1) words[slot] = SLOT_EMPTY;
  }

  /** All bits of a key that checks look at; and those of spare tuples, which matter as much. */
  get checked(): Int32Array {
    return this.words.subarray(TABLES_CHECKED, TABLES_CHECKED + KEY_WORDS);
  }

  /** Whether it is time to compile all anew: new flows pay for what changes left here. */
  get worn(): boolean {
    return this.#hadSpares || this.#gone > this.entries * WORN_ENTRIES || this.#end > 2 * this.#built;
  }

  /** False where a shape is one too many: then this is to be thrown away. */
  add({ continues, shapes, words, checks }: Expansion, rank: number): boolean {
    let from = 0;
    for (let entry = 0; entry < shapes.length; entry++) {
      const place = this.#places[shapes[entry].index] ?? this.#makeSpare(shapes[entry]);
      if (place === undefined) return false;
      const at = this.#slotFor(place, words, from);
      from += place.multipliers.length;
      place.live++;
      const tables = this.words;
      tables[at] = this.#chains.add(at, tables[at], (rank << 1) | Number(continues), checks[entry]);
      if (rank < tables[place.at + TUPLE_BEST]) tables[place.at + TUPLE_BEST] = rank;
      if (place.group >= 0 && rank < tables[place.group + GROUP_BEST]) tables[place.group + GROUP_BEST] = rank;
    }
    this.entries += shapes.length;
    return true;
  }

  /** What `add` was given, with the rank that it has now. */
  remove({ continues, shapes, words }: Expansion, rank: number): void {
    let from = 0;
    for (const { index } of shapes) {
      const place = this.#places[index];
      const at = this.#find(place, hashOf(place, words, from), words, from);
      from += place.multipliers.length;
      this.words[at] = this.#chains.remove(at, (rank << 1) | Number(continues));
      if (--place.live === 0 && place.group < 0) this.#dropSpare(index, place);
    }
    this.entries -= shapes.length;
    this.#gone += shapes.length;
  }

  /** Rules have other ranks (RuleChange.ranks); those that went were removed before. */
  renumber(ranks: Int32Array): void {
    this.#places.forEach((place) => {
      this.#renumberPlace(place, ranks);
    });
    const { words } = this;
    for (const at of this.#groups) words[at + GROUP_BEST] = bestNow(words[at + GROUP_BEST], ranks);
    this.#chains.renumber(words, ranks);
  }

  #renumberPlace({ at, slots, shift, multipliers: { length } }: Place, ranks: Int32Array): void {
    const { words } = this;
    words[at + TUPLE_BEST] = bestNow(words[at + TUPLE_BEST], ranks);
    const stride = length + 1;
    const end = length === 0 ? slots + 1 : slots + stride * 2 ** (32 - shift);
    for (let slot = slots; slot < end; slot += stride) {
      const answer = words[slot];
      if (answer >= 0 && answer < SLOT_GONE) words[slot] = renumbered(answer, ranks);
    }
  }

  /** Sets the entry's bits in the filters, and finds its slot or takes one. */
  #slotFor(place: Place, values: readonly number[], from: number): number {
    const { filter, multipliers, cells } = place;
    const tables = this.words;
    let hash = 0;
    for (let i = 0; i < multipliers.length; i++) {
      const product = Math.imul(values[from + i], multipliers[i]);
      hash = (hash + product) | 0;
      if (filter === undefined) continue;
      tables[cells[i].at + (product >>> cells[i].shift)] |= (1 << product) | (1 << (product >>> SECOND_BIT));
      if (i === Math.min(multipliers.length, FILTER_SLICES) - 1) mark(tables, filter, hash);
    }
    const at = this.#find(place, hash, values, from);
    if (tables[at] !== SLOT_EMPTY || multipliers.length === 0) return at;
    if (2 * (place.used + 1) > 2 ** (32 - place.shift)) {
      this.#enlarge(place);
      return this.#slotFor(place, values, from);
    }
    place.used++;
    for (let i = 0; i < multipliers.length; i++) tables[at + 1 + i] = values[from + i];
    return at;
  }

  /** The slot that has these slices, or the empty one that would. */
  #find(place: Place, hash: number, values: readonly number[], from: number): number {
    const { slots, shift } = place;
    const { length } = place.multipliers;
    if (length === 0) return slots;
    const tables = this.words;
    const last = -1 >>> shift;
    for (let slot = hash >>> shift; ; slot = (slot + 1) & last) {
      const at = slots + slot * (length + 1);
      if (tables[at] === SLOT_EMPTY) return at;
      let i = 0;
      while (i < length && tables[at + 1 + i] === values[from + i]) i++;
      if (i === length) return at;
    }
  }

  /** Slots with twice the room of what is in use, elsewhere; those that are GONE stay behind. */
  #enlarge(place: Place): void {
    const stride = place.multipliers.length + 1;
    const before = { from: place.slots, end: place.slots + stride * 2 ** (32 - place.shift) };
    const live: number[] = [];
    for (let at = before.from; at < before.end; at += stride) {
      const isLive = this.words[at] !== SLOT_EMPTY && (this.words[at] !== SLOT_GONE || this.#chains.has(at));
      if (isLive) live.push(at);
    }
    const bits = bitsFor(4 * (live.length + 1), 1);
    place.slots = this.take(stride << bits);
    place.shift = 32 - bits;
    place.used = live.length;
    this.#clearSlots(place);
    const { words } = this;
    const moved = live.map((at) => {
      const values = [...words.subarray(at + 1, at + stride)];
      const to = this.#find(place, hashOf(place, values, 0), values, 0);
      words[to] = words[at];
      words.set(values, to + 1);
      return to;
    });
    this.#chains.move(live, moved);
  }

  /** Undefined where there are too many. */
  #makeSpare({ index, classMask, classValue, slices }: Shape): Place | undefined {
    if (this.#spares === SPARES_MAX || this.#shapes === SHAPES_MAX) return undefined;
    this.#hadSpares = true;
    this.#shapes++;
    this.#spares++;
    const at = this.take(SPARE_SLICES + SPARE_SLICE_LENGTH * slices.length);
    const slots = slices.length === 0 ? at + TUPLE_SLOTS : this.take((slices.length + 1) << SPARE_BITS);
    const { words, checked } = this;
    words[at + TUPLE_BEST] = RANK_NONE;
    words[at + SPARE_NEXT] = words[TABLES_AT_SPARES];
    words[TABLES_AT_SPARES] = at;
    words[at + SPARE_CLASS_MASK] = classMask;
    words[at + SPARE_CLASS_VALUE] = classValue;
    words[at + SPARE_COUNT] = slices.length;
    this.asked[KEY_CLASS] |= classMask;
    slices.forEach(({ word, mask, shift, multiplier }, i) => {
      words.set([word, mask, shift, multiplier], at + SPARE_SLICES + SPARE_SLICE_LENGTH * i);
      this.asked[word] |= mask;
      checked[word] |= mask;
    });
    const multipliers = slices.map(({ multiplier }) => multiplier);
    const place: Place = { at, group: -1, slots, shift: 32 - SPARE_BITS, used: 0, live: 0, cells: [], multipliers };
    this.#places[index] = place;
    this.#clearSlots(place);
    return place;
  }

  #dropSpare(index: number, { at }: Place): void {
    const { words } = this;
    let link = TABLES_AT_SPARES;
    while (words[link] !== at) link = words[link] + SPARE_NEXT;
    words[link] = words[at + SPARE_NEXT];
    delete this.#places[index];
    this.#spares--;
    this.#shapes--;
  }

  /** Where so many more words begin. `words` may be another array after that. */
  take(count: number): number {
    const at = this.#end;
    this.#end += count;
    if (this.#end > this.words.length) {
      const grown = new Int32Array(this.#end + (this.#end >> 2));
      grown.set(this.words);
      this.words = grown;
    }
    return at;
  }

  /** After changes: chains and header are written. Returns ranks of rules whose checks stand in a crowd since. */
  finish(rules: number): number[] {
    const crowded = this.#chains.writeTo(this);
    const { checked } = this;
    for (let word = 0; word < KEY_WORDS; word++) {
      checked[word] |= this.#chains.checked[word];
      this.asked[word] |= checked[word];
    }
    this.words[TABLES_AT_MAGIC] = TABLES_MAGIC;
    this.words[TABLES_AT_RULES] = rules;
    this.words[TABLES_AT_SIZE] = this.#end;
    return crowded;
  }

  /** As workers read them, until the next change. */
  get tables(): Int32Array {
    return this.words.subarray(0, this.#end);
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

/** The best rank that there may be when rules have others: what was best may be gone. */
function bestNow(best: number, ranks: Int32Array): number {
  if (best >= ranks.length) return best;
  return ranks[best] < 0 ? ~ranks[best] : ranks[best];
}

function hashOf({ multipliers }: Place, values: readonly number[], from: number): number {
  let hash = 0;
  for (let i = 0; i < multipliers.length; i++) hash = (hash + Math.imul(values[from + i], multipliers[i])) | 0;
  return hash;
}

function mark(tables: Int32Array, { at, shift }: Filter, hash: number): void {
  const bit = hash >>> shift;
  tables[at + (bit >>> 5)] |= 1 << bit;
}

/** Bits of the smallest power of two that is at least `count`, but at least `least`. */
function bitsFor(count: number, least: number): number {
  return Math.max(least, 32 - Math.clz32(count - 1));
}
