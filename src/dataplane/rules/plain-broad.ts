// HOT
// Flows of plain IPv4 that no rule tells apart: they have one answer. Asked where the cache of flows (plain-flows.ts) does not know
// one; under a flood of new flows, that is every frame.
//
//   frames -> columns (plain-columns.ts) -> an entry with the same -> its answer
//                                       \-> key -> search -> an entry, if there is a place
//
// An entry's words are the columns; which bits of its ports matter is beside the cache. All of it is the thread's, as answers.ts says.

import {
  answerFields,
  answering,
  answers,
  answerTags,
  answerUsed,
  BROAD_SETS,
  BROAD_TAGS,
  ENTRIES,
  ENTRY_SHIFT,
  ownEntry,
  placeOf,
  putAnswer,
  roll,
} from "./answers.ts";
import { FLOW_TAG_BITS, FLOW_WAYS, TAKE_OVER_ONE_IN } from "./flow-cache.ts";
import { FLOW_SIZE } from "./flow-words.ts";
import { slotStart } from "./header-arena.ts";
import { parseKey } from "./parse.ts";
import { columnFields, columnHashes, portsMatter, readColumns } from "./plain-columns.ts";
import type { Plan } from "./plan.ts";
import { decideAlone } from "./program.ts";

const SET_SHIFT = 32 - Math.log2(BROAD_SETS);
const WAY_SHIFT = Math.log2(FLOW_WAYS);
const [column0, column1, column2, column3, column4, column5, column6, column7] = columnFields;
const [entry0, entry1, entry2, entry3, entry4, entry5, entry6, entry7] = answerFields;
/** Of each entry: which bits of its ports matter. */
const entryMatter = new Int32Array(FLOW_WAYS * BROAD_SETS);

/** Asks the rules about `frames`, the first `count` of them, all of which have columns. */
export function askBroad(plan: Plan, frames: Int32Array, count: number): void {
  readColumns(plan.program, plan.arena.view, frames, count);
  for (let k = 0; k < count; k++) answers[frames[k]] = lookUp(plan, frames[k], k);
}

/** The entry that has what rules say of frame `i`, the k-th that is asked about. */
function lookUp(plan: Plan, i: number, k: number): number {
  const hash = columnHashes[k];
  const tag = (hash & FLOW_TAG_BITS) | answering.generation;
  const set = BROAD_TAGS + ((hash >>> SET_SHIFT) << WAY_SHIFT);
  const place = placeOf(set, tag);
  const entry = ENTRIES + (place << ENTRY_SHIFT);
  const isTagged = answerTags[place] === tag;
  if (isTagged && sameColumns(entry, k * FLOW_SIZE) && entryMatter[place - BROAD_TAGS] === portsMatter[k]) {
    answerUsed[entry] = answering.burst;
    return entry;
  }
  return search(plan, i, k, set, tag, isTagged ? place : -1);
}

/** First what mostly differs between flows. */
function sameColumns(entry: number, at: number): boolean {
  return (
    entry4[entry] === column4[at] &&
    entry6[entry] === column6[at] &&
    entry5[entry] === column5[at] &&
    entry3[entry] === column3[at] &&
    entry7[entry] === column7[at] &&
    entry2[entry] === column2[at] &&
    entry1[entry] === column1[at] &&
    entry0[entry] === column0[at]
  );
}

function search(plan: Plan, i: number, k: number, set: number, tag: number, twin: number): number {
  const { arena, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], plan.port, program.key);
  const from = decideAlone(program);
  const entry = takeEntry(set, tag, twin);
  if (entry < 0) return putAnswer(plan, from, ownEntry(i));
  const at = k * FLOW_SIZE;
  entry0[entry] = column0[at];
  entry1[entry] = column1[at];
  entry2[entry] = column2[at];
  entry3[entry] = column3[at];
  entry4[entry] = column4[at];
  entry5[entry] = column5[at];
  entry6[entry] = column6[at];
  entry7[entry] = column7[at];
  entryMatter[((entry - ENTRIES) >> ENTRY_SHIFT) - BROAD_TAGS] = portsMatter[k];
  return putAnswer(plan, from, entry);
}

/**
 * An entry for what is new in `set`, its tag written, or -1; where places are taken for one in TAKE_OVER_ONE_IN. `twin` is the tag of another one that has this hash, or -1: two of
 * them in one set would hide one another.
 */
function takeEntry(set: number, tag: number, twin: number): number {
  const { burst, generation } = answering;
  const dice = roll();
  const place = twin >= 0 ? twin : set + (dice & (FLOW_WAYS - 1));
  const entry = ENTRIES + (place << ENTRY_SHIFT);
  if ((answerTags[place] & ~FLOW_TAG_BITS) === generation) {
    if (twin < 0 && (dice >>> WAY_SHIFT) % TAKE_OVER_ONE_IN !== 0) return -1;
    if (answerUsed[entry] === burst) return -1;
  }
  answerTags[place] = tag;
  answerUsed[entry] = burst;
  return entry;
}
