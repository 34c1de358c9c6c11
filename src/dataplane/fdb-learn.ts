// HOT
// Learning an address that the fdb does not have, or has at another port: the part of fdbLearn that takes the lock.
//
// Who loses (the fairness of Open vSwitch, lib/mac-learning.h): at its own limit a port loses one of its own entries;
// at the table's limit the port with most entries does, in a tie the learning port itself. So a port that floods
// addresses pushes out its own, and those of the others stay. Static entries are never evicted; they count towards the
// table's limit, not the port's. Which entry: the longest unseen of the EVICT_SAMPLE learned first.
//
// Work of one learn, at most: a find, 256 port counts, EVICT_SAMPLE entries, 10 buckets (its own two, and one for each
// entry in them). Called by workers through fdb.ts.

import {
  fdbSpinLock,
  fdbUnlock,
  linkNewest,
  nextNode,
  oldestNode,
  placeEntry,
  removeEntry,
  unlink,
  writeEntry,
} from "./fdb-entry.ts";
import { fdbFind, HIT_PORT, HIT_STATIC, hitAt } from "./fdb-find.ts";
import {
  COUNTER_EVICTED,
  COUNTER_LEARNED,
  COUNTER_MOVED,
  ENTRY_STAMP,
  FDB_BUSY,
  FDB_COUNT,
  FDB_FULL,
  FDB_KNOWN,
  FDB_LEARNED,
  FDB_LIMIT,
  FDB_MOVED,
  FDB_PORT_COUNT,
  FDB_PORT_LIMIT,
  FDB_PORT_REFUSED,
  FDB_PORTS_MAX,
  FDB_PORTS_SEEN,
  FDB_SLOTS,
  FDB_STATIC,
  type Fdb,
} from "./fdb-layout.ts";

const EVICT_SAMPLE = 4;

export function fdbLearnUnknown(fdb: Fdb, lo: number, hi: number, port: number, nowS: number): number {
  if (port >>> 0 >= FDB_PORTS_MAX) return FDB_PORT_REFUSED;
  if (!fdbSpinLock(fdb)) return FDB_BUSY;
  const hit = fdbFind(fdb, lo, hi);
  const outcome = hit < 0 ? learnNew(fdb, lo, hi, port, nowS) : learnMove(fdb, hit, lo, hi, port, nowS);
  fdbUnlock(fdb);
  return outcome;
}

function learnNew(fdb: Fdb, lo: number, hi: number, port: number, nowS: number): number {
  const words = fdb.words;
  const atPortLimit = words[FDB_PORT_COUNT + port] >= words[FDB_PORT_LIMIT + port];
  let loser = -1;
  if (atPortLimit) loser = port;
  else if (words[FDB_COUNT] >= words[FDB_LIMIT]) loser = fdbHeaviestPort(fdb, port);
  if (loser >= 0 && words[FDB_PORT_COUNT + loser] === 0) return atPortLimit ? FDB_PORT_REFUSED : FDB_FULL;
  const at = placeEntry(fdb, lo, hi);
  if (at < 0) return FDB_FULL;
  if (loser >= 0) fdbEvict(fdb, loser);
  writeEntry(fdb, at, lo, hi, port, 0, nowS);
  fdb.counters[COUNTER_LEARNED]++;
  return FDB_LEARNED;
}

/** Looks again, now that nothing changes any more: another thread may have learned or moved the address meanwhile. */
function learnMove(fdb: Fdb, hit: number, lo: number, hi: number, port: number, nowS: number): number {
  const words = fdb.words;
  const same = (hit & HIT_PORT) === port;
  if ((hit & HIT_STATIC) !== 0) return same ? FDB_KNOWN : FDB_STATIC;
  const at = hitAt(hit);
  if (same) {
    words[at + ENTRY_STAMP] = nowS;
    return FDB_KNOWN;
  }
  if (words[FDB_PORT_COUNT + port] >= words[FDB_PORT_LIMIT + port]) {
    if (words[FDB_PORT_COUNT + port] === 0) return FDB_PORT_REFUSED;
    fdbEvict(fdb, port);
  }
  removeEntry(fdb, at);
  writeEntry(fdb, at, lo, hi, port, 0, nowS);
  fdb.counters[COUNTER_MOVED]++;
  return FDB_MOVED;
}

/** The port with most learned entries; `port` if none has more. */
export function fdbHeaviestPort(fdb: Fdb, port: number): number {
  const words = fdb.words;
  const seen = words[FDB_PORTS_SEEN];
  let heaviest = port;
  for (let other = 0; other < seen; other++) {
    if (words[FDB_PORT_COUNT + other] > words[FDB_PORT_COUNT + heaviest]) heaviest = other;
  }
  return heaviest;
}

/** Removes one learned entry of a port that has some. */
export function fdbEvict(fdb: Fdb, port: number): void {
  const words = fdb.words;
  const oldest = oldestNode(fdb, port);
  let victim = oldest;
  let node = oldest;
  for (let sample = 1; sample < EVICT_SAMPLE; sample++) {
    node = nextNode(fdb, node);
    if (node >= fdb.slotCount) break;
    if (((stampOf(words, node) - stampOf(words, victim)) | 0) < 0) victim = node;
  }
  removeEntry(fdb, FDB_SLOTS + (victim << 2));
  fdb.counters[COUNTER_EVICTED]++;
  if (victim === oldest) return;
  // The oldest is in use: it goes to the back, or four such entries would be the whole sample for ever.
  unlink(fdb, oldest);
  linkNewest(fdb, oldest, port);
}

function stampOf(words: Int32Array, slot: number): number {
  return words[FDB_SLOTS + (slot << 2) + ENTRY_STAMP];
}
