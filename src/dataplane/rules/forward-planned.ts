// HOT
// `forward` where there are rules: every frame is judged by its private header, changed as its rules say, and listed for the
// ports it goes to.
//
//   fetched burst -> header-arena (private headers) -> flow-memo (known flow?), else parse (key) -> decide (ranks)
//       -> apply-actions (rewrite, mirror, meter, log) -> allow: learn, look up | forward | flood | drop -> lists -> deliver
//
// Where rules do nothing to a frame but decide, frames of one flow that follow one another share a verdict, and are counted once.
//
// The frame's source is learned as it was received, unless the frame is dropped by a rule or a meter; where an allowed frame
// goes is looked up by the destination that it has by then. Frames of bad sources meet no rule (as in classify.ts). Every
// copy is counted where it is listed, so the law of the switch holds: rx + copies = tx + drops.

import { type Batch, BURST } from "../../mem/batch.ts";
import {
  COPIES,
  DROP_BAD_SOURCE,
  DROP_LINK_DOWN,
  DROP_NO_DESTINATION,
  DROP_OFFLOAD,
  DROP_RULE,
} from "../../mem/counters.ts";
import { destination, isReserved, RESERVED } from "../classify.ts";
import type { Fallback } from "../fallback.ts";
import { fdbLearn } from "../fdb.ts";
import { FDB_KNOWN } from "../fdb-layout.ts";
import { deliverTo, flood } from "../forward.ts";
import { CLOCK_S, MAX_PORTS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { dropCounter, dropVerdict, VERDICT_FLOOD } from "../verdict.ts";
import { applyActions, countAnswer, forwardList, kindsOf } from "./apply-actions.ts";
import {
  isOf,
  isPlain,
  MEMO_ANSWER,
  MEMO_CLASSES,
  MEMO_KINDS,
  MEMO_TURN,
  MEMO_VERDICT,
  runLength,
  slotOf,
  takeSlot,
} from "./flow-memo.ts";
import { SLOT_WORDS, slotStart, takeBurst } from "./header-arena.ts";
import { KEY_CLASS, KEY_TYPE } from "./key.ts";
import { beginTurn } from "./meter.ts";
import { reachesHeader } from "./offload-guard.ts";
import { parseKey } from "./parse.ts";
import type { Plan } from "./plan.ts";
import { KIND_ACTS, KIND_DROP, KIND_FLOOD, KIND_FORWARD, KIND_TERMINAL } from "./plan-layout.ts";
import { decide } from "./program.ts";

// Beside the verdicts of verdict.ts: to the ports of a forward action that has several; to be found for each frame, since
// rules do more to it than to decide.
const VERDICT_LIST = MAX_PORTS;
const VERDICT_ACTS = MAX_PORTS + 1;
const BAD_SOURCE = dropVerdict(DROP_BAD_SOURCE);
const BY_RULE = dropVerdict(DROP_RULE);
const NO_DESTINATION = dropVerdict(DROP_NO_DESTINATION);

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
  plan.port = port;
  plan.nowS = tables.control[CLOCK_S];
  plan.laneCounters = counters;
  plan.sourceLo = 0;
  plan.sourceHi = 0;
  newTurn(plan);
  beginTurn(plan.meters);
  takeBurst(arena);
  judge(tables, plan, batch.count);
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

/** Lists every frame for the ports it goes to, or counts why there is none. Frames of one flow in a row are one run. */
function judge(tables: Tables, plan: Plan, count: number): void {
  const { arena } = plan;
  const { words } = arena;
  const { anyNeeds, length } = arena.judged;
  tables.longest = 0;
  for (let i = 0; i < count; ) {
    const at = slotStart(i) >> 2;
    const plain = isPlain(words, at, length[i]);
    const run = plain ? runLength(words, at, SLOT_WORDS, length, i, count) : 1;
    const end = i + run;
    const verdict = openFlow(tables, plan, i, plain);
    if (verdict === VERDICT_ACTS || anyNeeds !== 0) for (; i < end; i++) judgeOne(tables, plan, i, verdict);
    else {
      listRun(tables, plan, i, end, verdict);
      i = end;
    }
  }
}

/** Lists frames `i` to `end`, which have one verdict and nothing done to them. */
function listRun(tables: Tables, plan: Plan, i: number, end: number, verdict: number): void {
  const { length } = plan.arena.judged;
  let longest = tables.longest;
  let bytes = 0;
  for (let k = i; k < end; k++) {
    bytes += length[k];
    longest = Math.max(longest, length[k]);
  }
  tables.longest = longest;
  if (verdict !== BAD_SOURCE) countAnswer(plan, end - i, bytes);
  if (verdict >= 0 && verdict < MAX_PORTS && tables.outCount[verdict] > 0) {
    const out = tables.lists[verdict];
    let n = tables.listCount[verdict];
    for (let k = i; k < end; k++) out[n++] = k;
    tables.listCount[verdict] = n;
  } else if (verdict < VERDICT_FLOOD) plan.laneCounters[dropCounter(verdict)] += end - i;
  else for (let k = i; k < end; k++) list(tables, plan, k, verdict);
}

/** A frame that rules do something to, or that needs something of its receiver. */
function judgeOne(tables: Tables, plan: Plan, i: number, verdict: number): void {
  const { length, needs } = plan.arena.judged;
  if (verdict !== BAD_SOURCE && needs[i] !== 0 && reachesHeader(plan, i)) {
    plan.laneCounters[DROP_OFFLOAD]++;
    return;
  }
  if (verdict !== VERDICT_ACTS) {
    listRun(tables, plan, i, i + 1, verdict);
    return;
  }
  // Of both forms: it may have a tag less, or more.
  tables.longest = Math.max(tables.longest, length[i]);
  list(tables, plan, i, act(tables, plan, i));
  tables.longest = Math.max(tables.longest, length[i]);
}

/** Finds what rules say of frame `i` and those of its flow. Returns their verdict. */
function openFlow(tables: Tables, plan: Plan, i: number, plain: boolean): number {
  const { arena, memo, port } = plan;
  const { words } = arena;
  const at = slotStart(i) >> 2;
  if (!plain) return isBadSource(words[at + 1], words[at + 2]) ? BAD_SOURCE : ask(tables, plan, i);
  const slots = memo.words;
  const slot = slotOf(memo, words, at);
  if (isOf(slots, slot, words, at, port)) {
    plan.answers = slots;
    plan.answer = slot + MEMO_ANSWER;
    plan.kinds = slots[slot + MEMO_KINDS];
    plan.classes = slots[slot + MEMO_CLASSES];
    if (slots[slot + MEMO_TURN] === plan.turn) return slots[slot + MEMO_VERDICT];
    return note(plan, slot, verdictOf(tables, plan, i));
  }
  if (isBadSource(words[at + 1], words[at + 2])) return BAD_SOURCE;
  const verdict = ask(tables, plan, i);
  if (takeSlot(slots, slot, words, at, port, plan.answers, plan.answer)) {
    slots[slot + MEMO_KINDS] = plan.kinds;
    slots[slot + MEMO_CLASSES] = plan.classes;
    note(plan, slot, verdict);
  }
  return verdict;
}

/** Keeps a verdict: it holds for a burst, as long as no address is learned. */
function note(plan: Plan, slot: number, verdict: number): number {
  const slots = plan.memo.words;
  slots[slot + MEMO_TURN] = plan.turn;
  slots[slot + MEMO_VERDICT] = verdict;
  return verdict;
}

/** Asks the rules about frame `i`. Returns its verdict. */
function ask(tables: Tables, plan: Plan, i: number): number {
  const { arena, program } = plan;
  const { key } = program;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], plan.port, key);
  plan.answer = decide(program);
  plan.answers = program.flows;
  plan.kinds = kindsOf(plan);
  plan.classes = key[KEY_CLASS];
  plan.type = key[KEY_TYPE] >>> 16;
  return verdictOf(tables, plan, i);
}

