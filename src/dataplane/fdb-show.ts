// Reading the fdb for people and metrics: entries, counts, counters. Takes no lock, so it never disturbs a worker; it
// shows every entry whole (by its seal, see fdb-find.ts), but not all entries of one instant: an entry that another
// thread moves to its other bucket meanwhile may show twice or not at all. Control thread; any thread may.

import { formatMac } from "../core/mac.ts";
import { fdbSeal } from "./fdb-find.ts";
import {
  COUNTER_AGED,
  COUNTER_EVICTED,
  COUNTER_LEARNED,
  COUNTER_MOVED,
  ENTRY_SEAL,
  ENTRY_STAMP,
  ENTRY_TAG,
  FDB_AGEING,
  FDB_COUNT,
  FDB_LIMIT,
  FDB_PORT_COUNT,
  FDB_PORT_LIMIT,
  FDB_SLOTS,
  type Fdb,
  TAG_STATIC,
  TAG_VALID,
} from "./fdb-layout.ts";

export interface FdbEntry {
  readonly mac: string;
  readonly port: number;
  /** Seconds since its last frame; 0 for a static entry. */
  readonly ageS: number;
  readonly static: boolean;
}

export interface FdbTotals {
  /** Slots in use: learned, static, and aged but not yet swept. */
  readonly count: number;
  readonly limit: number;
  readonly learned: number;
  readonly moved: number;
  readonly evicted: number;
  readonly aged: number;
}

/** The entries that a lookup would find, in no order; of one port, if given. */
export function* fdbEntries(fdb: Fdb, nowS: number, port?: number): Generator<FdbEntry> {
  const { words } = fdb;
  const ageingS = Atomics.load(words, FDB_AGEING);
  for (let at = FDB_SLOTS; at < fdb.links; at += 4) {
    const tag = words[at + ENTRY_TAG];
    if ((tag & TAG_VALID) === 0) continue;
    const lo = words[at];
    const entryPort = (tag >>> 16) & 0xff;
    if (words[at + ENTRY_SEAL] !== fdbSeal(fdb, lo, tag) || (port !== undefined && port !== entryPort)) continue;
    const isStatic = (tag & TAG_STATIC) !== 0;
    // A worker's clock reading may be newer than ours.
    const ageS = isStatic ? 0 : Math.max(0, nowS - words[at + ENTRY_STAMP]);
    if (ageS <= ageingS) yield { mac: formatMac(lo, tag & 0xffff), port: entryPort, ageS, static: isStatic };
  }
}

export function fdbTotals(fdb: Fdb): FdbTotals {
  const { words, counters } = fdb;
  return {
    count: Atomics.load(words, FDB_COUNT),
    limit: words[FDB_LIMIT],
    learned: counters[COUNTER_LEARNED],
    moved: counters[COUNTER_MOVED],
    evicted: counters[COUNTER_EVICTED],
    aged: counters[COUNTER_AGED],
  };
}

/** How many addresses a port has learned (those that await the sweep included), and how many it may. */
export function fdbPortUse(fdb: Fdb, port: number): { count: number; limit: number } {
  return {
    count: Atomics.load(fdb.words, FDB_PORT_COUNT + port),
    limit: Atomics.load(fdb.words, FDB_PORT_LIMIT + port),
  };
}
