// HOT
// What the rules that a frame met do to it: counters, rewriting, copies, meters, the log; and how the search for rules ended.
//
//   decide() -> flows: [2 | rank 4, rank 17]
//                           |        '-- set-vlan 7, forward 3     kinds or-ed: is there more to do than to end?
//                           '-- mirror 9, continue
//
// In the order of ranks, and of a rule's actions. A copy for a mirror, and what the log shows, is the frame as it was received,
// whatever was rewritten before: where both are asked for, that form is kept first (header-arena.ts). A frame that exceeds a
// meter is gone: what comes behind neither sees nor counts it. A port gets one mirrored copy of a frame, however many rules
// ask for it, and none of frames that came from it.

import { BURST } from "../../mem/batch.ts";
import { COPIES, DROP_METER } from "../../mem/counters.ts";
import { tapRule } from "../bridge/tap.ts";
import { PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { dropVerdict } from "../verdict.ts";
import { publishEvent, reserveEvent } from "./event-ring.ts";
import { type HeaderArena, keepForm } from "./header-arena.ts";
import { passMeter } from "./meter.ts";
import { MIRRORED_ALL, type Plan } from "./plan.ts";
import {
  KIND_ACTS,
  KIND_CONTINUE,
  KIND_KEEPS,
  KIND_REWRITES,
  KIND_TERMINAL,
  OP_END,
  OP_FORWARD,
  OP_LOG,
  OP_METER,
  OP_MIRROR,
  OP_SET_DESTINATION,
  OP_SET_DSCP,
  OP_SET_SOURCE,
  OP_SET_VLAN,
  OP_STRIP_VLAN,
  RANK_ACTIONS,
  RANK_ID,
  RANK_KIND,
  RANK_LENGTH,
  RANK_ROW,
  ROW_BYTES,
  ROW_FRAMES,
  ROW_LAST_S,
  ROW_LENGTH,
} from "./plan-layout.ts";
import { setDestination, setDscp, setSource, setVlan, stripVlan } from "./rewrite.ts";

/** Records of logged frames in a worker's ring: rule, port, length of the frame, bytes of it that follow, those bytes. */
export const EVENT_LOGGED = 1;
export const LOGGED_HEADER_SIZE = 16;

const EXCEEDED = dropVerdict(DROP_METER);

/** What the rules of the plan's answer do, or-ed. */
export function kindsOf(plan: Plan): number {
  const { answer, answers, ranks } = plan;
  const end = answer + answers[answer];
  let kinds = 0;
  for (let at = answer + 1; at <= end; at++) kinds |= ranks[answers[at] * RANK_LENGTH + RANK_KIND];
  return kinds;
}

/** Counts frames, `bytes` long together, that met the rules of the answer and had nothing done to them. */
export function countAnswer(plan: Plan, frames: number, bytes: number): void {
  const { answer, answers, ranks } = plan;
  const end = answer + answers[answer];
  for (let at = answer + 1; at <= end; at++) count(plan, ranks[answers[at] * RANK_LENGTH + RANK_ROW], frames, bytes);
}

/** Where the ports of the FORWARD that ended the answer stand in `plan.actions`, their count first. */
export function forwardList(plan: Plan): number {
  const { actions, answer, answers, ranks } = plan;
  const last = answers[answer + answers[answer]] * RANK_LENGTH;
  let at = ranks[last + RANK_ACTIONS];
  while (actions[at] !== OP_FORWARD) at += 1 + operands(actions[at]);
  return at + 1;
}

function operands(op: number): number {
  if (op === OP_STRIP_VLAN) return 0;
  return op === OP_SET_VLAN || op === OP_SET_SOURCE || op === OP_SET_DESTINATION ? 2 : 1;
}

function count(plan: Plan, index: number, frames: number, bytes: number): void {
  const { counters } = plan;
  const row = index * ROW_LENGTH;
  counters[row + ROW_FRAMES] += frames;
  counters[row + ROW_BYTES] += bytes;
  counters[row + ROW_LAST_S] = plan.nowS;
}

/**
 * Does what the rules of the answer say to frame `i`. Returns a KIND_* terminal (KIND_CONTINUE: no rule decided), or a drop
 * verdict.
 */
export function applyActions(plan: Plan, tables: Tables, i: number): number {
  const { answer, answers, arena, kinds, ranks } = plan;
  const length = arena.judged.length[i];
  const end = answer + answers[answer];
  let received = i;
  // A bridge changes frames, too: it takes tags off and puts others on.
  if ((kinds & KIND_KEEPS) !== 0 && ((kinds & KIND_REWRITES) !== 0 || plan.bridge !== null)) {
    keepForm(arena, i);
  }
  if (arena.kept === i) received = BURST + i;
  const taps = plan.bridge === null ? null : plan.bridge.taps;
  let kind = KIND_CONTINUE;
  for (let at = answer + 1; at <= end; at++) {
    const rank = answers[at] * RANK_LENGTH;
    kind = ranks[rank + RANK_KIND];
    count(plan, ranks[rank + RANK_ROW], 1, length);
    if (taps !== null) tapRule(plan, taps, received, ranks[rank + RANK_ID]);
    if ((kind & KIND_ACTS) === 0) continue;
    const verdict = runActions(plan, tables, i, received, rank, length);
    if (verdict !== 0) return verdict;
  }
  return kind & KIND_TERMINAL;
}

/** The actions of one rule. Returns 0, or the verdict that drops the frame. */
function runActions(plan: Plan, tables: Tables, i: number, received: number, rank: number, length: number): number {
  const { actions, arena, ranks } = plan;
  let at = ranks[rank + RANK_ACTIONS];
  for (let op = actions[at]; op !== OP_END && op !== OP_FORWARD; op = actions[at]) {
    const operand = actions[at + 1];
    let reason = 0;
    if (op === OP_MIRROR) mirror(plan, tables, i, received, operand);
    else if (op === OP_METER) {
      if (!passMeter(plan.meters, operand, length)) return EXCEEDED;
    } else if (op === OP_LOG) sample(plan, rank, received, operand);
    else if (op === OP_SET_VLAN) reason = setVlan(arena, i, operand, actions[at + 2]);
    else if (op === OP_STRIP_VLAN) reason = stripVlan(arena, i);
    else if (op === OP_SET_SOURCE) setSource(arena, i, operand, actions[at + 2]);
    else if (op === OP_SET_DESTINATION) setDestination(arena, i, operand, actions[at + 2]);
    else if (op === OP_SET_DSCP) setDscp(arena, i, plan.classes, operand);
    if (reason !== 0) return dropVerdict(reason);
    at += 1 + operands(op);
  }
  return 0;
}

function mirror(plan: Plan, tables: Tables, i: number, received: number, out: number): void {
  const { mirrored } = plan;
  if (out === plan.port || mirrored[out] === i + 1 || mirrored[out] === MIRRORED_ALL) return;
  if (tables.outCount[out] === 0 || tables.control[SharedState.portWord(out, PORT_UP)] === 0) return;
  mirrored[out] = i + 1;
  plan.anyMirrored = 1;
  tables.lists[out][tables.listCount[out]++] = received;
  plan.laneCounters[COPIES]++;
}

/** Puts one in `every` frames of a rule into the worker's ring, by the rule's own count at this worker. */
function sample(plan: Plan, rank: number, received: number, every: number): void {
  const { arena, ranks, ring } = plan;
  const frames = plan.counters[ranks[rank + RANK_ROW] * ROW_LENGTH + ROW_FRAMES];
  if ((frames - 1) % every !== 0) return;
  const { judged } = arena;
  const s = judged.first[received];
  const size = judged.pool.length[s];
  const to = reserveEvent(ring, EVENT_LOGGED, LOGGED_HEADER_SIZE + size);
  if (to < 0) return;
  const word = to >> 2;
  ring.words[word] = ranks[rank + RANK_ID];
  ring.words[word + 1] = plan.port;
  ring.words[word + 2] = judged.length[received];
  ring.words[word + 3] = size;
  copyHead(arena, judged.pool.offset[s], ring.words, word + (LOGGED_HEADER_SIZE >> 2), size);
  publishEvent(ring);
}

/** The frame begins at a multiple of 4, and behind it there is room for the rest of its last word, in the record too. */
function copyHead(arena: HeaderArena, from: number, to: Int32Array, word: number, size: number): void {
  const { words } = arena;
  const shift = (from >> 2) - word;
  const end = word + ((size + 3) >> 2);
  for (let at = word; at < end; at++) to[at] = words[at + shift];
}
