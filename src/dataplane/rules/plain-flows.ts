// HOT
// What rules say of each frame of a burst. Flows of plain IPv4, which most frames are, are found by the words of their headers
// (flow-words.ts), without a key: one comparison with the frame before, or one look into a cache.
//
//   tags      sets of 4:  generation << 16 | lower half of the hash                          64 KiB
//   entries   | 8 words of flow | used | kinds | class, type | count | rows or ranks … |   a cache line each, 1 MiB
//   own       entries of this burst's frames that the cache has no place for, and of frames that are not plain
//
// Of what rules may do, the most is to count and to let pass or drop: such an answer has the rows of its rules' counters, any
// other (ANSWER_RANKS) their ranks. `used` is the burst that met the entry last: what one of its frames is to be judged by stays
// until the burst is over. Hashes and places: flow-cache.ts says why.
//
// All of it is the thread's, as constants of the module (mem/fields.ts). Where a thread runs several plans, as tests do, the cache is the
// one's that asked last.

import { BURST } from "../../mem/batch.ts";
import { fieldViews } from "../../mem/fields.ts";
import { FLOW_GENERATION, FLOW_TAG_BITS, FLOW_WAYS, TAKE_OVER_ONE_IN } from "./flow-cache.ts";
import { FLOW_SIZE, flowFields, hashes, plains, readFlows } from "./flow-words.ts";
import { slotStart } from "./header-arena.ts";
import { KEY_CLASS, KEY_TYPE } from "./key.ts";
import { parseKey } from "./parse.ts";
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
const fields = fieldViews(answerWords, ENTRY_WORDS);
const [entry0, entry1, entry2, entry3, entry4, entry5, entry6, entry7, used] = fields;
/** What the rules of the answer do, or-ed (plan-layout.ts); classes of the key, and below them the type in the frame; the word ANSWERED. */
export const [answerKinds, answerClass, answerCount] = fields.slice(FLOW_SIZE + 1);
const [flow0, flow1, flow2, flow3, flow4, flow5, flow6, flow7] = flowFields;
// The tags of a set.
const [tag0, tag1, tag2, tag3] = fields;

/** What changes. `burst` is a number for each burst. */
export const plainFlows = { asking: null as Plan | null, generation: FLOW_GENERATION, burst: 0, dice: 1 };

/** Cold. Forgets all entries: other rules ask. Once in 65,535 times that takes clearing the tags. */
function forget(plan: Plan): void {
  plainFlows.asking = plan;
  plainFlows.generation = (plainFlows.generation + FLOW_GENERATION) | 0;
  if (plainFlows.generation !== 0) return;
  answerWords.fill(0, 0, COUNT);
  plainFlows.generation = FLOW_GENERATION;
}

/** Asks the rules about the first `count` frames of the arena. */
export function askFrames(plan: Plan, count: number): void {
  if (plainFlows.asking !== plan) forget(plan);
  readFlows(plan.arena.judged.length, plan.port, count);
  const burst = (plainFlows.burst + 1) | 0;
  plainFlows.burst = burst;
  const { generation } = plainFlows;
  // Of the frame before, if that is plain: its hash and its entry.
  let lastHash = 0;
  let last = -1;
  let flow = 0;
  for (let i = 0; i < count; i++, flow += FLOW_SIZE) {
    if (plains[i] === 0) {
      answers[i] = askKey(plan, i);
      last = -1;
      continue;
    }
    const hash = hashes[i];
    if (hash === lastHash && last >= 0 && isFlow(last, flow)) {
      answers[i] = last;
      continue;
    }
    lastHash = hash;
    const tag = (hash & FLOW_TAG_BITS) | generation;
    const set = (hash >>> SET_SHIFT) << WAY_SHIFT;
    // Which of the four has the tag, without a branch: a set's tags differ from one another. Where none has, the first.
    const way =
      (Math.clz32(tag1[set] ^ tag) >>> 5) +
      ((Math.clz32(tag2[set] ^ tag) >>> 5) << 1) +
      (Math.clz32(tag3[set] ^ tag) >>> 5) * 3;
    const entry = ENTRIES + ((set + way) << ENTRY_SHIFT);
    const isTagged = tag0[set + way] === tag;
    if (isTagged && isFlow(entry, flow)) {
      used[entry] = burst;
      last = entry;
    } else {
      last = askFlow(plan, i, set, tag, isTagged ? set + way : -1);
    }
    answers[i] = last;
  }
}

/** Whether the entry is that of a flow. First what mostly differs between flows. */
function isFlow(entry: number, flow: number): boolean {
  return (
    entry5[entry] === flow5[flow] &&
    entry4[entry] === flow4[flow] &&
    entry6[entry] === flow6[flow] &&
    entry7[entry] === flow7[flow] &&
    entry3[entry] === flow3[flow] &&
    entry2[entry] === flow2[flow] &&
    entry1[entry] === flow1[flow] &&
    entry0[entry] === flow0[flow]
  );
}

function writeFlow(entry: number, flow: number): void {
  entry0[entry] = flow0[flow];
  entry1[entry] = flow1[flow];
  entry2[entry] = flow2[flow];
  entry3[entry] = flow3[flow];
  entry4[entry] = flow4[flow];
  entry5[entry] = flow5[flow];
  entry6[entry] = flow6[flow];
  entry7[entry] = flow7[flow];
}

/** Asks about a plain frame of an unknown flow. Returns the entry with the answer. */
function askFlow(plan: Plan, i: number, set: number, tag: number, twin: number): number {
  const { arena, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  const from = decideApart(program);
  const entry = takeEntry(i, set, tag, twin);
  writeFlow(entry, i * FLOW_SIZE);
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
function takeEntry(i: number, set: number, tag: number, twin: number): number {
  const { burst, generation } = plainFlows;
  plainFlows.dice = (Math.imul(plainFlows.dice, 1664525) + 1013904223) | 0;
  const dice = plainFlows.dice >>> 16;
  const own = OWN + (i << ENTRY_SHIFT);
  const place = twin >= 0 ? twin : set + (dice & (FLOW_WAYS - 1));
  const entry = ENTRIES + (place << ENTRY_SHIFT);
  if ((tag0[place] & ~FLOW_TAG_BITS) === generation) {
    if (twin < 0 && (dice >>> WAY_SHIFT) % TAKE_OVER_ONE_IN !== 0) return own;
    if (used[entry] === burst) return own;
  }
  tag0[place] = tag;
  used[entry] = burst;
  return entry;
}

/** Writes what the answer at `from` in the program's words comes to, into the entry at `to`. Returns that. */
function putAnswer(plan: Plan, from: number, to: number): number {
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
