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
  answerUsed,
  BROAD_SETS,
  BROAD_TAGS,
  ENTRIES,
  ENTRY_SHIFT,
  ownEntry,
  putAnswer,
  takeEntry,
} from "./answers.ts";
import { FLOW_TAG_BITS, FLOW_WAYS } from "./flow-cache.ts";
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
// The tags of a set.
const [tag0, tag1, tag2, tag3] = answerFields;
/** Of each entry. */
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
  // Without a branch, as in plain-flows.ts.
  const way =
    (Math.clz32(tag1[set] ^ tag) >>> 5) +
    ((Math.clz32(tag2[set] ^ tag) >>> 5) << 1) +
    (Math.clz32(tag3[set] ^ tag) >>> 5) * 3;
  const place = set + way;
  const entry = ENTRIES + (place << ENTRY_SHIFT);
  const isTagged = tag0[place] === tag;
  if (isTagged && hasColumns(entry, k * FLOW_SIZE) && entryMatter[place - BROAD_TAGS] === portsMatter[k]) {
    answerUsed[entry] = answering.burst;
    return entry;
  }
  return search(plan, i, k, set, tag, isTagged ? place : -1);
}

/** First what mostly differs between flows. */
function hasColumns(entry: number, at: number): boolean {
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
