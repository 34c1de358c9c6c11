// HOT
// Entries of the fdb as things to place, write and remove, and the lock that guards them.
//
// Each port's learned entries form a ring through the port's own node, in order of learning:
//   port node -> oldest learned -> ... -> newest learned -> port node
// so a port's oldest entries are found at once, however large the table is. Static entries are in no ring.
//
// The lock is one word. A worker tries a bounded number of times, and learns later where that fails; the control thread (fdb-table.ts)
// naps between its tries, and holds it for some microseconds. All but the lock's own functions is called under it.

import { fdbHash, fdbSalted, fdbSeal, fdbStep, vidOf } from "./fdb-find.ts";
import {
  ENTRY_SEAL,
  ENTRY_STAMP,
  ENTRY_TAG,
  FDB_COUNT,
  FDB_LOCK,
  FDB_PORT_COUNT,
  FDB_PORTS_SEEN,
  FDB_SLOTS,
  type Fdb,
  TAG_STATIC,
  TAG_VALID,
} from "./fdb-layout.ts";

/** Tries of one worker before it gives up: some 10 us, thirty times what a holder needs that keeps its CPU. */
const LOCK_TRIES = 1000;

export function fdbTryLock(fdb: Fdb): boolean {
  return Atomics.compareExchange(fdb.words, FDB_LOCK, 0, 1) === 0;
}

/** Waits a bounded time for the lock; a holder that lost its CPU is not waited for. */
export function fdbSpinLock(fdb: Fdb): boolean {
  for (let tries = 0; tries < LOCK_TRIES; tries++) if (fdbTryLock(fdb)) return true;
  return false;
}

export function fdbUnlock(fdb: Fdb): void {
  Atomics.store(fdb.words, FDB_LOCK, 0);
}

/** Writes an entry into a free slot. `flags` is TAG_STATIC or 0. */
export function writeEntry(
  fdb: Fdb,
  at: number,
  lo: number,
  hi: number,
  vid: number,
  port: number,
  flags: number,
  stamp: number,
): void {
  const words = fdb.words;
  const tag = hi | (port << 16) | flags | TAG_VALID;
  words[at] = lo;
  words[at + ENTRY_SEAL] = fdbSeal(fdb, fdbSalted(fdb, lo, vid), tag);
  words[at + ENTRY_STAMP] = stamp;
  words[at + ENTRY_TAG] = tag;
  words[FDB_COUNT]++;
  if (flags !== 0) return;
  linkNewest(fdb, (at - FDB_SLOTS) >> 2, port);
  words[FDB_PORT_COUNT + port]++;
  if (port >= words[FDB_PORTS_SEEN]) words[FDB_PORTS_SEEN] = port + 1;
}

export function removeEntry(fdb: Fdb, at: number): void {
  const words = fdb.words;
  const tag = words[at + ENTRY_TAG];
  words[at + ENTRY_TAG] = 0;
  words[FDB_COUNT]--;
  if ((tag & TAG_STATIC) !== 0) return;
  unlink(fdb, (at - FDB_SLOTS) >> 2);
  words[FDB_PORT_COUNT + ((tag >>> 16) & 0xff)]--;
}

/** Finds or makes a free slot in one of the two buckets of an address that is not in the table; -1 if there is none. */
export function placeEntry(fdb: Fdb, lo: number, hi: number, vid: number): number {
  const hash = fdbHash(fdb, fdbSalted(fdb, lo, vid), hi);
  const first = hash >>> fdb.slotShift;
  const second = first ^ (fdbStep(fdb, hash) << 2);
  let at = freeSlot(fdb, first);
  if (at < 0) at = freeSlot(fdb, second);
  if (at < 0) at = pushOut(fdb, first >>> 2);
  if (at < 0) at = pushOut(fdb, second >>> 2);
  return at;
}

/** This slot or another one of its bucket. */
function freeSlot(fdb: Fdb, slot: number): number {
  const words = fdb.words;
  for (let turn = 0; turn < 4; turn++) {
    const at = FDB_SLOTS + ((slot ^ turn) << 2);
    if (words[at + ENTRY_TAG] === 0) return at;
  }
  return -1;
}

/** Moves an entry of a full bucket to that entry's other bucket (one step of cuckoo hashing); returns its slot. */
function pushOut(fdb: Fdb, bucket: number): number {
  const words = fdb.words;
  const end = FDB_SLOTS + (bucket << 4) + 16;
  for (let at = end - 16; at < end; at += 4) {
    const lo = words[at];
    const tag = words[at + ENTRY_TAG];
    const vid = vidOf(fdb, at);
    const step = fdbStep(fdb, fdbHash(fdb, fdbSalted(fdb, lo, vid), tag & 0xffff));
    const to = freeSlot(fdb, (bucket ^ step) << 2);
    if (to < 0) continue;
    // Written before it is removed: a reader that comes by finds it twice rather than not at all.
    writeEntry(fdb, to, lo, tag & 0xffff, vid, (tag >>> 16) & 0xff, tag & TAG_STATIC, words[at + ENTRY_STAMP]);
    removeEntry(fdb, at);
    return at;
  }
  return -1;
}

// Ring nodes: slot s is node s, port p is node slotCount + p. Word 0 is the next node, word 1 the previous one.

export function oldestNode(fdb: Fdb, port: number): number {
  return nextNode(fdb, fdb.slotCount + port);
}

export function nextNode(fdb: Fdb, node: number): number {
  return fdb.words[fdb.links + (node << 1)];
}

export function linkNewest(fdb: Fdb, slot: number, port: number): void {
  const { words, links } = fdb;
  const portNode = fdb.slotCount + port;
  const newest = words[links + (portNode << 1) + 1];
  words[links + (slot << 1)] = portNode;
  words[links + (slot << 1) + 1] = newest;
  words[links + (newest << 1)] = slot;
  words[links + (portNode << 1) + 1] = slot;
}

export function unlink(fdb: Fdb, slot: number): void {
  const { words, links } = fdb;
  const next = words[links + (slot << 1)];
  const previous = words[links + (slot << 1) + 1];
  words[links + (previous << 1)] = next;
  words[links + (next << 1) + 1] = previous;
}
