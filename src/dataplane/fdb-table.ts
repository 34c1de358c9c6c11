// Changing the fdb from the control side: what a person does to it, and the sweep that a timer does once a second.
//
// Each change holds the table's lock for one address, or for a stretch of STRETCH_BUCKETS buckets (256 slots, about a
// microsecond), and gives it back between stretches; a worker that finds it taken learns one frame later. These
// functions may wait for the lock, by LOCK_TRIES tries and 20 naps of 1 ms: not for threads that move packets.

import { RingyardError } from "../core/errors.ts";
import { isGroupMac, parseMac } from "../core/mac.ts";
import { fdbTryLock, fdbUnlock, removeEntry, writeEntry } from "./fdb-entry.ts";
import { fdbFind, hitAt, vidOf } from "./fdb-find.ts";
import {
  COUNTER_AGED,
  COUNTER_PORT_MOVED,
  ENTRY_STAMP,
  ENTRY_TAG,
  FDB_AGEING,
  FDB_COUNT,
  FDB_LIMIT,
  FDB_LOCK,
  FDB_PORT_COUNT,
  FDB_PORT_LIMIT,
  FDB_PORTS_MAX,
  FDB_SLOTS,
  FDB_SWEEP_BUCKET,
  FDB_VIDS,
  type Fdb,
  TAG_STATIC,
} from "./fdb-layout.ts";
import { fdbEvict, fdbHeaviestPort } from "./fdb-learn.ts";
import { placeEntry } from "./fdb-place.ts";

const STRETCH_BUCKETS = 64;
const LOCK_TRIES = 2000;
const TRIES_PER_NAP = 100;
/** IEEE 802.1Q-2018, table 8-6: the range of the ageing time ends here. */
const AGEING_MAX_S = 1_000_000;

/** Binds an address of a VLAN to a port for good; an entry that it has there already, of either kind, is replaced. */
export function fdbAddStatic(fdb: Fdb, mac: string, port: number, vid = 0): void {
  const { lo, hi } = parseMac(mac);
  if (isGroupMac(lo) || (lo === 0 && hi === 0)) {
    throw new RingyardError("BAD_OPTION", `${mac} is not the address of one station`, "use a unicast address");
  }
  checkRange("fdb: port", port, 0, FDB_PORTS_MAX - 1);
  checkRange("fdb: VLAN", vid, 0, FDB_VIDS - 1);
  locked(fdb, () => {
    const { words } = fdb;
    const hit = fdbFind(fdb, lo, hi, vid);
    if (hit >= 0) {
      removeEntry(fdb, hitAt(hit));
      writeEntry(fdb, hitAt(hit), lo, hi, vid, port, TAG_STATIC, 0);
      return;
    }
    const loser = fdbHeaviestPort(fdb, port);
    const evicts = words[FDB_COUNT] >= words[FDB_LIMIT];
    const at = evicts && words[FDB_PORT_COUNT + loser] === 0 ? -1 : placeEntry(fdb, lo, hi, vid);
    if (at < 0) throw new RingyardError("LIMIT", `fdb: no room for ${mac}`, "delete static entries or raise the limit");
    if (evicts) fdbEvict(fdb, loser);
    writeEntry(fdb, at, lo, hi, vid, port, TAG_STATIC, 0);
  });
}

/** Removes an address of a VLAN, of either kind; false if there is none. */
export function fdbDelete(fdb: Fdb, mac: string, vid = 0): boolean {
  const { lo, hi } = parseMac(mac);
  checkRange("fdb: VLAN", vid, 0, FDB_VIDS - 1);
  return locked(fdb, () => {
    const hit = fdbFind(fdb, lo, hi, vid);
    if (hit >= 0) removeEntry(fdb, hitAt(hit));
    return hit >= 0;
  });
}

/** What a flush removes: learned entries, static ones too if asked; of all ports and VLANs, or of those that are named. */
export interface FlushOptions {
  port?: number;
  vid?: number;
  statics?: boolean;
  /** Only where this is true of an entry's port and VLAN. */
  where?(port: number, vid: number): boolean;
}

/** Returns how many it removed. */
export function fdbFlush(fdb: Fdb, { port, vid, statics = false, where }: FlushOptions = {}): number {
  const stretch = Math.min(STRETCH_BUCKETS, fdb.slotCount / 4); // both are powers of two
  let removed = 0;
  for (let bucket = 0; bucket < fdb.slotCount / 4; bucket += stretch) {
    removed += locked(fdb, () =>
      removeWhere(fdb, bucket, stretch, (tag, at) => {
        const itsPort = (tag >>> 16) & 0xff;
        const itsVid = vidOf(fdb, at);
        if ((port ?? itsPort) !== itsPort || (vid ?? itsVid) !== itsVid) return false;
        return (statics || (tag & TAG_STATIC) === 0) && (where?.(itsPort, itsVid) ?? true);
      }),
    );
  }
  return removed;
}

