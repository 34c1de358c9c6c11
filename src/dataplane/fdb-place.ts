// HOT
// Where a new entry of the fdb goes, and what makes room for it there. All of it is called under the lock.
//
//   its first bucket   the slot that the bucket's pilot says, unless that is taken; then with another pilot, by which all that are at home
//                      there prefer different slots, and to which they move:
//
//                      pilot 1   | a | b |   |   |    new: c, which prefers a's slot
//                      pilot 5   | b |   | c | a |
//
//   its second bucket  any slot: nobody looks there first
//   neither has one    an entry of either goes to that entry's other bucket (one step of cuckoo hashing)
//
// Pilots are PTHash's (Pibiri, Trani 2021). Some pilot sets a bucket's entries apart, mostly one of the first five, but for one bucket in ten
// thousand; what does not lie where it prefers to is found all the same. Of a hundred addresses that fill a table twelve have
// others moved. Readers take no lock: FDB_MOVING tells them (fdb-find.ts). Who looked with the pilot of before finds another entry, or none, in that slot,
// and looks further.

import { moveEntry } from "./fdb-entry.ts";
import { fdbHash, fdbPreferred, fdbSalted, fdbStep, slotBy, vidOf } from "./fdb-find.ts";
import { ENTRY_TAG, FDB_MOVING, FDB_SLOTS, type Fdb } from "./fdb-layout.ts";

const PILOT_MAX = 255;
const SLOTS = 16;

/** The hashes of those at home in a bucket, and the places of their entries; -1 for the one that has none yet. */
const hashes = new Int32Array(4);
const places = new Int32Array(4);

/** Finds or makes a free slot in one of the two buckets of an address that is not in the table; -1 if there is none. */
export function placeEntry(fdb: Fdb, lo: number, hi: number, vid: number): number {
  const hash = fdbHash(fdb, fdbSalted(fdb, lo, vid), hi);
  const first = hash >>> fdb.shift;
  const second = first ^ fdbStep(fdb, hash);
  let at = roomIn(fdb, first, hash);
  if (at < 0) at = roomIn(fdb, second, hash);
  if (at < 0) at = pushOut(fdb, first);
  if (at < 0) at = pushOut(fdb, second);
  return at;
}

/** The best free slot of a bucket for the address of this hash; -1 if there is none. */
function roomIn(fdb: Fdb, bucket: number, hash: number): number {
  const free = freeSlot(fdb, bucket);
  if (free < 0 || hash >>> fdb.shift !== bucket) return free;
  const preferred = fdbPreferred(fdb, hash);
  if (fdb.words[preferred + ENTRY_TAG] === 0) return preferred;
  return setApart(fdb, bucket, hash) ? fdbPreferred(fdb, hash) : free;
}

function freeSlot(fdb: Fdb, bucket: number): number {
  const start = FDB_SLOTS + (bucket << 4);
  for (let at = start; at < start + SLOTS; at += 4) if (fdb.words[at + ENTRY_TAG] === 0) return at;
  return -1;
}

/** Moves an entry of a full bucket to that entry's other bucket; returns its slot. */
function pushOut(fdb: Fdb, bucket: number): number {
  const start = FDB_SLOTS + (bucket << 4);
  for (let at = start; at < start + SLOTS; at += 4) {
    const hash = hashAt(fdb, at);
    const to = roomIn(fdb, bucket ^ fdbStep(fdb, hash), hash);
    if (to < 0) continue;
    Atomics.add(fdb.words, FDB_MOVING, 1);
    moveEntry(fdb, at, to);
    Atomics.add(fdb.words, FDB_MOVING, 1);
    return at;
  }
  return -1;
}

function hashAt(fdb: Fdb, at: number): number {
  const words = fdb.words;
  return fdbHash(fdb, fdbSalted(fdb, words[at], vidOf(fdb, at)), words[at + ENTRY_TAG] & 0xffff);
}

/**
 * Gives a bucket that has a free slot a pilot by which those at home there prefer different slots, and so does the address of this hash, which
 * is to come; moves the entries there, and others out of the way. False, and nothing is changed, where no pilot does that.
 */
function setApart(fdb: Fdb, bucket: number, hash: number): boolean {
  const start = FDB_SLOTS + (bucket << 4);
  hashes[0] = hash;
  places[0] = -1;
  let count = 1;
  for (let at = start; at < start + SLOTS; at += 4) {
    if (fdb.words[at + ENTRY_TAG] === 0) continue;
    const other = hashAt(fdb, at);
    if (other >>> fdb.shift !== bucket) continue;
    hashes[count] = other;
    places[count++] = at;
  }
  const pilot = pilotFor(count);
  if (pilot < 0) return false;
  Atomics.add(fdb.words, FDB_MOVING, 1);
  fdb.pilots[bucket] = pilot;
  // The new one last: until then its slot may be what others are moved to.
  for (let k = count - 1; k >= 0; k--) {
    const to = start + slotBy(pilot, hashes[k]);
    if (places[k] === to) continue;
    if (fdb.words[to + ENTRY_TAG] !== 0) moveAway(fdb, bucket, to, count);
    if (places[k] >= 0) moveEntry(fdb, places[k], to);
    places[k] = to;
  }
  Atomics.add(fdb.words, FDB_MOVING, 1);
  return true;
}

/** The least pilot that has the first `count` hashes prefer different slots; -1 if none does. */
function pilotFor(count: number): number {
  for (let pilot = 1; pilot <= PILOT_MAX; pilot += 2) if (setsApart(pilot, count)) return pilot;
  return -1;
}

function setsApart(pilot: number, count: number): boolean {
  let taken = 0;
  for (let k = 0; k < count; k++) {
    const bit = 1 << slotBy(pilot, hashes[k]);
    if ((taken & bit) !== 0) return false;
    taken |= bit;
  }
  return true;
}

function moveAway(fdb: Fdb, bucket: number, at: number, count: number): void {
  const to = freeSlot(fdb, bucket);
  for (let k = 0; k < count; k++) if (places[k] === at) places[k] = to;
  moveEntry(fdb, at, to);
}
