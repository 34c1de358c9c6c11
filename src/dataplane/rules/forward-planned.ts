// HOT
// `forward` where there are rules: every frame is judged by its private header, changed as its rules say, and listed for the
// ports it goes to.
//
//   fetched burst -> header-arena (private headers) -> plain-flows (what rules say)
//       -> apply-actions (rewrite, mirror, meter, log) -> plan-verdict (where to) -> lists per port -> deliver
//
// Each step is a loop of its own over the burst: small loops are what the engine compiles well. Frames of bad sources meet no
// rule (as in classify.ts).

import { type Batch, BURST } from "../../mem/batch.ts";
import { DROP_BAD_SOURCE, DROP_LINK_DOWN, DROP_OFFLOAD } from "../../mem/counters.ts";
import { dropConverted, type Fallback, keepConverted } from "../fallback.ts";
import { deliverTo } from "../forward.ts";
import { MAX_PORTS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import {
  ANSWER_LONG,
  ANSWER_RANKS,
  ANSWERED,
  answerClass,
  answerCount,
  answerKinds,
  answers,
  answerWords,
} from "./answers.ts";
import { applyActions, kindsOf } from "./apply-actions.ts";
import { beginBurst, isBadSource } from "./burst.ts";
import { headerFields, SLOT_WORDS, slotStart, takeBurst } from "./header-arena.ts";
import { reachesHeader } from "./offload-guard.ts";
import { parseKey } from "./parse.ts";
import { askFrames } from "./plain-flows.ts";
import type { Plan } from "./plan.ts";
import { ROW_BYTES, ROW_FRAMES, ROW_LAST_S, ROW_LENGTH } from "./plan-layout.ts";
import { list, settle } from "./plan-verdict.ts";
import { decide } from "./program.ts";

const NOT_SETTLED = -1;
const TYPE_BITS = 0xffff;

/** Addresses. */
const [word0, word1, word2] = headerFields;

/** Forwards the frames of `batch`, which came in on `port`, by the rules of `plan`; `counters` are the in-lane's. */
export function forwardPlanned(
  tables: Tables,
  fallback: Fallback,
  plan: Plan,
  batch: Batch,
  port: number,
  counters: Float64Array,
): void {
  if (tables.control[SharedState.portWord(port, PORT_UP)] === 0) {
    counters[DROP_LINK_DOWN] += batch.count;
    return;
  }
  const { arena } = plan;
  const { judged } = arena;
  beginBurst(tables, plan, port, counters);
  takeBurst(arena);
  askFrames(plan, batch.count);
  judgeFrames(tables, plan, batch.count);
  const { listCount, lists } = tables;
  keepConverted(fallback);
  for (let k = 0; k < tables.floodCount; k++) {
    const out = tables.floodPorts[k];
    const count = listCount[out];
    if (count === 0) continue;
    const list = lists[out];
    listCount[out] = 0;
    deliverTo(tables, fallback, judged, out, list, Math.min(count, BURST));
    if (count <= BURST) continue;
    list.copyWithin(0, BURST, count);
    deliverTo(tables, fallback, judged, out, list, count - BURST);
  }
  dropConverted(fallback);
  if (plan.anyMirrored !== 0) {
    plan.anyMirrored = 0;
    plan.mirrored.fill(0);
  }
}

/** Lists every frame for the ports it goes to, or counts why there is none. */
function judgeFrames(tables: Tables, plan: Plan, count: number): void {
  const { anyNeeds, length, needs } = plan.arena.judged;
  const { counters, nowS } = plan;
  const { listCount, lists, outCount } = tables;
  // Of the last frame that was settled here: its addresses, how its search ended, its verdict, and whether that is a port that takes it.
  let last0 = 0;
  let last1 = 0;
  let last2 = 0;
  let ended = NOT_SETTLED;
  let verdict = 0;
  let takes = false;
  let longest = 0;
  tables.longest = 0;
  let at = slotStart(0) >> 2;
  for (let i = 0; i < count; i++, at += SLOT_WORDS) {
    const answer = answers[i];
    const kinds = answerKinds[answer];
    const isSame = kinds === ended && word0[at] === last0 && word1[at] === last1 && word2[at] === last2;
    if (!isSame && isBadSource(word1[at], word2[at])) {
      plan.laneCounters[DROP_BAD_SOURCE]++;
      continue;
    }
    if (anyNeeds !== 0 && needs[i] !== 0 && isForged(plan, i)) continue;
    if (!isSame) {
      ended = NOT_SETTLED;
      if ((kinds & ANSWER_RANKS) !== 0) {
        judgeByRanks(tables, plan, i);
        continue;
      }
      last0 = word0[at];
      last1 = word1[at];
      last2 = word2[at];
      verdict = settle(tables, plan, i, kinds, last1, last2);
      takes = verdict >= 0 && verdict < MAX_PORTS && outCount[verdict] > 0;
      ended = kinds;
    }
    const size = length[i];
    longest = Math.max(longest, size);
    const end = answer + ANSWERED + answerCount[answer];
    for (let k = answer + ANSWERED + 1; k <= end; k++) {
      const row = answerWords[k] * ROW_LENGTH;
      counters[row + ROW_FRAMES]++;
      counters[row + ROW_BYTES] += size;
      counters[row + ROW_LAST_S] = nowS;
    }
    if (takes) lists[verdict][listCount[verdict]++] = i;
    else list(tables, plan, i, verdict);
  }
  tables.longest = Math.max(tables.longest, longest);
}

/**
 * Whether what frame `i` needs of its receivers would change what rules have looked at. Such a frame is counted as dropped, and nothing is
 * learned of it.
 */
function isForged(plan: Plan, i: number): boolean {
  const word = answerClass[answers[i]];
  plan.classes = word;
  plan.type = word & TYPE_BITS;
  if (!reachesHeader(plan, i)) return false;
  plan.laneCounters[DROP_OFFLOAD]++;
  return true;
}

/** Judges frame `i`, to which rules do something, or send it by name. */
function judgeByRanks(tables: Tables, plan: Plan, i: number): void {
  const { length } = plan.arena.judged;
  const at = answers[i];
  plan.answers = answerWords;
  plan.answer = at + ANSWERED;
  plan.classes = answerClass[at];
  if ((answerKinds[at] & ANSWER_LONG) !== 0) askAgain(plan, i);
  plan.kinds = kindsOf(plan);
  // Of both forms: it may have a tag less, or more.
  tables.longest = Math.max(tables.longest, length[i]);
  list(tables, plan, i, act(tables, plan, i));
  tables.longest = Math.max(tables.longest, length[i]);
}

/** An answer that was too long to keep: it holds until the next one is asked for. */
function askAgain(plan: Plan, i: number): void {
  const { arena, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  plan.answer = decide(program);
  plan.answers = program.flows;
}

/** Runs the actions for frame `i`. Returns its verdict. */
function act(tables: Tables, plan: Plan, i: number): number {
  const { words } = plan.arena;
  const word = slotStart(i) >> 2;
  const source1 = words[word + 1];
  const source2 = words[word + 2];
  const outcome = applyActions(plan, tables, i);
  return outcome < 0 ? outcome : settle(tables, plan, i, outcome, source1, source2);
}