/**
 * Frees the slots of aged entries in the next `maxBuckets` buckets; returns how many. Lookups ignore such entries
 * already, so this only has to keep up with the limits: by default a round of the table takes 16 calls.
 */
export function fdbSweep(fdb: Fdb, nowS: number, maxBuckets = fdb.slotCount / 64): number {
  const { words } = fdb;
  const bucketCount = fdb.slotCount / 4;
  const aged = (tag: number, at: number) =>
    (tag & TAG_STATIC) === 0 && ((nowS - words[at + ENTRY_STAMP]) | 0) > words[FDB_AGEING + vidOf(fdb, at)];
  let removed = 0;
  for (let left = Math.min(Math.trunc(maxBuckets), bucketCount); left > 0; ) {
    const first = words[FDB_SWEEP_BUCKET];
    const count = Math.min(left, STRETCH_BUCKETS, bucketCount - first);
    removed += locked(fdb, () => {
      const gone = removeWhere(fdb, first, count, aged);
      fdb.counters[COUNTER_AGED] += gone;
      words[FDB_SWEEP_BUCKET] = (first + count) % bucketCount;
      return gone;
    });
    left -= count;
  }
  return removed;
}

/** Sets the ageing time of all VLANs, but for those that have one of their own. */
export function fdbSetAgeing(fdb: Fdb, ageingS: number, ofVlans: ReadonlyMap<number, number> = new Map()): void {
  checkRange("fdb: ageing time", ageingS, 1, AGEING_MAX_S);
  for (const own of ofVlans.values()) checkRange("fdb: ageing time", own, 1, AGEING_MAX_S);
  for (let vid = 0; vid < FDB_VIDS; vid++) Atomics.store(fdb.words, FDB_AGEING + vid, ofVlans.get(vid) ?? ageingS);
}

/** Another port has this index now: nothing of the one before is left, and it may learn `limit` addresses. */
export function fdbResetPort(fdb: Fdb, port: number, limit: number): void {
  fdbFlush(fdb, { port, statics: true });
  fdbSetPortLimit(fdb, port, limit);
  locked(fdb, () => {
    fdb.counters[COUNTER_PORT_MOVED + port] = 0;
  });
}

/** Sets how many addresses a port may learn (0: none), and evicts what it has beyond that. */
export function fdbSetPortLimit(fdb: Fdb, port: number, limit: number): void {
  checkRange("fdb: port", port, 0, FDB_PORTS_MAX - 1);
  checkRange("fdb: port limit", limit, 0, fdb.words[FDB_LIMIT]);
  Atomics.store(fdb.words, FDB_PORT_LIMIT + port, limit);
  let done = false;
  while (!done) {
    done = locked(fdb, () => {
      for (let turn = 0; turn < STRETCH_BUCKETS; turn++) {
        if (fdb.words[FDB_PORT_COUNT + port] <= limit) return true;
        fdbEvict(fdb, port);
      }
      return false;
    });
  }
}

function removeWhere(fdb: Fdb, bucket: number, count: number, dead: (tag: number, at: number) => boolean): number {
  const end = FDB_SLOTS + (bucket + count) * 16;
  let removed = 0;
  for (let at = end - count * 16; at < end; at += 4) {
    const tag = fdb.words[at + ENTRY_TAG];
    if (tag === 0 || !dead(tag, at)) continue;
    removeEntry(fdb, at);
    removed++;
  }
  return removed;
}

/** Runs a change, of some microseconds, under the table's lock. */
export function locked<T>(fdb: Fdb, change: () => T): T {
  for (let tries = 1; !fdbTryLock(fdb); tries++) {
    if (tries > LOCK_TRIES) {
      throw new RingyardError("BUSY", "fdb: another thread keeps the table's lock", "try again; if it stays, restart");
    }
    // Nobody notifies: a worker holds the lock for less than a microsecond, unless it was preempted.
    if (tries % TRIES_PER_NAP === 0) Atomics.wait(fdb.words, FDB_LOCK, 1, 1);
  }
  try {
    return change();
  } finally {
    fdbUnlock(fdb);
  }
}

function checkRange(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RingyardError("BAD_OPTION", `${what} ${value} is not in ${min}..${max}`, "choose one that is");
}
