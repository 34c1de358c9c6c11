// HOT
// What rules say of each frame of a burst. Flows of plain IPv4, which most frames are, are found by the words of their headers
// (flow-words.ts), without a key: one comparison with the frame before, or one look into the cache of flows (answers.ts).
//
//   plain -> the flow before? -> a known flow? -> TCP and UDP: one of those that no rule tells apart (plain-broad.ts)? -> key -> search
//                                            \-> fragments, other protocols: key -> program.ts
//   other -> key -> program.ts
//
// All of it is the thread's, as answers.ts says.

import { BURST } from "../../mem/batch.ts";
import {
  answerFields,
  answering,
  answers,
  answerTags,
  answerUsed,
  copyAnswer,
  ENTRIES,
  ENTRY_SHIFT,
  forgetAnswers,
  ownEntry,
  placeOf,
  putAnswer,
  roll,
  SETS,
} from "./answers.ts";
import { FLOW_TAG_BITS, FLOW_WAYS } from "./flow-cache.ts";
import { FLOW_SIZE, flowFields, hashes, plains, readFlows } from "./flow-words.ts";
import { slotStart } from "./header-arena.ts";
import { parseKey } from "./parse.ts";
import { askBroad } from "./plain-broad.ts";
import { askColumnsOf, hasColumns } from "./plain-columns.ts";
import type { Plan } from "./plan.ts";
import { decide } from "./program.ts";

const SET_SHIFT = 32 - Math.log2(SETS);
const WAY_SHIFT = Math.log2(FLOW_WAYS);

const [entry0, entry1, entry2, entry3, entry4, entry5, entry6, entry7] = answerFields;
const [flow0, flow1, flow2, flow3, flow4, flow5, flow6, flow7] = flowFields;

/**
 * Of new flows where places are taken: a power of two. What is written lies in a line that nobody had near, and whoever is not kept
 * is answered for little more the next time, too.
 */
const KEPT_ONE_IN = 32;
const NONE = -1;
/** Frames of the burst that have no answer yet; of each the first tag of its flow's set, or NONE, and the tag of another flow with its hash, or NONE. */
const missing = new Int32Array(BURST);
const sets = new Int32Array(BURST);
const twins = new Int32Array(BURST);
/** Those of them that have columns. */
const broads = new Int32Array(BURST);

/** Asks the rules about the first `count` frames of the arena. */
export function askFrames(plan: Plan, count: number): void {
  if (answering.asking !== plan) forget(plan);
  readFlows(plan.arena.judged.length, plan.port, count);
  answering.burst = (answering.burst + 1) | 0;
  const missed = findKnown(count);
  if (missed > 0) askMissing(plan, missed);
}

/** Those of known flows have their answers. Returns how many are missing. Without a call, behind which all of this would have to be found anew. */
function findKnown(count: number): number {
  const { burst, generation } = answering;
  // Of the frame before, if that is of a known flow: its hash and its entry.
  let lastHash = 0;
  let last = -1;
  let flow = 0;
  let missed = 0;
  for (let i = 0; i < count; i++, flow += FLOW_SIZE) {
    const hash = hashes[i];
    if (plains[i] === 0) {
      sets[missed] = NONE;
      missing[missed++] = i;
      last = -1;
      continue;
    }
    if (hash === lastHash && last >= 0 && isFlow(last, flow)) {
      answers[i] = last;
      continue;
    }
    lastHash = hash;
    const tag = (hash & FLOW_TAG_BITS) | generation;
    const set = (hash >>> SET_SHIFT) << WAY_SHIFT;
    const place = placeOf(set, tag);
    const entry = ENTRIES + (place << ENTRY_SHIFT);
    const isTagged = answerTags[place] === tag;
    if (isTagged && isFlow(entry, flow)) {
      answerUsed[entry] = burst;
      last = entry;
      answers[i] = entry;
    } else {
      last = -1;
      missing[missed] = i;
      sets[missed] = set;
      twins[missed] = isTagged ? place : NONE;
      missed++;
    }
  }
  return missed;
}

/** Asks about the first `missed` frames that are missing. */
function askMissing(plan: Plan, missed: number): void {
  let broad = 0;
  for (let k = 0; k < missed; k++) {
    const i = missing[k];
    if (plains[i] !== 0 && hasColumns(i * FLOW_SIZE)) broads[broad++] = i;
    else answers[i] = askKey(plan, i);
  }
  askBroad(plan, broads, broad);
  keepFlows(missed);
}

/**
 * Flows of the missing frames into the cache: where a place is free, and where not, for one in KEPT_ONE_IN. Which way of a set, and which
 * frames of a burst may do that, is the burst's luck: of a frame that is not to be kept a glance at its set is all. Two of one tag would hide
 * one another: so a flow's twin gives way to it, and of a burst's new flows, or frames of one, the first has the place.
 */
function keepFlows(missed: number): void {
  const { burst, generation } = answering;
  const dice = roll();
  const way = dice & (FLOW_WAYS - 1);
  const luck = dice >>> WAY_SHIFT;
  for (let k = 0; k < missed; k++) {
    const set = sets[k];
    if (set === NONE) continue;
    const twin = twins[k];
    const place = twin >= 0 ? twin : set + way;
    const entry = ENTRIES + (place << ENTRY_SHIFT);
    if ((answerTags[place] & ~FLOW_TAG_BITS) === generation) {
      if (twin < 0 && ((k + luck) & (KEPT_ONE_IN - 1)) !== 0) continue;
      if (answerUsed[entry] === burst) continue;
    }
    keep(missing[k], place, entry);
  }
}

function keep(i: number, place: number, entry: number): void {
  const { burst, generation } = answering;
  answerTags[place] = (hashes[i] & FLOW_TAG_BITS) | generation;
  answerUsed[entry] = burst;
  writeFlow(entry, i * FLOW_SIZE);
  copyAnswer(answers[i], entry);
  answers[i] = entry;
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

/** Asks about any frame by its key. Returns the frame's own entry. */
function askKey(plan: Plan, i: number): number {
  const { arena, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  return putAnswer(plan, decide(program), ownEntry(i));
}

/** Cold. Other rules are asked. */
function forget(plan: Plan): void {
  forgetAnswers(plan);
  askColumnsOf(plan.program);
}
