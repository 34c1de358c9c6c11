// HOT
// What rules say of each frame of a burst. Flows of plain IPv4, which most frames are, are found by the words of their headers as
// they lie in the arena, without a key: one comparison with the frame before, or one look into a cache. One per worker.
//
//   tags      sets of 4:  generation << 16 | lower half of the hash                          64 KiB
//   entries   | 8 words of header | used | kinds | class, type | count | rows or ranks … |   a cache line each, 1 MiB
//   own       entries of this burst's frames that the cache has no place for, and of frames that are not plain
//
//   header    0 1 2 addresses   3 protocol, in-port, fragment   4 5 addresses, a port   6 addresses, a port   7 TCP flags, TOS
//
// Of what rules may do, the most is to count and to let pass or drop: such an answer has the rows of its rules' counters, any
// other (ANSWER_RANKS) their ranks. `used` is the burst that met the entry last: what one of its frames is to be judged by stays
// until the burst is over. What plain is, and which bits count: plain-header.ts. Hashes and places: flow-cache.ts says why.

import { BURST } from "../../mem/batch.ts";
import { FLOW_GENERATION, FLOW_MIXER, FLOW_TAG_BITS, FLOW_WAYS, TAKE_OVER_ONE_IN } from "./flow-cache.ts";
import { SLOT_WORDS, slotStart } from "./header-arena.ts";
import { KEY_CLASS, KEY_TYPE } from "./key.ts";
import { parseKey } from "./parse.ts";
import { FRAGMENT_PROTOCOL_BITS, flagBits, HIGH_HALF, isPlain, LOW_HALF } from "./plain-header.ts";
import type { Plan } from "./plan.ts";
import { KIND_ACTS, KIND_FORWARD, KIND_TERMINAL, RANK_KIND, RANK_LENGTH, RANK_ROW } from "./plan-layout.ts";
import { decide, decideApart } from "./program.ts";

const SETS = 4096;
const COUNT = FLOW_WAYS * SETS;
const ENTRIES = COUNT;
const ENTRY_SHIFT = 4;
const ENTRY_WORDS = 1 << ENTRY_SHIFT;
const OWN = ENTRIES + COUNT * ENTRY_WORDS;
const SET_SHIFT = 32 - Math.log2(SETS);
const WAY_SHIFT = Math.log2(FLOW_WAYS);
const HEADER_WORDS = 8;
const USED = 8;
/** What the rules of the answer do, or-ed (plan-layout.ts). */
export const ANSWER_KINDS = 9;
/** Classes of the key, and below them the type in the frame. */
export const ANSWER_CLASS = 10;
/** How many rows or ranks follow. */
export const ANSWER_COUNT = 11;
const LISTED_MAX = ENTRY_WORDS - ANSWER_COUNT - 1;
// Of kinds: there are ranks, not rows; there are more than an entry has room for, and have to be asked for again.
export const ANSWER_RANKS = 1 << 30;
export const ANSWER_LONG = 1 << 29;

const CLASS_BITS = 0xffff0000 | 0;

export class PlainFlows {
  readonly words = new Int32Array(OWN + BURST * ENTRY_WORDS);
  /** Where the answer for each frame of the burst is in `words`. */
  readonly answers = new Int32Array(BURST);
  readonly seeds = crypto.getRandomValues(new Int32Array(HEADER_WORDS)).map((seed) => seed | 1);
  generation = FLOW_GENERATION;
  burst = 0;
  dice = 1;

  /** Cold. Forgets all entries: the rules are others. Once in 65,535 times that takes clearing the tags. */
  forget(): void {
    this.generation = (this.generation + FLOW_GENERATION) | 0;
    if (this.generation !== 0) return;
    this.words.fill(0, 0, COUNT);
    this.generation = FLOW_GENERATION;
  }
}

/** Asks the rules about the first `count` frames of the arena. */
export function askFrames(plan: Plan, count: number): void {
  const { arena, plain, port } = plan;
  const { words } = arena;
  const { length } = arena.judged;
  const { answers, generation, seeds, words: flows } = plain;
  plain.burst = (plain.burst + 1) | 0;
  const { burst } = plain;
  const inPort = port << 16;
  // The entry of the frame before, if that is plain.
  let last = -1;
  let at = slotStart(0) >> 2;
  for (let i = 0; i < count; i++, at += SLOT_WORDS) {
    if (!isPlain(words, at, length[i])) {
      answers[i] = askKey(plan, i);
      last = -1;
      continue;
    }
    const word5 = words[at + 5];
    const h0 = words[at];
    const h1 = words[at + 1];
    const h2 = words[at + 2];
    const h3 = (word5 & FRAGMENT_PROTOCOL_BITS) | inPort;
    const h4 = words[at + 7];
    const h5 = words[at + 8];
    const h6 = (words[at + 6] & HIGH_HALF) | (words[at + 9] & LOW_HALF);
    const h7 = (words[at + 11] & flagBits(word5)) | (words[at + 3] >>> 24);
    if (last >= 0 && hasHeader(flows, last, h0, h1, h2, h3, h4, h5, h6, h7)) {
      answers[i] = last;
      continue;
    }
    // Upper halves are folded in: two words that differ in bit 31 alone would cancel out under any seeds.
    const sum =
      (Math.imul(h0 ^ (h0 >>> 16), seeds[0]) +
        Math.imul(h1 ^ (h1 >>> 16), seeds[1]) +
        Math.imul(h2 ^ (h2 >>> 16), seeds[2]) +
        Math.imul(h3 ^ (h3 >>> 16), seeds[3]) +
        Math.imul(h4 ^ (h4 >>> 16), seeds[4]) +
        Math.imul(h5 ^ (h5 >>> 16), seeds[5]) +
        Math.imul(h6 ^ (h6 >>> 16), seeds[6]) +
        Math.imul(h7 ^ (h7 >>> 16), seeds[7])) |
      0;
    const hash = Math.imul(sum ^ (sum >>> 15), FLOW_MIXER);
    const tag = (hash & FLOW_TAG_BITS) | generation;
    const set = (hash >>> SET_SHIFT) << WAY_SHIFT;
    // Which of the four has the tag, without a branch: a set's tags differ from one another. Where none has, the first.
    const way =
      (Math.clz32(flows[set + 1] ^ tag) >>> 5) +
      ((Math.clz32(flows[set + 2] ^ tag) >>> 5) << 1) +
      (Math.clz32(flows[set + 3] ^ tag) >>> 5) * 3;
    const entry = ENTRIES + ((set + way) << ENTRY_SHIFT);
    const isTagged = flows[set + way] === tag;
    if (isTagged && hasHeader(flows, entry, h0, h1, h2, h3, h4, h5, h6, h7)) {
      flows[entry + USED] = burst;
      last = entry;
    } else {
      last = askFlow(plan, i, set, tag, isTagged ? set + way : -1);
      writeHeader(flows, last, h0, h1, h2, h3, h4, h5, h6, h7);
    }
    answers[i] = last;
  }
}

