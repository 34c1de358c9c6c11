// Frames put where rules judge them; what the caches of plain flows keep for them (answers.ts), and what rules say of a frame's key, in the
// same form: so that one can be held against the other.

import {
  ANSWER_LONG,
  ANSWER_RANKS,
  ANSWERED,
  answerClass,
  answerCount,
  answerKinds,
  answers,
  answerWords,
} from "../../../src/dataplane/rules/answers.ts";
import { slotStart } from "../../../src/dataplane/rules/header-arena.ts";
import { HEADER_BYTES, KEY_CLASS, KEY_TYPE } from "../../../src/dataplane/rules/key.ts";
import { parseKey } from "../../../src/dataplane/rules/parse.ts";
import type { Plan } from "../../../src/dataplane/rules/plan.ts";
import { RANK_LENGTH, RANK_ROW } from "../../../src/dataplane/rules/plan-layout.ts";
import { decide } from "../../../src/dataplane/rules/program.ts";

/** Rows or ranks that an entry has room for. */
const LISTED_MAX = 4;

interface Answer {
  word: number;
  /** Rows of counters, or ranks; of an answer that is too long to keep, none. */
  listed: readonly number[] | "too long";
}

/** Lays frames where takeBurst would have; behind each there is noise. */
export function lay({ arena }: Plan, frames: readonly Uint8Array[]): void {
  for (const [i, bytes] of frames.entries()) {
    arena.bytes.fill(0x77, slotStart(i), slotStart(i) + HEADER_BYTES);
    arena.bytes.set(bytes.subarray(0, HEADER_BYTES), slotStart(i));
    arena.judged.length[i] = bytes.length;
  }
}

/** What is kept for frame `i`. */
export function keptAnswer(i: number): Answer {
  const at = answers[i];
  const isLong = (answerKinds[at] & ANSWER_LONG) !== 0;
  const listed = [...answerWords.subarray(at + ANSWERED + 1, at + ANSWERED + 1 + answerCount[at])];
  return { word: answerClass[at], listed: isLong ? "too long" : listed };
}

/** What rules say of frame `i`, whose header is in the arena, asked by its key. Ask for what is kept first. */
export function askedAnswer(plan: Plan, i: number): Answer {
  const { arena, program, ranks } = plan;
  parseKey(arena.view, slotStart(i), arena.judged.length[i], plan.port, program.key);
  const from = decide(program);
  const asked = [...program.flows.subarray(from + 1, from + 1 + program.flows[from])];
  const word = (program.key[KEY_CLASS] & ~0xffff) | (program.key[KEY_TYPE] >>> 16);
  if (asked.length > LISTED_MAX) return { word, listed: "too long" };
  const byRank = (answerKinds[answers[i]] & ANSWER_RANKS) !== 0;
  return { word, listed: byRank ? asked : asked.map((rank) => ranks[rank * RANK_LENGTH + RANK_ROW]) };
}
