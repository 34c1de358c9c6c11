// HOT
// Entries of the fdb as things to write, move and remove, and the lock that guards them.
//
// Each port's learned entries form a ring through the port's own node, in order of learning:
//   port node -> oldest learned -> ... -> newest learned -> port node
// so a port's oldest entries are found at once, however large the table is. Static entries are in no ring.
//
// The lock is one word. A worker tries a bounded number of times, and learns later where that fails; the control thread (fdb-table.ts)
// naps between its tries, and holds it for some microseconds. All but the lock's own functions is called under it.

import { fdbSalted, fdbSeal } from "./fdb-find.ts";
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

/** Moves an entry to a free slot, in its port's ring too. Written before it is removed: who comes by finds it twice rather than not at all. */
export function moveEntry(fdb: Fdb, from: number, to: number): void {
  const words = fdb.words;
  const tag = words[from + ENTRY_TAG];
  words[to] = words[from];
  words[to + ENTRY_SEAL] = words[from + ENTRY_SEAL];
  words[to + ENTRY_STAMP] = words[from + ENTRY_STAMP];
  words[to + ENTRY_TAG] = tag;
  words[from + ENTRY_TAG] = 0;
  if ((tag & TAG_STATIC) === 0) relink(fdb, (from - FDB_SLOTS) >> 2, (to - FDB_SLOTS) >> 2);
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

/** `to` takes the place of `from`. */
function relink(fdb: Fdb, from: number, to: number): void {
  const { words, links } = fdb;
  const next = words[links + (from << 1)];
  const previous = words[links + (from << 1) + 1];
  words[links + (to << 1)] = next;
  words[links + (to << 1) + 1] = previous;
  words[links + (previous << 1)] = to;
  words[links + (next << 1) + 1] = to;
}
