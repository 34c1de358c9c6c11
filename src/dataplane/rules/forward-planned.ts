// HOT
// `forward` where there are rules: every frame is judged by its private header, changed as its rules say, and listed for the
// ports it goes to.
//
//   fetched burst -> header-arena (private headers) -> flow-runs (frames of one flow in a row) -> parse (key) -> decide (ranks)
//       -> apply-actions (rewrite, mirror, meter, log) -> plan-verdict (where to) -> lists per port -> deliver
//
// Each step is a loop of its own over the burst: small loops are what the engine compiles well. Asked rule by rule and frame by
// frame in one loop, the same cost half as much again. Frames of bad sources meet no rule (as in classify.ts).

import { type Batch, BURST } from "../../mem/batch.ts";
import { DROP_BAD_SOURCE, DROP_LINK_DOWN, DROP_OFFLOAD } from "../../mem/counters.ts";
import type { Fallback } from "../fallback.ts";
import { deliverTo } from "../forward.ts";
import { MAX_PORTS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { applyActions, countAnswer, countRank, kindsOf } from "./apply-actions.ts";
import { beginBurst, isBadSource } from "./burst.ts";
import { ANSWER_LONG, ANSWER_WORDS, findRuns } from "./flow-runs.ts";
import { slotStart, takeBurst } from "./header-arena.ts";
import { KEY_CLASS, KEY_TYPE } from "./key.ts";
import { reachesHeader } from "./offload-guard.ts";
import { parseKey } from "./parse.ts";
import type { Plan } from "./plan.ts";
import { KIND_ACTS, KIND_TERMINAL } from "./plan-layout.ts";
import { list, settle } from "./plan-verdict.ts";
import { decide } from "./program.ts";

// What a run has met, in a rank's place.
const NO_RULE = -1;
const SEVERAL = -2;

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
  findRuns(plan.runs, arena, batch.count);
  askRuns(plan);
  judgeRuns(tables, plan);
  const { listCount, lists } = tables;
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
  if (plan.anyMirrored !== 0) {
    plan.anyMirrored = 0;
    plan.mirrored.fill(0);
  }
}

/** Asks the rules about each run. */
function askRuns(plan: Plan): void {
  const { arena, port, program, runs } = plan;
  const { view } = arena;
  const { length } = arena.judged;
  const { answers, classes, start, type } = runs;
  const { key } = program;
  for (let r = 0; r < runs.count; r++) {
    const i = start[r];
    const at = slotStart(i);
    parseKey(view, at, length[i], port, key);
    const answer = decide(program);
    const { flows } = program;
    const count = flows[answer];
    const to = r * ANSWER_WORDS;
    classes[r] = key[KEY_CLASS];
    type[r] = key[KEY_TYPE] >>> 16;
    answers[to] = count < ANSWER_WORDS ? count : ANSWER_LONG;
    for (let k = count < ANSWER_WORDS ? count : 0; k > 0; k--) answers[to + k] = flows[answer + k];
  }
}

/**
 * Lists every frame for the ports it goes to, or counts why there is none. A run that meets the same one rule as the run before,
 * or none as that, between the same stations, goes where that went, and is counted together with it.
 */
function judgeRuns(tables: Tables, plan: Plan): void {
  const { arena, runs } = plan;
  const { words } = arena;
  const { length } = arena.judged;
  const { answers, start } = runs;
  const { listCount, lists } = tables;
  let before = 0;
  let met = SEVERAL;
  let out = -1;
  let frames = 0;
  let bytes = 0;
  let longest = 0;
  tables.longest = 0;
  for (let r = 0; r < runs.count; r++) {
    const at = slotStart(start[r]) >> 2;
    const answer = r * ANSWER_WORDS;
    const meets = answers[answer] === 1 ? answers[answer + 1] : answers[answer] === 0 ? NO_RULE : SEVERAL;
    const isSame =
      out >= 0 &&
      meets === met &&
      words[at] === words[before] &&
      words[at + 1] === words[before + 1] &&
      words[at + 2] === words[before + 2];
    if (!isSame) {
      if (met >= 0 && frames > 0) countRank(plan, met, frames, bytes);
      frames = 0;
      bytes = 0;
      before = at;
      met = meets;
      out = judgeRun(tables, plan, r);
      if (out < 0) continue;
    }
    const end = start[r + 1];
    const port = lists[out];
    let n = listCount[out];
    for (let k = start[r]; k < end; k++) {
      port[n++] = k;
      bytes += length[k];
      longest = Math.max(longest, length[k]);
    }
    listCount[out] = n;
    frames += end - start[r];
  }
  if (met >= 0 && frames > 0) countRank(plan, met, frames, bytes);
  tables.longest = Math.max(tables.longest, longest);
}

