// HOT
// Where answers lie: the flow cache, and scratch space for an answer that is being made or is not kept. One Int32Array,
// private to a worker. The functions that compare and write keys are generated (emit-flow.ts), since which bits of a key
// matter depends on the rules.
//
//   tags     sets of 4:  generation << 16 | lower half of the hash                              16,384 words
//   entries  half of the room each, and so one cache line, where 16 words are enough            16,384 * 32 words
//            +--------------------+-------+-------+---------+-------------------------------+
//            | columns (up to 10) | count | ranks |         | IPv6's and ARP's (up to 9)    |
//            +--------------------+-------+-------+---------+-------------------------------+
//   scratch  count | ranks …                                                                    ENTRIES_MAX + 2 words
//
// Four flows share a set, which the hash's upper bits choose, and the tags of a set share a line: a new flow costs the cache
// one line to miss. Of 4096 flows that are seen in turn, 4 in 1000 do not find room (half as many sets: 40 in 1000). New rules
// begin a new generation, which forgets all entries at once.
//
// A guest that floods new flows gets few stores: where its place is taken, one in 16 new flows takes it over, so that flows with
// many frames outlive it. It cannot choose flows that collide, as the hash's multipliers are random for each program.

import { ENTRIES_MAX } from "./compile-layout.ts";
import { KEY_WORDS } from "./key.ts";

export const FLOW_WAYS = 4;
export const FLOW_SETS = 4096;
/** How many entries there are, and the index of the first: behind as many tags. */
export const FLOW_ENTRIES = FLOW_WAYS * FLOW_SETS;
/** Two cache lines; entries that need no more than half of that have half. */
export const FLOW_ENTRY_WORDS_MAX = 32;
/** Memory behind the entries is not touched, and so not there, until rules that continue need it. */
export const FLOW_SCRATCH = FLOW_ENTRIES + FLOW_ENTRIES * FLOW_ENTRY_WORDS_MAX;
export const FLOW_WORDS = FLOW_SCRATCH + ENTRIES_MAX + 2;

export const FLOW_TAG_BITS = 0xffff;
/** Behind the multipliers, one for each column: the running generation, where tags have it. */
export const FLOW_SEED_GENERATION = KEY_WORDS;
export const FLOW_SEEDS = KEY_WORDS + 1;

const SET_SHIFT = 32 - Math.log2(FLOW_SETS);
const WAY_BITS = Math.log2(FLOW_WAYS);
const GENERATION = FLOW_TAG_BITS + 1;
/** A power of two. */
const TAKE_OVER_ONE_IN = 16;

/** Forgets all entries. Once in 65,535 times that takes clearing the tags. */
export function forgetFlows(flows: Int32Array, seeds: Int32Array): void {
  const next = (seeds[FLOW_SEED_GENERATION] + GENERATION) | 0;
  if (next === 0) flows.fill(0, 0, FLOW_ENTRIES);
  seeds[FLOW_SEED_GENERATION] = next === 0 ? GENERATION : next;
}

/**
 * The entry that a new flow of this hash may have, its tag written, or -1. `dice` is any number, another one each time.
 * `twin` is another flow's entry that has this hash, or -1: two of them in one set would hide one another.
 */
export function takeEntry(flows: Int32Array, seeds: Int32Array, hash: number, twin: number, dice: number): number {
  const generation = seeds[FLOW_SEED_GENERATION];
  const entry = twin >= 0 ? twin : (hash >>> SET_SHIFT) * FLOW_WAYS + (dice & (FLOW_WAYS - 1));
  const isTaken = (flows[entry] & ~FLOW_TAG_BITS) === generation;
  if (isTaken && twin < 0 && (dice >>> WAY_BITS) % TAKE_OVER_ONE_IN !== 0) return -1;
  flows[entry] = (hash & FLOW_TAG_BITS) | generation;
  return entry;
}