/** First what mostly differs between flows. */
function hasHeader(
  flows: Int32Array,
  at: number,
  h0: number,
  h1: number,
  h2: number,
  h3: number,
  h4: number,
  h5: number,
  h6: number,
  h7: number,
): boolean {
  return (
    flows[at + 5] === h5 &&
    flows[at + 4] === h4 &&
    flows[at + 6] === h6 &&
    flows[at + 7] === h7 &&
    flows[at + 3] === h3 &&
    flows[at + 2] === h2 &&
    flows[at + 1] === h1 &&
    flows[at] === h0
  );
}

function writeHeader(
  flows: Int32Array,
  at: number,
  h0: number,
  h1: number,
  h2: number,
  h3: number,
  h4: number,
  h5: number,
  h6: number,
  h7: number,
): void {
  flows[at] = h0;
  flows[at + 1] = h1;
  flows[at + 2] = h2;
  flows[at + 3] = h3;
  flows[at + 4] = h4;
  flows[at + 5] = h5;
  flows[at + 6] = h6;
  flows[at + 7] = h7;
}

/** Asks about a plain frame of an unknown flow. Returns the entry with the answer; its header words are still to be written. */
function askFlow(plan: Plan, i: number, set: number, tag: number, twin: number): number {
  const { arena, plain, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  const from = decideApart(program);
  const entry = takeEntry(plain, i, set, tag, twin);
  return putAnswer(plan, from, entry);
}

/** Asks about a frame that is not plain. */
function askKey(plan: Plan, i: number): number {
  const { arena, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  return putAnswer(plan, decide(program), OWN + (i << ENTRY_SHIFT));
}

/**
 * The place for a new flow of `set`: of the cache, its tag written, or the frame's own. `twin` is the tag of another flow with this
 * hash, or -1: two of them in one set would hide one another.
 */
function takeEntry(plain: PlainFlows, i: number, set: number, tag: number, twin: number): number {
  const { burst, generation, words } = plain;
  plain.dice = (Math.imul(plain.dice, 1664525) + 1013904223) | 0;
  const dice = plain.dice >>> 16;
  const own = OWN + (i << ENTRY_SHIFT);
  const place = twin >= 0 ? twin : set + (dice & (FLOW_WAYS - 1));
  const entry = ENTRIES + (place << ENTRY_SHIFT);
  if ((words[place] & ~FLOW_TAG_BITS) === generation) {
    if (twin < 0 && (dice >>> WAY_SHIFT) % TAKE_OVER_ONE_IN !== 0) return own;
    if (words[entry + USED] === burst) return own;
  }
  words[place] = tag;
  words[entry + USED] = burst;
  return entry;
}

/** Writes what the answer at `from` in the program's words comes to, into the entry at `to`. Returns that. */
function putAnswer(plan: Plan, from: number, to: number): number {
  const { plain, program, ranks } = plan;
  const { key, flows } = program;
  const { words } = plain;
  const count = flows[from];
  words[to + ANSWER_CLASS] = (key[KEY_CLASS] & CLASS_BITS) | (key[KEY_TYPE] >>> 16);
  words[to + ANSWER_COUNT] = count;
  if (count > LISTED_MAX) {
    words[to + ANSWER_KINDS] = ANSWER_RANKS | ANSWER_LONG;
    return to;
  }
  let kinds = 0;
  for (let k = 1; k <= count; k++) kinds |= ranks[flows[from + k] * RANK_LENGTH + RANK_KIND];
  if ((kinds & KIND_ACTS) !== 0 || (kinds & KIND_TERMINAL) === KIND_FORWARD) {
    words[to + ANSWER_KINDS] = kinds | ANSWER_RANKS;
    for (let k = 1; k <= count; k++) words[to + ANSWER_COUNT + k] = flows[from + k];
  } else {
    words[to + ANSWER_KINDS] = kinds;
    for (let k = 1; k <= count; k++) words[to + ANSWER_COUNT + k] = ranks[flows[from + k] * RANK_LENGTH + RANK_ROW];
  }
  return to;
}