/** A group address, or zero. */
function isBadSource(word1: number, word2: number): boolean {
  return (word1 & 0x10000) !== 0 || ((word1 >>> 16) | word2) === 0;
}

/** The verdict on frame `i` and those like it, where rules do nothing but decide. */
function verdictOf(tables: Tables, plan: Plan, i: number): number {
  const { kinds } = plan;
  if ((kinds & KIND_ACTS) !== 0) return VERDICT_ACTS;
  const { words } = plan.arena;
  const word = slotStart(i) >> 2;
  return settle(tables, plan, i, kinds & KIND_TERMINAL, words[word + 1], words[word + 2]);
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

/** The verdict that a terminal action leads to. Learns the source, whose words those are, unless it is a drop. */
function settle(tables: Tables, plan: Plan, i: number, terminal: number, source1: number, source2: number): number {
  if (terminal === KIND_DROP) return BY_RULE;
  const { arena, nowS, port } = plan;
  const sourceLo = (source1 >>> 16) | (source2 << 16);
  const sourceHi = source2 >>> 16;
  if (sourceLo !== plan.sourceLo || sourceHi !== plan.sourceHi) {
    // What was looked up before may be elsewhere now.
    if (fdbLearn(tables.fdb, sourceLo, sourceHi, port, nowS) !== FDB_KNOWN) newTurn(plan);
    plan.sourceLo = sourceLo;
    plan.sourceHi = sourceHi;
  }
  if (terminal === KIND_FORWARD) return forwardVerdict(tables, plan);
  const { judged, words } = arena;
  const word = judged.pool.offset[judged.first[i]] >> 2;
  const lo = words[word];
  const hi = words[word + 1] & 0xffff;
  if (terminal === KIND_FLOOD) return isReserved(lo, hi) ? RESERVED : VERDICT_FLOOD;
  if (lo !== plan.lo || hi !== plan.hi) {
    plan.toward = destination(tables, lo, hi, port, nowS);
    plan.lo = lo;
    plan.hi = hi;
  }
  return plan.toward;
}

/** Verdicts of before have to be found anew. */
function newTurn(plan: Plan): void {
  plan.turn = (plan.turn + 1) | 0;
  plan.hi = -1;
}

function forwardVerdict(tables: Tables, plan: Plan): number {
  const { actions } = plan;
  const at = forwardList(plan);
  if (actions[at] !== 1) return VERDICT_LIST;
  return isUp(tables, actions[at + 1]) ? actions[at + 1] : NO_DESTINATION;
}

function isUp(tables: Tables, port: number): boolean {
  return tables.outCount[port] > 0 && tables.control[SharedState.portWord(port, PORT_UP)] !== 0;
}

/** Lists frame `i` as its verdict says. */
function list(tables: Tables, plan: Plan, i: number, verdict: number): void {
  const { laneCounters } = plan;
  if (verdict === VERDICT_LIST) listAll(tables, plan, i);
  else if (verdict === VERDICT_FLOOD) flood(tables, i, plan.port, laneCounters);
  else if (verdict < 0) laneCounters[dropCounter(verdict)]++;
  else if (tables.outCount[verdict] > 0) tables.lists[verdict][tables.listCount[verdict]++] = i;
  else (tables.outCounters[verdict] ?? laneCounters)[DROP_LINK_DOWN]++;
}

/** Lists frame `i` for the ports of a forward action that are up, even the one it came from. */
function listAll(tables: Tables, plan: Plan, i: number): void {
  const { actions, laneCounters } = plan;
  const { listCount, lists } = tables;
  const at = forwardList(plan);
  const end = at + actions[at];
  let copies = -1;
  for (let k = at + 1; k <= end; k++) {
    const out = actions[k];
    if (!isUp(tables, out)) continue;
    lists[out][listCount[out]++] = i;
    copies++;
  }
  if (copies < 0) laneCounters[DROP_NO_DESTINATION]++;
  else laneCounters[COPIES] += copies;
}