/**
 * Judges run `r`. Returns the port that takes it, where it meets one rule at most and that does nothing but decide; the caller lists
 * and counts it then. Else -1: all is done.
 */
function judgeRun(tables: Tables, plan: Plan, r: number): number {
  const { arena, runs } = plan;
  const { words } = arena;
  const { answers, classes, start, type } = runs;
  const i = start[r];
  const end = start[r + 1];
  const at = slotStart(i) >> 2;
  if (isBadSource(words[at + 1], words[at + 2])) {
    plan.laneCounters[DROP_BAD_SOURCE] += end - i;
    return -1;
  }
  plan.answers = answers;
  plan.answer = r * ANSWER_WORDS;
  plan.classes = classes[r];
  plan.type = type[r];
  if (answers[plan.answer] === ANSWER_LONG) askAgain(plan, i);
  const kinds = kindsOf(plan);
  plan.kinds = kinds;
  if ((kinds & KIND_ACTS) !== 0 || arena.judged.anyNeeds !== 0) {
    judgeSingly(tables, plan, i, end);
    return -1;
  }
  const verdict = settle(tables, plan, i, kinds & KIND_TERMINAL, words[at + 1], words[at + 2]);
  const isPort = verdict >= 0 && verdict < MAX_PORTS && tables.outCount[verdict] > 0;
  if (isPort && answers[r * ANSWER_WORDS] >= 0 && answers[r * ANSWER_WORDS] <= 1) return verdict;
  listRun(tables, plan, i, end, verdict);
  return -1;
}

/** An answer that was too long to keep: it holds until the next one is asked for. */
function askAgain(plan: Plan, i: number): void {
  const { arena, port, program } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], port, program.key);
  plan.answer = decide(program);
  plan.answers = program.flows;
}

/** Counts and lists frames `i` to `end`, which have one verdict and nothing done to them. */
function listRun(tables: Tables, plan: Plan, i: number, end: number, verdict: number): void {
  const { length } = plan.arena.judged;
  let bytes = 0;
  for (let k = i; k < end; k++) {
    bytes += length[k];
    tables.longest = Math.max(tables.longest, length[k]);
    list(tables, plan, k, verdict);
  }
  countAnswer(plan, end - i, bytes);
}

/** Frames `i` to `end` of a run, to which rules do something, or some of which need something of their receivers. */
function judgeSingly(tables: Tables, plan: Plan, i: number, end: number): void {
  const { length, needs } = plan.arena.judged;
  const { words } = plan.arena;
  for (let k = i; k < end; k++) {
    if (needs[k] !== 0 && reachesHeader(plan, k)) {
      plan.laneCounters[DROP_OFFLOAD]++;
      continue;
    }
    if ((plan.kinds & KIND_ACTS) === 0) {
      const at = slotStart(k) >> 2;
      const verdict = settle(tables, plan, k, plan.kinds & KIND_TERMINAL, words[at + 1], words[at + 2]);
      listRun(tables, plan, k, k + 1, verdict);
      continue;
    }
    // Of both forms: it may have a tag less, or more.
    tables.longest = Math.max(tables.longest, length[k]);
    list(tables, plan, k, act(tables, plan, k));
    tables.longest = Math.max(tables.longest, length[k]);
  }
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
