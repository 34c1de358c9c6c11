// HOT
// Where answers lie: two caches of flows, and scratch space for an answer that is being made or is not kept. One Int32Array,
// private to a worker. The functions that compare and write keys are generated (emit-flow.ts), since which bits of a key
// matter depends on the rules.
//
//   flow cache    by all bits of the key that any rule asks for              16,384 entries of one or two cache lines
//   broad cache   by those bits that can matter for this key: flows          4,096 entries of up to four
//                 from addresses that no rule knows are all alike
//   scratch       | count | ranks … |                                        ENTRIES_MAX + 2 words
//
//   a cache       tags: sets of 4:  generation << 16 | lower half of the hash
//                 entries: | columns | count | ranks … | columns that only IPv6 and ARP have |
//
// Four flows share a set, which the hash's upper bits choose, and the tags of a set share a line: a new flow costs a cache
// one line to miss. Of 4096 flows that are seen in turn, 4 in 1000 do not find room in the flow cache (half as many sets: 40
// in 1000). New rules begin a new generation, which forgets all entries at once.
//
// A guest that floods new flows gets few stores: where its place is taken, one in 16 new flows takes it over, so that flows with
// many frames outlive it. The hash's multipliers are random for each program; still, keys that differ in bits 31 and 15 of two words collide
// under any (emit-flow.ts folds words before it multiplies them), which costs such flows a search a burst and nothing else.

import { ENTRIES_MAX } from "./compile-layout.ts";
import { KEY_WORDS } from "./key.ts";

export const FLOW_WAYS = 4;

// The flow cache: its tags, then as many entries, room for two cache lines each.
export const FLOW_TAGS = 0;
export const FLOW_SETS = 4096;
export const FLOW_COUNT = FLOW_WAYS * FLOW_SETS;
export const FLOW_ENTRIES = FLOW_TAGS + FLOW_COUNT;
export const FLOW_ENTRY_WORDS = 32;

// The broad cache, four cache lines an entry.
export const BROAD_TAGS = FLOW_ENTRIES + FLOW_COUNT * FLOW_ENTRY_WORDS;
export const BROAD_SETS = 1024;
export const BROAD_COUNT = FLOW_WAYS * BROAD_SETS;
export const BROAD_ENTRIES = BROAD_TAGS + BROAD_COUNT;
export const BROAD_ENTRY_WORDS = 64;

/** Memory from here on is not touched, and so not there, until rules that continue need it. */
export const FLOW_SCRATCH = BROAD_ENTRIES + BROAD_COUNT * BROAD_ENTRY_WORDS;
export const FLOW_WORDS = FLOW_SCRATCH + ENTRIES_MAX + 2;

export const FLOW_TAG_BITS = 0xffff;
export const FLOW_GENERATION = FLOW_TAG_BITS + 1;
/** Multipliers, one for each column of a cache, two for each word at most; and the running generation, where tags have it. */
export const FLOW_MULTIPLIERS = 2 * KEY_WORDS;
export const FLOW_SEED_GENERATION = FLOW_MULTIPLIERS;
export const FLOW_SEEDS = FLOW_MULTIPLIERS + 1;

const WAY_BITS = Math.log2(FLOW_WAYS);
/** A power of two. */
export const TAKE_OVER_ONE_IN = 16;
/** Of the hashes: lowbias32's (Wellons 2018). */
export const FLOW_MIXER = 0x21f0aaad;

/** Forgets all entries. Once in 65,535 times that takes clearing the tags. */
export function forgetFlows(flows: Int32Array, seeds: Int32Array): void {
  const next = (seeds[FLOW_SEED_GENERATION] + FLOW_GENERATION) | 0;
  if (next === 0) {
    flows.fill(0, FLOW_TAGS, FLOW_TAGS + FLOW_COUNT);
    flows.fill(0, BROAD_TAGS, BROAD_TAGS + BROAD_COUNT);
  }
  seeds[FLOW_SEED_GENERATION] = next === 0 ? FLOW_GENERATION : next;
}

/**
 * The index in `tags` that a new flow of `set` may have, its tag written, or -1. `dice` is any number, another one each time.
 * `twin` is the index of another flow that has this hash, or -1: two of them in one set would hide one another.
 */
export function takePlace(
  flows: Int32Array,
  seeds: Int32Array,
  set: number,
  hash: number,
  twin: number,
  dice: number,
): number {
  const generation = seeds[FLOW_SEED_GENERATION];
  const place = twin >= 0 ? twin : set + (dice & (FLOW_WAYS - 1));
  const isTaken = (flows[place] & ~FLOW_TAG_BITS) === generation;
  if (isTaken && twin < 0 && (dice >>> WAY_BITS) % TAKE_OVER_ONE_IN !== 0) return -1;
  flows[place] = (hash & FLOW_TAG_BITS) | generation;
  return place;
}
