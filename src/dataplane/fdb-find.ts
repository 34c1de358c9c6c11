// HOT
// Finding an address in the fdb: hash, two buckets, the seal. Takes no lock; any thread.
//
// An address lies in one of two buckets: `hash >>> shift`, or that one XOR `fdbStep(hash)`. A find therefore reads at
// most two cache lines, whatever the table holds. A new address goes to its first bucket unless that is full, so in a
// table at its limit 96 of 100 still lie in their first.
//
// The multipliers are random for each table: whoever does not know them cannot choose addresses that collide.
// One multiplier for each half of the key makes a universal hash (Dietzfelbinger et al. 1997); a fixed bijective mixer
// (lowbias32, Wellons 2018) follows, since universal alone lets consecutive addresses cluster under an unlucky seed.
//
// Why a reader never returns a port that its address did not have. An entry is rewritten word by word while others
// read it, so a reader may see `lo`, `tag` and `seal` of different writes. It believes them only if
// seal = lo ^ tag * mulA. mulA is odd, so this is one-to-one in `lo` and one-to-one in `tag`:
//   lo from write 1, tag from write 2, which differ (else nothing is torn):
//   seal 1 = lo1 ^ tag1*mulA, but lo1 ^ tag2*mulA is wanted: unequal, as tag1 != tag2
//   seal 2 = lo2 ^ tag2*mulA, but lo1 ^ tag2*mulA is wanted: unequal, as lo1 != lo2
// No order of stores or loads is assumed, so the compiler and the processor may have theirs, and no fence is paid for
// (`Atomics.load` is a locked read-modify-write in JavaScriptCore: 5 ns, and it steals the line from other readers).
// Left over: three different writes within one reader's three loads, matching by a chance of 2^-32 that nobody who does
// not know mulA can improve. A torn entry counts as not found: the frame is flooded once.

import { ENTRY_SEAL, ENTRY_TAG, FDB_SLOTS, type Fdb, TAG_VALID } from "./fdb-layout.ts";

const KEY_BITS = 0xffff | TAG_VALID;

// What a find returns: slot << 9 | static << 8 | port, taken from one reading of the entry, or -1.
export const HIT_PORT = 0xff;
export const HIT_STATIC = 0x100;

/** The entry's first word, from a hit. */
export function hitAt(hit: number): number {
  return FDB_SLOTS + ((hit >>> 9) << 2);
}

export function fdbHash(fdb: Fdb, lo: number, hi: number): number {
  const sum = (Math.imul(lo, fdb.mulA) + Math.imul(hi, fdb.mulB)) | 0;
  const mixed = Math.imul(sum ^ (sum >>> 16), 0x21f0aaad);
  return Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
}

/** What to XOR to one of an address's buckets to get the other; odd, so they differ. */
export function fdbStep(fdb: Fdb, hash: number): number {
  return (Math.imul(hash ^ (hash >>> 12), 0x297a2d39) >>> fdb.shift) | 1;
}

export function fdbSeal(fdb: Fdb, lo: number, tag: number): number {
  return lo ^ Math.imul(tag, fdb.mulA);
}

export function fdbFind(fdb: Fdb, lo: number, hi: number): number {
  const hash = fdbHash(fdb, lo, hi);
  const bucket = hash >>> fdb.shift;
  const hit = findInBucket(fdb, bucket, lo, hi);
  return hit >= 0 ? hit : findInBucket(fdb, bucket ^ fdbStep(fdb, hash), lo, hi);
}

function findInBucket(fdb: Fdb, bucket: number, lo: number, hi: number): number {
  const words = fdb.words;
  const key = hi | TAG_VALID;
  const start = FDB_SLOTS + (bucket << 4);
  for (let at = start; at < start + 16; at += 4) {
    if (words[at] !== lo) continue;
    const tag = words[at + ENTRY_TAG];
    if ((tag & KEY_BITS) !== key || words[at + ENTRY_SEAL] !== fdbSeal(fdb, lo, tag)) continue;
    return ((at - FDB_SLOTS) << 7) | ((tag >>> 16) & (HIT_PORT | HIT_STATIC));
  }
  return -1;
}
