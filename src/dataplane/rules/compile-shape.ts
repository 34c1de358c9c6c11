// The shape of an entry: which bits of the key it asks for. Entries of one shape make one tuple: one hash table.
//
//   in 3, ip4.dst 10.0.0.0/8, tcp.dport 80
//     classMask CLASS_IP4 | CLASS_TCP, classValue the same     what headers there are: part of the shape with its value
//     slices    word   0            12           6
//               mask   0000ffff     ff000000     0000ffff
//               shift  0            24           0             what is left of a word is shifted down to its lowest asked bit
//
// A slice hashes to its value times an odd multiplier, a shape to the sum over its slices; upper bits are used. Shifting first
// is what makes that good for prefixes: the product of a number whose low bits are 0 has low bits 0 too.
// Cold; control thread.

import {
  GROUP_TUPLES,
  GROUP_TUPLES_MAX,
  TABLES_GROUPS,
  TABLES_WORDS,
  TUPLE_LENGTH,
  WORD_LENGTH,
} from "./compile-layout.ts";
import { CLASS_IP4, CLASS_TCP, CLASS_UDP, KEY_CLASS, KEY_WORDS } from "./key.ts";

/** Upper half of the class word: what headers there are. The lower is the port. */
export const CLASS_BITS = -0x10000;

/** Bits of one word of the key. */
export interface Slice {
  readonly word: number;
  readonly mask: number;
  readonly shift: number;
  /** Odd. */
  readonly multiplier: number;
}

export interface Shape {
  /** Among all shapes that a Shapes has made. */
  readonly index: number;
  readonly classMask: number;
  readonly classValue: number;
  readonly slices: readonly Slice[];
}

/** Gives each shape and each slice one object, so that what is equal is the same. */
export class Shapes {
  readonly #shapes = new Map<number, Shape[]>();
  readonly #slices = new Map<number, Slice>();
  count = 0;

  /** `mask` and `value` are whole keys. */
  of(mask: Int32Array, value: Int32Array): Shape {
    let hash = value[KEY_CLASS] & CLASS_BITS;
    for (let word = 0; word < KEY_WORDS; word++) hash = Math.imul(hash ^ mask[word], 0x21f0aaad) + (hash >>> 15);
    const alike = this.#shapes.get(hash) ?? [];
    const known = alike.find((it) => isShape(it, mask, value));
    if (known !== undefined) return known;
    const shape = this.#make(mask, value);
    this.#shapes.set(hash, [...alike, shape]);
    return shape;
  }

  #make(mask: Int32Array, value: Int32Array): Shape {
    const slices: Slice[] = [];
    for (let word = 0; word < KEY_WORDS; word++) {
      const asked = askedOf(mask, word);
      if (asked !== 0) slices.push(this.#slice(word, asked));
    }
    const [classMask, classValue] = [mask[KEY_CLASS] & CLASS_BITS, value[KEY_CLASS] & CLASS_BITS];
    return { index: this.count++, classMask, classValue, slices };
  }

  #slice(word: number, mask: number): Slice {
    const id = word * 2 ** 32 + (mask >>> 0);
    let slice = this.#slices.get(id);
    if (slice === undefined) {
      slice = {
        word,
        mask,
        shift: 31 - Math.clz32(mask & -mask),
        multiplier: mixed(Math.imul(word + 1, 0x9e3779b9)) | 1,
      };
      this.#slices.set(id, slice);
    }
    return slice;
  }
}

function isShape({ classMask, classValue, slices }: Shape, mask: Int32Array, value: Int32Array): boolean {
  if ((mask[KEY_CLASS] & CLASS_BITS) !== classMask || (value[KEY_CLASS] & CLASS_BITS) !== classValue) return false;
  let at = 0;
  for (let word = 0; word < KEY_WORDS; word++) {
    const asked = askedOf(mask, word);
    if (asked === 0) continue;
    if (at === slices.length || slices[at].word !== word || slices[at].mask !== asked) return false;
    at++;
  }
  return at === slices.length;
}

function askedOf(mask: Int32Array, word: number): number {
  return word === KEY_CLASS ? mask[word] & ~CLASS_BITS : mask[word];
}

/** Wellons' lowbias32: one multiplier for each word that has nothing to do with the next word's. */
function mixed(value: number): number {
  const product = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  const again = Math.imul(product ^ (product >>> 15), 0x735a2d97);
  return again ^ (again >>> 15);
}

/** What a key, or an entry's value, has there. */
export function sliceOf(key: Int32Array, { word, mask, shift }: Slice): number {
  return ((key[word] & mask) >>> shift) | 0;
}

/** Tuples that a search looks at together: for keys of one class, GROUP_TUPLES_MAX at most. */
export interface Group {
  readonly classMask: number;
  readonly classValue: number;
  readonly shapes: readonly Shape[];
  /** Where in the tables it is. */
  readonly at: number;
}

const PLAIN_CLASSES = [CLASS_IP4 | CLASS_TCP, CLASS_IP4 | CLASS_UDP];

/** Whether frames of TCP or UDP in plain IPv4 may match tuples of the group. */
export function isOfPlain({ classMask, classValue }: Group): boolean {
  return PLAIN_CLASSES.some((classes) => (classes & classMask) === classValue);
}

/** What tables and source of some shapes have in common. */
export interface Plan {
  /** Of all shapes, each once. */
  readonly slices: readonly Slice[];
  readonly groups: readonly Group[];
  /** Words of the tables before their filters. */
  readonly size: number;
}

/**
 * The same for the same shapes, whatever their order. Shapes that are alike are neighbours, classes that ask for less come
 * first.
 */
export function planOf(shapes: readonly Shape[]): Plan {
  const slices = [...new Set(shapes.flatMap((shape) => shape.slices))].sort(bySlice);
  const groups: Group[] = [];
  let at = TABLES_GROUPS;
  const sorted = shapes.toSorted((a, b) => a.classMask - b.classMask || a.classValue - b.classValue || bySlices(a, b));
  for (const alike of Map.groupBy(sorted, ({ classMask, classValue }) => `${classMask} ${classValue}`).values()) {
    for (let i = 0; i < alike.length; i += GROUP_TUPLES_MAX) {
      const some = alike.slice(i, i + GROUP_TUPLES_MAX);
      groups.push({ classMask: some[0].classMask, classValue: some[0].classValue, shapes: some, at });
      at += GROUP_TUPLES + TUPLE_LENGTH * some.length;
    }
  }
  return { slices, groups, size: at };
}

function bySlice(a: Slice, b: Slice): number {
  return a.word - b.word || a.mask - b.mask;
}

function bySlices(a: Shape, b: Shape): number {
  const common = Math.min(a.slices.length, b.slices.length);
  for (let i = 0; i < common; i++) if (a.slices[i] !== b.slices[i]) return bySlice(a.slices[i], b.slices[i]);
  return a.slices.length - b.slices.length;
}

/** Where in the tables a word's cells are described, and a tuple. */
export function wordAt(word: number): number {
  return TABLES_WORDS + WORD_LENGTH * word;
}

export function tupleAt(group: Group, index: number): number {
  return group.at + GROUP_TUPLES + TUPLE_LENGTH * index;
}

/** Bit of a tuple in its group: the first has the highest, so that Math.clz32 finds it first. */
export function tupleBit(index: number): number {
  return 1 << (31 - index);
}
