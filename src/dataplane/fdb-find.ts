// HOT
// Finding an address in the fdb: hash, two buckets, the seal. Takes no lock; any thread.
//
// An address lies in one of two buckets: `hash >>> shift`, or that one XOR `fdbStep(hash)`. A find therefore reads at
// most two cache lines and a byte, whatever the table holds. A new address goes to its first bucket unless that is full, and there to the
// slot that it prefers, which its hash and the bucket's pilot say. That slot is asked first: a loop over four, which ends in any of
// them, is a branch that no processor foresees, and costs more than all the rest. The pilot is chosen such that all that are at home in the
// bucket prefer different slots (fdb-place.ts): with two bits of the hash alone one address in ten did not lie where it was asked for first.
//
// The multipliers are random for each table: whoever does not know them cannot choose addresses that collide.
// One multiplier for each part of the key makes a universal hash (Dietzfelbinger et al. 1997); a fixed bijective mixer
// (lowbias32, Wellons 2018) follows, since universal alone lets consecutive addresses cluster under an unlucky seed.
//
// The VLAN is part of the key, and nowhere in the entry: in hash and seal, lo ^ salt stands for lo, salt = vid * mulC. Who looks an
// address up knows the VLAN, and an entry of another one has a seal that does not fit: mulC is odd, so no two ids have the same
// salt. Without VLANs the salt is 0. Whoever does not know the VLAN computes it from the seal (vidOf).
//
// Why a reader never returns a port that its address did not have. An entry is rewritten word by word while others
// read it, so a reader may see `lo`, `tag` and `seal` of different writes. It believes them only if
// seal = lo ^ tag * mulA ^ salt. mulA is odd, so this is one-to-one in `lo` and one-to-one in `tag`. Of one VLAN:
//   lo from write 1, tag from write 2, which differ (else nothing is torn):
//   seal 1 = lo1 ^ tag1*mulA, but lo1 ^ tag2*mulA is wanted: unequal, as tag1 != tag2
//   seal 2 = lo2 ^ tag2*mulA, but lo1 ^ tag2*mulA is wanted: unequal, as lo1 != lo2
// Of VLANs v1 and v2, to a reader that wants v:
//   seal 1 fits if tag1*mulA ^ tag2*mulA = v1*mulC ^ v*mulC. A product by an odd number keeps the lowest bit that is set, so the left
//   side's is where the tags differ first and the right side's where the ids do. One address (or one `hi`) has tags that
//   differ from bit 16 up, ids differ below bit 12: never. For others it is a chance of the table's multipliers.
//   seal 2 fits if lo1 ^ lo2 = v2*mulC ^ v*mulC; beside lo and tag of write 1, if lo1 ^ lo2 ^ tag1*mulA ^ tag2*mulA is that. Such
//   chances, too: one table in 2^20 at the most, for ids which differ in bit 11 alone; for ids which differ in bit 0, one in 2^31.
// No order of stores or loads is assumed, so the compiler and the processor may have theirs, and no fence is paid for
// (`Atomics.load` is a locked read-modify-write in JavaScriptCore: 5 ns, and it steals the line from other readers).
// Left over beside such tables: three different writes within one reader's three loads, matching by a chance of 2^-32. Nobody who
// does not know the multipliers can improve either chance, and the bridge lets no frame out of its VLAN for that. A torn entry counts
// as not found: the frame is flooded once.
//
// An entry that is moved is in two slots before it is in one, but a reader may have passed the one before it came, and see the other when it
// has gone. So who finds nothing looks whether entries were moved meanwhile, and if so, looks again. Who stands still in the middle of
// moving holds nobody up: what is in the table is in some slot then, and what is not is asked for TRIES times.

import { ENTRY_SEAL, ENTRY_TAG, FDB_MOVING, FDB_SLOTS, FDB_VIDS, type Fdb, TAG_VALID } from "./fdb-layout.ts";

const KEY_BITS = 0xffff | TAG_VALID;
/** Looks at two buckets while entries are moved: some hundred nanoseconds, longer than that takes. */
const TRIES = 16;

// What a find returns: slot << 9 | static << 8 | port, taken from one reading of the entry, or -1.
export const HIT_PORT = 0xff;
export const HIT_STATIC = 0x100;

