// Where things lie in the tables of compiled rules: one Int32Array without addresses, so that it can be copied into memory
// that workers share. compile-tables.ts writes it; the generated functions (emit.ts) and program.ts read it.
//
//   header   magic | rules | words in all | first spare tuple, or 0
//   checked  for each word of a key its bits that matter for any key: those that checks look at, and spare tuples
//   words    for each word of a key | cells | shift |: of all slices of that word
//   cells    at `product of the slice >>> shift` a word, in which two bits are set for a slice that some entry has
//   prefixes | source tree | target tree |, then what their ways end in (compile-prefixes.ts); the trees lie behind all else
//   groups   | best rank |, then for each of its tuples | best rank | slots | shift | filter | shift | four indices of slices |
//   filters  the bit at `hash of a tuple's first four slices >>> shift` is set where an entry has these
//   slots    open addressing from `hash of all slices >>> shift`, at least half of them SLOT_EMPTY: | answer | slices |
//   chains   for answers < 0, at ~answer: | rank << 1 | continues | checks, or 0 | … | -1 |
//   checks   ranges that are no prefix: | word | mask | low | high | … | -1 |, compared as signed after flipping bit 31
//
//   spares   | best rank | slots | shift | next spare, or 0 | class mask | class value | slices |, then for each slice
//            | word | mask | shift | multiplier |: tuples of shapes that the source does not know (compile-tables.ts)
//
// A tuple without slices has its answer in place of `slots`. Groups come as the generated functions try them.

import { KEY_WORDS } from "./key.ts";

/** Ranks share a word with a flag, and counters are per rank and worker: 64 K of those are a few MiB. */
export const RULES_MAX = 65_536;
/** What one rule's lists may multiply to. */
export const RULE_ENTRIES_MAX = 4096;
/** Four for each rule; 4 to 44 MiB of tables, by how much of the key they ask for, and up to 32 MiB of trees for prefixes. */
export const ENTRIES_MAX = 262_144;
/** Measured with 867: 290 ns for a new flow, 126 KB of source. */
export const SHAPES_MAX = 1024;
/** A bit of a word for each. */
export const GROUP_TUPLES_MAX = 32;

/** No rule: worse than every rank. */
export const RANK_NONE = RULES_MAX;

export const TABLES_MAGIC = 0x72756c31; // "rul1"
export const TABLES_AT_MAGIC = 0;
export const TABLES_AT_RULES = 1;
export const TABLES_AT_SIZE = 2;
export const TABLES_AT_SPARES = 3;
export const TABLES_CHECKED = 4;
export const TABLES_WORDS = TABLES_CHECKED + KEY_WORDS;

/** A word's cells, and their shift. The two bits of a cell are chosen by the product's bits from 0 and from this one on. */
export const WORD_LENGTH = 2;
export const WORD_CELLS = 0;
export const WORD_SHIFT = 1;
export const SECOND_BIT = 5;
/** Of source and target: where the tree of prefixes begins (compile-prefixes.ts). */
export const TABLES_SOURCES = TABLES_WORDS + WORD_LENGTH * KEY_WORDS;
export const TABLES_TARGETS = TABLES_SOURCES + 1;
/** What those end in: PREFIX_END_WORDS for each length, 0 to 32. */
export const TABLES_ENDS = TABLES_SOURCES + 2;
export const PREFIX_END_WORDS = 16;
export const TABLES_GROUPS = TABLES_ENDS + 33 * PREFIX_END_WORDS;

export const GROUP_BEST = 0;
export const GROUP_TUPLES = 1;

export const TUPLE_BEST = 0;
export const TUPLE_SLOTS = 1;
export const TUPLE_SHIFT = 2;
export const TUPLE_FILTER = 3;
export const TUPLE_FILTER_SHIFT = 4;
export const TUPLE_SLICES = 5;
/** Slices that a tuple's filter is made of; those that are not there have the index behind the last slice. */
export const FILTER_SLICES = 4;
export const TUPLE_LENGTH = TUPLE_SLICES + FILTER_SLICES;

/** A spare tuple begins as the others do. */
export const SPARE_NEXT = 3;
export const SPARE_CLASS_MASK = 4;
export const SPARE_CLASS_VALUE = 5;
export const SPARE_COUNT = 6;
export const SPARE_SLICES = 7;
export const SPARE_SLICE_LENGTH = 4;
/** Each costs every new flow of its class some nanoseconds. */
export const SPARES_MAX = 16;

export const SLOT_EMPTY = 0x7fffffff;
/** Something was there: the search goes on behind it. As an answer it is no rule's. */
export const SLOT_GONE = RANK_NONE << 1;
export const CHAIN_END = -1;
export const CHECK_LENGTH = 4;
export const CHECK_END = -1;
/** Flips bit 31, so that words compare as unsigned by a signed comparison. */
export const SIGN = -0x80000000;
