// HOT
// How workers share out the tokens of a shaped port, each of which has queues of its own (queues.ts). Without this, who needs fewer
// tokens for the next frame finds them first, always.
//
//   port, worker   | need | rank | ranks | - | served, 8 doubles |      shared memory (bridge-memory.ts); a worker writes its own only
//
//   need     tokens for the frame that it waits to send; 0: it does not wait
//   rank     that frame's priority; 0 where queues take turns by weights
//   ranks    one bit for each rank that it has frames of
//   served   for each rank, tokens that it took so far: the virtual time of start-time fair queueing (Goyal, Vin, Cheng, 1996). What went first
//            by its priority is not held against what comes later, so each rank has its own. Doubles: 32 bits of bytes are 17 s of 1 Gbit/s
//
// A worker leaves alone what others need that wait with a higher priority, or with the same and have been served less; what is there
// beyond that is anybody's, so nothing is held for who sleeps but one frame's tokens. Some worker that waits is first of all, so the port
// never stands still. Who comes to a rank that others have frames of begins level with the one who was served least, else with the one who was
// served most: nobody saves up turns. The words are read without a lock; what is read late costs a frame's worth of fairness, no token.

import { acquire32, publish32 } from "../../mem/access.ts";
import { type Meters, takeTokens, tokensFor, tokensOf } from "../rules/meter.ts";
import { MAX_PORTS } from "../shared.ts";
import { PRIORITIES } from "./priority.ts";

const NEED = 0;
const RANK = 1;
const RANKS = 2;
/** In doubles. */
const SERVED = 2;
const SHARE_DOUBLES = SERVED + PRIORITIES;
const SHARE_WORDS = 2 * SHARE_DOUBLES;

/** Bytes, for a switch with so many workers. */
export function sharesSize(workers: number): number {
  return MAX_PORTS * workers * SHARE_WORDS * Int32Array.BYTES_PER_ELEMENT;
}

/** One worker's view of what all have of each port. */
export class Shares {
  /** The same memory. */
  readonly doubles: Float64Array;

  constructor(
    /** SHARE_WORDS for each port and worker, a port's together. */
    readonly words: Int32Array,
    readonly workers: number,
    readonly worker: number,
  ) {
    this.doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1);
  }
}

/** This worker has frames of this rank for `port`, and had none. */
function joinRank({ doubles, worker, workers, words }: Shares, port: number, rank: number): void {
  const start = port * workers * SHARE_WORDS;
  const own = start + worker * SHARE_WORDS;
  const bit = 1 << rank;
  let waits = false;
  let level = servedOf(doubles, own, rank);
  for (let at = start; at < start + workers * SHARE_WORDS; at += SHARE_WORDS) {
    const has = (acquire32(words, at + RANKS) & bit) !== 0;
    const served = servedOf(doubles, at, rank);
    if (has) {
      if (!waits || served < level) level = served;
      waits = true;
    } else if (!waits && served > level) {
      level = served;
    }
  }
  if (servedOf(doubles, own, rank) < level) doubles[(own >> 1) + SERVED + rank] = level;
  publish32(words, own + RANKS, words[own + RANKS] | bit);
}

/** This worker has no frames of this rank for `port` any more. */
export function leaveRank({ worker, workers, words }: Shares, port: number, rank: number): void {
  const own = (port * workers + worker) * SHARE_WORDS;
  publish32(words, own + RANKS, words[own + RANKS] & ~(1 << rank));
}

/** It has none at all. */
export function leaveShares({ worker, workers, words }: Shares, port: number): void {
  const own = (port * workers + worker) * SHARE_WORDS;
  publish32(words, own + NEED, 0);
  publish32(words, own + RANKS, 0);
}

function servedOf(doubles: Float64Array, at: number, rank: number): number {
  return doubles[(at >> 1) + SERVED + rank];
}

/** Takes tokens of meter `m` for a frame of `length` bytes and this rank; where there are none for it, says to the others that it waits. */
export function takeShare(
  shares: Shares,
  port: number,
  meters: Meters,
  m: number,
  length: number,
  rank: number,
): boolean {
  const { doubles, worker, workers, words } = shares;
  const own = (port * workers + worker) * SHARE_WORDS;
  if ((words[own + RANKS] & (1 << rank)) === 0) joinRank(shares, port, rank);
  if (takeTokens(meters, m, length, reserved(shares, port, rank))) {
    // Plain: a store of each frame's would be seen sooner, and cost a locked instruction.
    doubles[(own >> 1) + SERVED + rank] += tokensOf(meters, m, length);
    return true;
  }
  words[own + RANK] = rank;
  publish32(words, own + NEED, tokensFor(meters, m, length));
  return false;
}

/** Tokens that this worker leaves to others, for a frame of this rank. */
function reserved({ doubles, worker, workers, words }: Shares, port: number, rank: number): number {
  const start = port * workers * SHARE_WORDS;
  const own = start + worker * SHARE_WORDS;
  const served = servedOf(doubles, own, rank);
  let sum = 0;
  for (let at = start; at < start + workers * SHARE_WORDS; at += SHARE_WORDS) {
    if (at === own) continue;
    const need = acquire32(words, at + NEED);
    if (need === 0) continue;
    const ahead = words[at + RANK] - rank;
    if (ahead > 0 || (ahead === 0 && servedOf(doubles, at, rank) < served)) sum += need;
  }
  return sum;
}
