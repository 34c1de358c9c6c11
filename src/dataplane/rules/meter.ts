// HOT
// Meters: token buckets that rules and workers share, in shared memory. A token is a byte or a frame.
//
//   bucket (one cache line)   0 tokens | 1 refill lock | 2-3 when it was filled last (ms, a double) | 4 what they are | ...
//
// Taking tokens is one compare-and-swap, so workers never wait for one another. Filling happens at most once per burst and
// meter, by whoever gets the lock first; the others go on with what is there. What is less than a token stays in the
// time of the last filling, so nothing is lost by filling often. A frame larger than the whole bucket passes when that is
// full, and leaves a debt: the rate holds, and a super-frame is not refused for ever.
// The clock is read once per burst, and only where a frame meets a meter. Buckets outlive plans, what they hold with them: up to the burst
// of now, and unless a token is something else by now. Bytes saved up or owed are no frames, of which there may be ten a second.

import { acquire32 } from "../../mem/access.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES, ROW_LENGTH } from "./plan-layout.ts";

const TOKENS = 0;
const LOCK = 1;
const FILLED = 1;
const KIND = 4;
const BUCKET_WORDS = 16;
const BUCKET_DOUBLES = 8;
export const BUCKET_SIZE = BUCKET_WORDS * 4;
/** Most tokens that a bucket holds: 2 GiB of frames. */
export const TOKENS_MAX = 0x7fffffff;
/** Each failure is another worker's success; more in a row than workers could cause are not waited for. */
const MAX_TRIES = 256;

/** Numbers of one meter in a plan, as doubles. */
export const METER_LENGTH = 4;
export const METER_BUCKET = 0;
/** 1: a token is a byte, 0: a frame. */
export const METER_BYTES = 1;
export const METER_PER_MS = 2;
export const METER_BURST = 3;

/** performance.now() counts from the start of its thread, but all threads have to tell the same time. */
const ORIGIN_MS = performance.timeOrigin;

/** The meters of one plan at one worker. */
export class Meters {
  /** Time of this burst, -1 while nobody has asked. */
  nowMs = -1;
  /** Number of the burst, and of the one in which each meter was filled last. */
  turn = 0;
  readonly filled: Int32Array;

  constructor(
    /** METER_LENGTH numbers each. */
    readonly specs: Float64Array,
    /** All buckets, as words and as doubles. */
    readonly words: Int32Array,
    readonly doubles: Float64Array,
    /** This worker's counters: a row for each bucket. */
    readonly counters: Float64Array,
  ) {
    this.filled = new Int32Array(specs.length / METER_LENGTH);
  }
}

/** A burst begins; `nowMs` is given by tests. */
export function beginTurn(meters: Meters, nowMs = -1): void {
  meters.turn = (meters.turn + 1) | 0;
  meters.nowMs = nowMs;
}

/** Takes what a frame of `length` bytes costs from meter `m` and counts it. Returns whether it was there. */
export function passMeter(meters: Meters, m: number, length: number): boolean {
  const { counters, specs } = meters;
  const row = (specs[m * METER_LENGTH + METER_BUCKET] | 0) * ROW_LENGTH;
  counters[row + ROW_FRAMES]++;
  counters[row + ROW_BYTES] += length;
  const passes = takeTokens(meters, m, length);
  if (!passes) counters[row + ROW_DROPPED]++;
  return passes;
}

/** The same without counting, for a frame that may ask again; so many tokens stay behind in any case. */
export function takeTokens(meters: Meters, m: number, length: number, left = 0): boolean {
  const { specs, words } = meters;
  const spec = m * METER_LENGTH;
  const bucket = specs[spec + METER_BUCKET] | 0;
  if (meters.filled[m] !== meters.turn) {
    meters.filled[m] = meters.turn;
    if (meters.nowMs < 0) meters.nowMs = ORIGIN_MS + performance.now();
    fill(meters, spec, bucket);
  }
  const cost = tokensOf(meters, m, length);
  return take(words, bucket * BUCKET_WORDS + TOKENS, cost, Math.min(cost, specs[spec + METER_BURST]) + left);
}

/** Tokens that a frame of `length` bytes takes. */
export function tokensOf({ specs }: Meters, m: number, length: number): number {
  return specs[m * METER_LENGTH + METER_BYTES] === 0 ? 1 : length;
}

/** And those that have to be there for it: a full bucket is enough for any. */
export function tokensFor(meters: Meters, m: number, length: number): number {
  return Math.min(tokensOf(meters, m, length), meters.specs[m * METER_LENGTH + METER_BURST]);
}

/** In how many milliseconds the tokens for a frame of `length` bytes will be there, unless others take them; 0: now. */
export function msToTokens(meters: Meters, m: number, length: number): number {
  const { specs, words } = meters;
  const spec = m * METER_LENGTH;
  const missing = tokensFor(meters, m, length) - acquire32(words, specs[spec + METER_BUCKET] * BUCKET_WORDS + TOKENS);
  return Math.max(0, missing / specs[spec + METER_PER_MS]);
}

/** How many milliseconds of its rate the full bucket of a meter holds. */
export function msOfBurst({ specs }: Meters, m: number): number {
  return specs[m * METER_LENGTH + METER_BURST] / specs[m * METER_LENGTH + METER_PER_MS];
}

function take(words: Int32Array, at: number, cost: number, needed: number): boolean {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const tokens = acquire32(words, at);
    if (tokens < needed) return false;
    if (Atomics.compareExchange(words, at, tokens, tokens - cost) === tokens) return true;
  }
  return false;
}

function fill({ doubles, nowMs, specs, words }: Meters, spec: number, bucket: number): void {
  const at = bucket * BUCKET_WORDS;
  if (Atomics.compareExchange(words, at + LOCK, 0, 1) !== 0) return;
  const last = bucket * BUCKET_DOUBLES + FILLED;
  const burst = specs[spec + METER_BURST];
  const perMs = specs[spec + METER_PER_MS];
  const kind = 1 + specs[spec + METER_BYTES];
  const earned = Math.floor((nowMs - doubles[last]) * perMs);
  // Others only take meanwhile, so there is at least this much room.
  const room = burst - acquire32(words, at + TOKENS);
  if (words[at + KIND] !== kind || room < 0 || (earned > 0 && earned >= room)) {
    Atomics.add(words, at + TOKENS, room);
    doubles[last] = nowMs;
    words[at + KIND] = kind;
  } else if (earned > 0) {
    Atomics.add(words, at + TOKENS, earned);
    doubles[last] += earned / perMs;
  }
  Atomics.store(words, at + LOCK, 0);
}