/** The entry's first word, from a hit. */
export function hitAt(hit: number): number {
  return FDB_SLOTS + ((hit >>> 9) << 2);
}

/** What stands for `lo` in hash and seal. */
export function fdbSalted(fdb: Fdb, lo: number, vid: number): number {
  return lo ^ Math.imul(vid, fdb.mulC);
}

export function fdbHash(fdb: Fdb, salted: number, hi: number): number {
  const sum = (Math.imul(salted, fdb.mulA) + Math.imul(hi, fdb.mulB)) | 0;
  const mixed = Math.imul(sum ^ (sum >>> 16), 0x21f0aaad);
  return Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
}

/** The place, in words, of the slot that the address of this hash prefers. */
export function fdbPreferred(fdb: Fdb, hash: number): number {
  const bucket = hash >>> fdb.shift;
  return FDB_SLOTS + (bucket << 4) + slotBy(fdb.pilots[bucket], hash);
}

/** What a pilot makes of a hash: the slot of its bucket, as the words before it. */
export function slotBy(pilot: number, hash: number): number {
  return (Math.imul(hash, pilot) >>> 8) & 12;
}

/** What to XOR to one of an address's buckets to get the other; odd, so they differ. */
export function fdbStep(fdb: Fdb, hash: number): number {
  return (Math.imul(hash ^ (hash >>> 12), 0x297a2d39) >>> fdb.shift) | 1;
}

export function fdbSeal(fdb: Fdb, salted: number, tag: number): number {
  return salted ^ Math.imul(tag, fdb.mulA);
}

/** The VLAN of the entry that has its words at `at`; -1 where they are torn, but for a chance of 2^-20. */
export function vidOf(fdb: Fdb, at: number): number {
  const words = fdb.words;
  const salt = words[at + ENTRY_SEAL] ^ fdbSeal(fdb, words[at], words[at + ENTRY_TAG]);
  const vid = Math.imul(salt, fdb.inverseC) >>> 0;
  return vid < FDB_VIDS ? vid : -1;
}

export function fdbFind(fdb: Fdb, lo: number, hi: number, vid = 0): number {
  // fdbSalted by hand: with one call more, the compiler stops inlining a look-up (7 ns of 13, measured).
  const salted = lo ^ Math.imul(vid, fdb.mulC);
  const hash = fdbHash(fdb, salted, hi);
  const words = fdb.words;
  const at = fdbPreferred(fdb, hash);
  const tag = words[at + ENTRY_TAG];
  if (
    words[at] === lo &&
    (tag & KEY_BITS) === (hi | TAG_VALID) &&
    words[at + ENTRY_SEAL] === fdbSeal(fdb, salted, tag)
  ) {
    return ((at - FDB_SLOTS) << 7) | ((tag >>> 16) & (HIT_PORT | HIT_STATIC));
  }
  return findElsewhere(fdb, hash, lo, hi, salted);
}

function findElsewhere(fdb: Fdb, hash: number, lo: number, hi: number, salted: number): number {
  const words = fdb.words;
  const first = hash >>> fdb.shift;
  const second = first ^ fdbStep(fdb, hash);
  for (let tries = 1; ; tries++) {
    const moving = Atomics.load(words, FDB_MOVING);
    let hit = findInBucket(fdb, first, lo, hi, salted);
    if (hit < 0) hit = findInBucket(fdb, second, lo, hi, salted);
    if (hit >= 0 || tries === TRIES) return hit;
    if ((moving & 1) === 0 && Atomics.load(words, FDB_MOVING) === moving) return -1;
  }
}

function findInBucket(fdb: Fdb, bucket: number, lo: number, hi: number, salted: number): number {
  const words = fdb.words;
  const key = hi | TAG_VALID;
  const start = FDB_SLOTS + (bucket << 4);
  for (let at = start; at < start + 16; at += 4) {
    if (words[at] !== lo) continue;
    const tag = words[at + ENTRY_TAG];
    if ((tag & KEY_BITS) !== key || words[at + ENTRY_SEAL] !== fdbSeal(fdb, salted, tag)) continue;
    return ((at - FDB_SLOTS) << 7) | ((tag >>> 16) & (HIT_PORT | HIT_STATIC));
  }
  return -1;
}
