// Reading the fdb for people and metrics: entries, counts, counters. Takes no lock, so it never disturbs a worker; it
// shows every entry whole (by its seal and its place, see fdb-find.ts), but not all entries of one instant: an entry that another
// thread moves to another slot meanwhile may show twice or not at all. Control thread; any thread may.

import { formatMac } from "../core/mac.ts";
import { fdbFind, hitAt, vidOf } from "./fdb-find.ts";
import {
  COUNTER_AGED,
  COUNTER_EVICTED,
  COUNTER_LEARNED,
  COUNTER_MOVED,
  COUNTER_PORT_MOVED,
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
  /** 0: none. */
  readonly vid: number;
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

/** Slots of one stretch: some hundred entries where the table is full. */
const STRETCH_SLOTS = 2048;

/** The entries that a lookup would find, in no order; of one port, of one VLAN, if given. In pieces of a stretch of the table each, perhaps empty. */
export function* fdbEntries(fdb: Fdb, nowS: number, port?: number, vid?: number): Generator<FdbEntry[]> {
  for (let first = 0; first < fdb.slotCount; first += STRETCH_SLOTS) {
    yield entriesOf(fdb, first, Math.min(STRETCH_SLOTS, fdb.slotCount - first), nowS, port, vid);
  }
}

function entriesOf(
  fdb: Fdb,
  first: number,
  count: number,
  nowS: number,
  port: number | undefined,
  vid: number | undefined,
): FdbEntry[] {
  const { words } = fdb;
  const entries: FdbEntry[] = [];
  const end = FDB_SLOTS + (first + count) * 4;
  for (let at = end - count * 4; at < end; at += 4) {
    const tag = words[at + ENTRY_TAG];
    if ((tag & TAG_VALID) === 0) continue;
    const entryPort = (tag >>> 16) & 0xff;
    if (port !== undefined && port !== entryPort) continue;
    const lo = words[at];
    const entryVid = vidOf(fdb, at);
    if (entryVid < 0 || (vid ?? entryVid) !== entryVid) continue;
    // A mixture that passes for an entry of some VLAN would have to lie in the right bucket, too.
    const hit = fdbFind(fdb, lo, tag & 0xffff, entryVid);
    if (hit < 0 || hitAt(hit) !== at) continue;
    const isStatic = (tag & TAG_STATIC) !== 0;
    // A worker's clock reading may be newer than ours.
    const ageS = isStatic ? 0 : Math.max(0, nowS - words[at + ENTRY_STAMP]);
    if (ageS > words[FDB_AGEING + entryVid]) continue;
    entries.push({ mac: formatMac(lo, tag & 0xffff), vid: entryVid, port: entryPort, ageS, static: isStatic });
  }
  return entries;
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

/** How many addresses a port has learned (those that await the sweep included), how many it may, and how many moved to it. */
export function fdbPortUse(fdb: Fdb, port: number): { count: number; limit: number; moved: number } {
  return {
    count: Atomics.load(fdb.words, FDB_PORT_COUNT + port),
    limit: Atomics.load(fdb.words, FDB_PORT_LIMIT + port),
    moved: fdb.counters[COUNTER_PORT_MOVED + port],
  };
}
