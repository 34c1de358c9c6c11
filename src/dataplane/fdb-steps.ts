// Changes that go through all of the fdb, or through all of a port's addresses: flush, sweep, limits. Of a million addresses they take a
// tenth of a second, so each is a generator, and whoever runs it has others do something between two steps (core/turns.ts).
//
//   step   | lock, a stretch of buckets, unlock |   some microseconds; what happens between two steps is seen by those that follow
//
// A step throws BUSY where the lock cannot be had (fdb-table.ts); what earlier steps did stays done. An entry that a learn moves to a bucket
// behind (fdb-place.ts: one in ten thousand has to) is missed. Control thread.

import { removeEntry } from "./fdb-entry.ts";
import { vidOf } from "./fdb-find.ts";
import {
  COUNTER_AGED,
  COUNTER_PORT_MOVED,
  ENTRY_STAMP,
  ENTRY_TAG,
  FDB_AGEING,
  FDB_LIMIT,
  FDB_PORT_COUNT,
  FDB_PORT_LIMIT,
  FDB_PORTS_MAX,
  FDB_SLOTS,
  FDB_SWEEP_BUCKET,
  FDB_VIDS,
  type Fdb,
  TAG_STATIC,
} from "./fdb-layout.ts";
import { fdbEvict } from "./fdb-learn.ts";
import { checkRange, locked } from "./fdb-table.ts";

const STRETCH_BUCKETS = 64;
const WORDS_PER_BUCKET = 16;

/** What a flush removes: learned entries, static ones too if asked; of all ports and VLANs, or of those that are named. */
export interface FlushOptions {
  port?: number;
  vid?: number;
  statics?: boolean;
  /** Only where this is true of an entry's port and VLAN. */
  where?(port: number, vid: number): boolean;
}

/** Returns how many it removed. */
export function* fdbFlushSteps(fdb: Fdb, options: FlushOptions = {}): Generator<void, number> {
  const stretch = Math.min(STRETCH_BUCKETS, fdb.slotCount / 4); // both are powers of two
  let removed = 0;
  for (let bucket = 0; bucket < fdb.slotCount / 4; bucket += stretch) {
    removed += locked(fdb, () => flushStretch(fdb, bucket, stretch, options));
    yield;
  }
  return removed;
}

function flushStretch(
  fdb: Fdb,
  first: number,
  count: number,
  { port, vid, statics = false, where }: FlushOptions,
): number {
  const { words } = fdb;
  const end = FDB_SLOTS + (first + count) * WORDS_PER_BUCKET;
  let removed = 0;
  for (let at = end - count * WORDS_PER_BUCKET; at < end; at += 4) {
    const tag = words[at + ENTRY_TAG];
    if (tag === 0 || (!statics && (tag & TAG_STATIC) !== 0)) continue;
    const itsPort = (tag >>> 16) & 0xff;
    if (port !== undefined && port !== itsPort) continue;
    if (vid !== undefined && vid !== vidOf(fdb, at)) continue;
    if (where !== undefined && !where(itsPort, vidOf(fdb, at))) continue;
    removeEntry(fdb, at);
    removed++;
  }
  return removed;
}

/**
 * Frees the slots of aged entries in the next `maxBuckets` buckets; returns how many. Lookups ignore such entries
 * already, so this only has to keep up with the limits: by default a round of the table takes 16 calls. One sweep at a time.
 */
export function* fdbSweepSteps(fdb: Fdb, nowS: number, maxBuckets = fdb.slotCount / 64): Generator<void, number> {
  const { words } = fdb;
  const bucketCount = fdb.slotCount / 4;
  const shortestS = words.subarray(FDB_AGEING, FDB_AGEING + FDB_VIDS).reduce((least, s) => Math.min(least, s));
  let removed = 0;
  for (let left = Math.min(Math.trunc(maxBuckets), bucketCount); left > 0; ) {
    const first = words[FDB_SWEEP_BUCKET];
    const count = Math.min(left, STRETCH_BUCKETS, bucketCount - first);
    removed += locked(fdb, () => {
      const gone = sweepStretch(fdb, first, count, nowS, shortestS);
      fdb.counters[COUNTER_AGED] += gone;
      words[FDB_SWEEP_BUCKET] = (first + count) % bucketCount;
      return gone;
    });
    left -= count;
    yield;
  }
  return removed;
}

/** Most entries are younger than any VLAN's ageing time: theirs need not be known. */
function sweepStretch(fdb: Fdb, first: number, count: number, nowS: number, shortestS: number): number {
  const { words } = fdb;
  const end = FDB_SLOTS + (first + count) * WORDS_PER_BUCKET;
  let removed = 0;
  for (let at = end - count * WORDS_PER_BUCKET; at < end; at += 4) {
    const tag = words[at + ENTRY_TAG];
    if (tag === 0 || (tag & TAG_STATIC) !== 0) continue;
    const ageS = (nowS - words[at + ENTRY_STAMP]) | 0;
    if (ageS <= shortestS || ageS <= words[FDB_AGEING + vidOf(fdb, at)]) continue;
    removeEntry(fdb, at);
    removed++;
  }
  return removed;
}

/**
 * Sets how many addresses a port may learn (0: none), with the first step, and evicts what it has beyond that. Where the limit is set
 * anew meanwhile, the new one counts here, too.
 */
export function* fdbLimitSteps(fdb: Fdb, port: number, limit: number): Generator<void, void> {
  checkRange("fdb: port", port, 0, FDB_PORTS_MAX - 1);
  checkRange("fdb: port limit", limit, 0, fdb.words[FDB_LIMIT]);
  Atomics.store(fdb.words, FDB_PORT_LIMIT + port, limit);
  while (!locked(fdb, () => evictSome(fdb, port))) yield;
}

/** Whether the port has no more than it may. */
function evictSome(fdb: Fdb, port: number): boolean {
  const { words } = fdb;
  for (let turn = 0; turn < STRETCH_BUCKETS; turn++) {
    if (words[FDB_PORT_COUNT + port] <= words[FDB_PORT_LIMIT + port]) return true;
    fdbEvict(fdb, port);
  }
  return false;
}

/** Another port will have this index: nothing of the one before is left, and it may learn `limit` addresses. */
export function* fdbResetSteps(fdb: Fdb, port: number, limit: number): Generator<void, void> {
  yield* fdbFlushSteps(fdb, { port, statics: true });
  yield* fdbLimitSteps(fdb, port, limit);
  locked(fdb, () => {
    fdb.counters[COUNTER_PORT_MOVED + port] = 0;
  });
}
