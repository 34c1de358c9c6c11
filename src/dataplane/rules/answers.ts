// HOT
// What rules say of frames, where it is kept: two caches of plain flows, and a place of its own for each frame of a burst.
//
//   flows     plain-flows.ts: one flow each                      tags, 64 KiB, and 16,384 entries
//   broad     plain-broad.ts: flows that no rule tells apart     tags, 16 KiB, and 4,096 entries
//   own       of this burst's frames that no cache has a place for, and of frames that are not plain
//
//   tags      sets of 4:  generation << 16 | lower half of the hash
//   entry     | 8 words of its cache | used | kinds | class, type | count | rows or ranks … |    a cache line
//
// Of what rules may do, the most is to count and to let pass or drop: such an answer has the rows of its rules' counters, any
// other (ANSWER_RANKS) their ranks. `used` is the burst that met the entry last: what one of its frames is to be judged by stays
// until the burst is over. Sets, tags and generations: flow-cache.ts says why.
//
// All of it is the thread's, as constants of the module (mem/fields.ts). Where a thread runs several plans, as tests do, the caches are the
// one's that asked last.

import { BURST } from "../../mem/batch.ts";
import { fieldViews } from "../../mem/fields.ts";
import { FLOW_GENERATION, FLOW_WAYS } from "./flow-cache.ts";
import { FLOW_SIZE } from "./flow-words.ts";
import { KEY_CLASS, KEY_TYPE } from "./key.ts";
import type { Plan } from "./plan.ts";
import { KIND_ACTS, KIND_FORWARD, KIND_TERMINAL, RANK_KIND, RANK_LENGTH, RANK_ROW } from "./plan-layout.ts";

/** Sets of either cache. */
export const SETS = 4096;
export const BROAD_SETS = 1024;
const COUNT = FLOW_WAYS * SETS;
const BROAD_COUNT = FLOW_WAYS * BROAD_SETS;
export const ENTRY_SHIFT = 4;
const ENTRY_WORDS = 1 << ENTRY_SHIFT;
/** Where the broad cache's tags are; the flow cache's are at 0. */
export const BROAD_TAGS = COUNT;
/** The entry of a tag: this, and the tag's place times ENTRY_WORDS. */
export const ENTRIES = COUNT + BROAD_COUNT;
const OWN = ENTRIES + ENTRIES * ENTRY_WORDS;
// Of kinds: there are ranks, not rows; there are more than an entry has room for, and have to be asked for again.
export const ANSWER_RANKS = 1 << 30;
export const ANSWER_LONG = 1 << 29;
/** The word of an entry that says how many rows or ranks follow. */
export const ANSWERED = 11;
const LISTED_MAX = ENTRY_WORDS - ANSWERED - 1;
const CLASS_BITS = 0xffff0000 | 0;

/** Where the answer for each frame of the burst is. */
export const answers = new Int32Array(BURST);
/** Tags and entries. */
export const answerWords = new Int32Array(OWN + BURST * ENTRY_WORDS);
export const answerFields = fieldViews(answerWords, ENTRY_WORDS);
/** The burst that met an entry last. */
export const answerUsed = answerFields[FLOW_SIZE];
/** What the rules of the answer do, or-ed (plan-layout.ts); classes of the key, and below them the type in the frame; the word ANSWERED. */
export const [answerKinds, answerClass, answerCount, listed0, listed1, listed2, listed3] = answerFields.slice(
  FLOW_SIZE + 1,
);
/** By place. */
export const [answerTags] = answerFields;
const [, tag1, tag2, tag3] = answerFields;

/** What changes. `burst` is a number for each burst. */
export const answering = { asking: null as Plan | null, generation: FLOW_GENERATION, burst: 0, dice: 1 };

/** Cold. Forgets all entries: other rules ask. Once in 65,535 times that takes clearing the tags. */
export function forgetAnswers(plan: Plan): void {
  answering.asking = plan;
  answering.generation = (answering.generation + FLOW_GENERATION) | 0;
  if (answering.generation !== 0) return;
  answerWords.fill(0, 0, ENTRIES);
  answering.generation = FLOW_GENERATION;
}

/** The entry of frame `i` itself. */
export function ownEntry(i: number): number {
  return OWN + (i << ENTRY_SHIFT);
}

/** 16 bits, others each time. */
export function roll(): number {
  answering.dice = (Math.imul(answering.dice, 1664525) + 1013904223) | 0;
  return answering.dice >>> 16;
}

/** The tag of `set`, which is its first, that is `tag`; where none is, the first. A set's tags differ from one another, so no branch is needed. */
export function placeOf(set: number, tag: number): number {
  return (
    set +
    (Math.clz32(tag1[set] ^ tag) >>> 5) +
    ((Math.clz32(tag2[set] ^ tag) >>> 5) << 1) +
    (Math.clz32(tag3[set] ^ tag) >>> 5) * 3
  );
}

/** Writes what the answer at `from` in the program's words comes to, for its key, into the entry at `to`. Returns that. */
export function putAnswer(plan: Plan, from: number, to: number): number {
  const { program, ranks } = plan;
  const { key, flows } = program;
  const count = flows[from];
  answerClass[to] = (key[KEY_CLASS] & CLASS_BITS) | (key[KEY_TYPE] >>> 16);
  answerCount[to] = count;
  if (count > LISTED_MAX) {
    answerKinds[to] = ANSWER_RANKS | ANSWER_LONG;
    return to;
  }
  let kinds = 0;
  for (let k = 1; k <= count; k++) kinds |= ranks[flows[from + k] * RANK_LENGTH + RANK_KIND];
  if ((kinds & KIND_ACTS) !== 0 || (kinds & KIND_TERMINAL) === KIND_FORWARD) {
    answerKinds[to] = kinds | ANSWER_RANKS;
    for (let k = 1; k <= count; k++) answerWords[to + ANSWERED + k] = flows[from + k];
  } else {
    answerKinds[to] = kinds;
    for (let k = 1; k <= count; k++) answerWords[to + ANSWERED + k] = ranks[flows[from + k] * RANK_LENGTH + RANK_ROW];
  }
  return to;
}

/** The answer of one entry into another. */
export function copyAnswer(from: number, to: number): void {
  answerKinds[to] = answerKinds[from];
  answerClass[to] = answerClass[from];
  answerCount[to] = answerCount[from];
  listed0[to] = listed0[from];
  listed1[to] = listed1[from];
  listed2[to] = listed2[from];
  listed3[to] = listed3[from];
}
