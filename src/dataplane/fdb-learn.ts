// HOT
// Learning an address that the fdb does not have, or has at another port: the part of fdbLearn that takes the lock.
//
// Who loses (the fairness of Open vSwitch, lib/mac-learning.h): at its own limit a port loses one of its own entries;
// at the table's limit the port with most entries does, in a tie the learning port itself. So a port that floods
// addresses pushes out its own, and those of the others stay. Static entries are never evicted; they count towards the
// table's limit, not the port's. Which entry: the longest unseen of the EVICT_SAMPLE learned first.
//
// Work of one learn, at most: a find, 256 port counts, EVICT_SAMPLE entries, 10 buckets (its own two, and one for each
// entry in them), 128 pilots for four hashes (five are tried mostly, fdb-place.ts). Called by workers through fdb.ts.
//
// Ports' policies (FdbRules) come with the call, since they change with a worker's plan. A port's addresses count until the sweep takes
// them away, at most 16 s after they aged; where they stay, they do so until they age.

import {
  fdbSpinLock,
  fdbUnlock,
  linkNewest,
  nextNode,
  oldestNode,
  removeEntry,
  unlink,
  writeEntry,
} from "./fdb-entry.ts";
import { fdbFind, HIT_PORT, HIT_STATIC, hitAt } from "./fdb-find.ts";
import {
  COUNTER_EVICTED,
  COUNTER_LEARNED,
  COUNTER_MOVED,
  COUNTER_PORT_MOVED,
  ENTRY_STAMP,
  FDB_AGEING,
  FDB_BUSY,
  FDB_COUNT,
  FDB_FULL,
  FDB_KNOWN,
  FDB_LEARNED,
  FDB_LIMIT,
  FDB_MOVED,
  FDB_MOVES,
  FDB_MOVES_NOTED,
  FDB_PORT_COUNT,
  FDB_PORT_FULL,
  FDB_PORT_LIMIT,
  FDB_PORT_REFUSED,
  FDB_PORTS_MAX,
  FDB_PORTS_SEEN,
  FDB_SLOTS,
  FDB_STATIC,
  FDB_STAYS,
  type Fdb,
  type FdbRules,
  MOVE_WORDS,
  MOVES_KEPT,
} from "./fdb-layout.ts";
import { placeEntry } from "./fdb-place.ts";

const EVICT_SAMPLE = 4;

/** What fdbLearn does with an address that is not known as one that `port` learned; `hit` says what was found. */
export function fdbLearnElsewhere(
  fdb: Fdb,
  hit: number,
  lo: number,
  hi: number,
  port: number,
  nowS: number,
  vid: number,
  rules: FdbRules | null,
): number {
  const isStatic = hit >= 0 && (hit & HIT_STATIC) !== 0;
  if (isStatic && (hit & HIT_PORT) === port) return FDB_KNOWN;
  // What is refused does not cost the lock: a guest may send nothing else.
  const refused = rules === null ? FDB_KNOWN : refusedByRules(fdb, hit, port, nowS, vid, rules);
  if (refused !== FDB_KNOWN) return refused;
  return isStatic ? FDB_STATIC : fdbLearnUnknown(fdb, lo, hi, port, nowS, vid, rules);
}

export function fdbLearnUnknown(
  fdb: Fdb,
  lo: number,
  hi: number,
  port: number,
  nowS: number,
  vid = 0,
  rules: FdbRules | null = null,
): number {
  if (port >>> 0 >= FDB_PORTS_MAX) return FDB_PORT_REFUSED;
  if (!fdbSpinLock(fdb)) return FDB_BUSY;
  const hit = fdbFind(fdb, lo, hi, vid);
  let outcome = rules === null ? FDB_KNOWN : refusedByRules(fdb, hit, port, nowS, vid, rules);
  if (outcome === FDB_KNOWN) {
    outcome = hit < 0 ? learnNew(fdb, lo, hi, vid, port, nowS) : learnMove(fdb, hit, lo, hi, vid, port, nowS);
  }
  fdbUnlock(fdb);
  return outcome;
}

/** FDB_STAYS or FDB_PORT_FULL where the rules of ports let no address come to `port` that was found as `hit`; else FDB_KNOWN. */
export function refusedByRules(
  fdb: Fdb,
  hit: number,
  port: number,
  nowS: number,
  vid: number,
  rules: FdbRules,
): number {
  const words = fdb.words;
  const owner = hit & HIT_PORT;
  if (hit >= 0 && owner === port) return FDB_KNOWN;
  const isStatic = hit >= 0 && (hit & HIT_STATIC) !== 0;
  if (hit >= 0 && rules.stays[owner] !== 0) {
    if (isStatic || ((nowS - words[hitAt(hit) + ENTRY_STAMP]) | 0) <= words[FDB_AGEING + vid]) return FDB_STAYS;
  }
  if (isStatic || rules.evicts[port] !== 0) return FDB_KNOWN;
  return words[FDB_PORT_COUNT + port] >= words[FDB_PORT_LIMIT + port] ? FDB_PORT_FULL : FDB_KNOWN;
}

function learnNew(fdb: Fdb, lo: number, hi: number, vid: number, port: number, nowS: number): number {
  const words = fdb.words;
  const atPortLimit = words[FDB_PORT_COUNT + port] >= words[FDB_PORT_LIMIT + port];
  let loser = -1;
  if (atPortLimit) loser = port;
  else if (words[FDB_COUNT] >= words[FDB_LIMIT]) loser = fdbHeaviestPort(fdb, port);
  if (loser >= 0 && words[FDB_PORT_COUNT + loser] === 0) return atPortLimit ? FDB_PORT_REFUSED : FDB_FULL;
  const at = placeEntry(fdb, lo, hi, vid);
  if (at < 0) return FDB_FULL;
  if (loser >= 0) fdbEvict(fdb, loser);
  writeEntry(fdb, at, lo, hi, vid, port, 0, nowS);
  fdb.counters[COUNTER_LEARNED]++;
  return FDB_LEARNED;
}

/** Looks again, now that nothing changes any more: another thread may have learned or moved the address meanwhile. */
function learnMove(fdb: Fdb, hit: number, lo: number, hi: number, vid: number, port: number, nowS: number): number {
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
  writeEntry(fdb, at, lo, hi, vid, port, 0, nowS);
  fdb.counters[COUNTER_MOVED]++;
  fdb.counters[COUNTER_PORT_MOVED + port]++;
  noteMove(fdb, lo, hi | (vid << 16), port | ((hit & HIT_PORT) << 8), nowS);
  return FDB_MOVED;
}

/** For the control thread, which looks once a second for addresses that move to and fro (fdb-moves.ts). */
function noteMove(fdb: Fdb, lo: number, hiVid: number, ports: number, nowS: number): void {
  const words = fdb.words;
  const noted = words[FDB_MOVES_NOTED];
  const at = FDB_MOVES + (noted & (MOVES_KEPT - 1)) * MOVE_WORDS;
  words[at] = lo;
  words[at + 1] = hiVid;
  words[at + 2] = ports;
  words[at + 3] = nowS;
  words[FDB_MOVES_NOTED] = (noted + 1) | 0;
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
