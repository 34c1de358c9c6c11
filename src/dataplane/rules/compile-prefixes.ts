// How long a prefix of an address matters: for plain-broad.ts, which takes flows together that no rule tells apart.
//
//   rules ask for 10.0.0.0/8, 10.1.0.0/16 and 10.1.2.3     of 10.1.2.3   32 bits matter
//                                                          of 10.1.2.9   16
//                                                          of 10.2.3.4    8
//                                                          of 192.0.2.1   0
//
// A tree for each of source and target, in the tables. Its nodes are looked into by 8, 8, 4, 4, 4 and 4 bits of the address, and each
// entry says where the next node is, so that all ways are six loads and no jump:
//
//   root | 256 nodes |   node | 256 nodes |   node | 16 nodes |  …  node | 16 ends |
//   ends      one node of 16 for each length, 0 to 32, all of whose entries are itself; behind the root one of 256, whose entries are that
//
// What is taken away stays, as with the bits of cells: too much matters then, never too little. The same where a tree would be larger than
// WORDS_MAX: there all bits matter. Cold; control thread.

import { PREFIX_END_WORDS, TABLES_ENDS } from "./compile-layout.ts";
import type { TableWords } from "./compile-words.ts";

const LENGTHS = 33;
/** Of the bits that each level looks at: how many, and how many are behind them. */
const LEVELS = [
  { bits: 8, behind: 24 },
  { bits: 8, behind: 16 },
  { bits: 4, behind: 12 },
  { bits: 4, behind: 8 },
  { bits: 4, behind: 4 },
  { bits: 4, behind: 0 },
] as const;
/** Of one tree: 16 MiB, for some 65,536 single addresses that have nothing in common. The root's ends may come on top. */
const WORDS_MAX = 2 ** 22;

/** Writes the ends that all trees share. */
export function writeEnds(all: Int32Array): void {
  for (let k = 0; k < LENGTHS * PREFIX_END_WORDS; k++) all[TABLES_ENDS + k] = endOf(Math.floor(k / PREFIX_END_WORDS));
}

function endOf(length: number): number {
  return TABLES_ENDS + length * PREFIX_END_WORDS;
}

export class Prefixes {
  readonly #root: number;
  /** By length: what the root's entry is for addresses of which so much matters and no more. */
  readonly #broadEnds: number[] = [];
  /** Prefixes that are there: value * 64 + length. */
  readonly #known = new Set<number>();
  #taken = 0;

  /** An empty tree, to which nodes are added up to so many words; `at` is the word of the tables that says where it begins. */
  constructor(
    private readonly words: TableWords,
    at: number,
    private readonly most = WORDS_MAX,
  ) {
    this.#root = this.#take(LEVELS[0].bits, this.#leaf(0, 0));
    words.all[at] = this.#root;
  }

  /** A rule asks for the bits `mask` of an address, at least one, and that they are `value`. What is no prefix is one that reaches as far, of any address. */
  add(value: number, mask: number): void {
    const length = Math.clz32(mask & -mask) + 1;
    const isPrefix = mask === -1 << (32 - length);
    const id = (isPrefix ? (value >>> 0) * 64 : 2 ** 40) + length;
    if (this.#known.has(id)) return;
    this.#known.add(id);
    if (isPrefix) this.#add(this.#root, 0, value, length);
    else this.#raiseAll(this.#root, 0, length);
  }

  #add(node: number, level: number, value: number, length: number): void {
    const { bits, behind } = LEVELS[level];
    const first = node + ((value >>> behind) & (2 ** bits - 1));
    if (length <= 32 - behind) {
      const count = 2 ** (32 - behind - length);
      for (let at = first; at < first + count; at++) this.#raise(at, level, length);
      return;
    }
    const child = this.#childAt(first, level);
    if (child < 0) this.#raise(first, level, 32);
    else this.#add(child, level + 1, value, length);
  }

  /** At least so much matters from the entry at `at` on. */
  #raise(at: number, level: number, length: number): void {
    const entry = this.words.all[at];
    const now = this.#lengthOf(entry, level);
    if (now < 0) this.#raiseAll(entry, level + 1, length);
    if (now < 0 || now >= length) return;
    // First, since it may make the words another array.
    const leaf = this.#leaf(level, length);
    this.words.all[at] = leaf;
  }

  #raiseAll(node: number, level: number, length: number): void {
    for (let at = node; at < node + 2 ** LEVELS[level].bits; at++) this.#raise(at, level, length);
  }

  /** The node below an entry, made if there is none; -1 where it would be one too many. */
  #childAt(at: number, level: number): number {
    const entry = this.words.all[at];
    const length = this.#lengthOf(entry, level);
    if (length < 0) return entry;
    if (this.#taken >= this.most) return -1;
    const child = this.#take(LEVELS[level + 1].bits, this.#leaf(level + 1, length));
    this.words.all[at] = child;
    return child;
  }

  #take(bits: number, entry: number): number {
    const node = this.words.take(2 ** bits);
    this.words.all.fill(entry, node, node + 2 ** bits);
    this.#taken += 2 ** bits;
    return node;
  }

  /** The entry of a level that says that so much matters. */
  #leaf(level: number, length: number): number {
    if (level > 0) return endOf(length);
    this.#broadEnds[length] ??= this.#take(LEVELS[1].bits, endOf(length));
    return this.#broadEnds[length];
  }

  /** What an entry of a level says; -1 where the node below it does. */
  #lengthOf(entry: number, level: number): number {
    if (level === 0) return this.#broadEnds.indexOf(entry);
    const length = (entry - TABLES_ENDS) / PREFIX_END_WORDS;
    return length < LENGTHS ? length : -1;
  }
}
