// HOT
// How workers share out the tokens of a shaped port, each of which has queues of its own (queues.ts). Without this, who needs fewer
// tokens for the next frame finds them first, always.
//
//   port, worker   | need | rank | served | - |      shared memory (bridge-memory.ts); a worker writes its own four words only
//
//   need     tokens for the frame that it waits to send; 0: it does not wait
//   rank     that frame's priority; 0 where queues take turns by weights
//   served   tokens that it took so far, free-running: the virtual time of start-time fair queueing (Goyal, Vin, Cheng, 1996)
//
// A worker leaves alone what others need that wait with a higher priority, or with the same and have been served less; what is there
// beyond that is anybody's, so nothing is held for who sleeps but one frame's tokens. Some worker that waits is first of all, so the port
// never stands still. Who comes to a port that others wait at begins level with the one who was served least, else with the one who was
// served most: nobody saves up turns. The words are read without a lock; what is read late costs a frame's worth of fairness, no token.

import { acquire32, publish32 } from "../../mem/access.ts";
import { type Meters, takeTokens, tokensFor, tokensOf } from "../rules/meter.ts";
import { MAX_PORTS } from "../shared.ts";

const SHARE_WORDS = 4;
const NEED = 0;
const RANK = 1;
const SERVED = 2;

/** Bytes, for a switch with so many workers. */
export function sharesSize(workers: number): number {
  return MAX_PORTS * workers * SHARE_WORDS * Int32Array.BYTES_PER_ELEMENT;
}

/** One worker's view of what all have of each port. */
export class Shares {
  constructor(
    /** SHARE_WORDS for each port and worker, a port's together. */
    readonly words: Int32Array,
    readonly workers: number,
    readonly worker: number,
  ) {}
}

/** This worker has frames for `port`, and had none. */
export function joinShares({ worker, workers, words }: Shares, port: number): void {
  const start = port * workers * SHARE_WORDS;
  const own = start + worker * SHARE_WORDS + SERVED;
  let waits = false;
  let level = words[own];
  for (let at = start; at < start + workers * SHARE_WORDS; at += SHARE_WORDS) {
    const served = acquire32(words, at + SERVED);
    if (acquire32(words, at + NEED) > 0) {
      if (!waits || ((served - level) | 0) < 0) level = served;
      waits = true;
    } else if (!waits && ((served - level) | 0) > 0) {
      level = served;
    }
  }
  if (((words[own] - level) | 0) < 0) publish32(words, own, level);
}

/** This worker has no frames for `port` any more. */
export function leaveShares({ worker, workers, words }: Shares, port: number): void {
  publish32(words, (port * workers + worker) * SHARE_WORDS + NEED, 0);
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
  const { worker, workers, words } = shares;
  const own = (port * workers + worker) * SHARE_WORDS;
  if (takeTokens(meters, m, length, reserved(shares, port, rank))) {
    // Plain: a store of each frame's would be seen sooner, and cost a locked instruction.
    words[own + SERVED] = (words[own + SERVED] + tokensOf(meters, m, length)) | 0;
    return true;
  }
  words[own + RANK] = rank;
  publish32(words, own + NEED, tokensFor(meters, m, length));
  return false;
}

/** Tokens that this worker leaves to others, for a frame of this rank. */
function reserved({ worker, workers, words }: Shares, port: number, rank: number): number {
  const start = port * workers * SHARE_WORDS;
  const own = start + worker * SHARE_WORDS;
  const served = words[own + SERVED];
  let sum = 0;
  for (let at = start; at < start + workers * SHARE_WORDS; at += SHARE_WORDS) {
    if (at === own) continue;
    const need = acquire32(words, at + NEED);
    if (need === 0) continue;
    const ahead = words[at + RANK] - rank;
    if (ahead > 0 || (ahead === 0 && ((words[at + SERVED] - served) | 0) < 0)) sum += need;
  }
  return sum;
}
