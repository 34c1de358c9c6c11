// Changing the fdb from the control side: one address, or the ageing times. What goes through all addresses: fdb-steps.ts.
//
// Each change holds the table's lock for one address; a worker that finds it taken learns one frame later. These
// functions may wait for the lock, by LOCK_TRIES tries and 20 naps of 1 ms: not for threads that move packets.

import { RingyardError } from "../core/errors.ts";
import { isGroupMac, parseMac } from "../core/mac.ts";
import { fdbTryLock, fdbUnlock, removeEntry, writeEntry } from "./fdb-entry.ts";
import { fdbFind, hitAt } from "./fdb-find.ts";
import {
  FDB_AGEING,
  FDB_COUNT,
  FDB_LIMIT,
  FDB_LOCK,
  FDB_PORT_COUNT,
  FDB_PORTS_MAX,
  FDB_SWITCH_AGEING,
  FDB_VIDS,
  type Fdb,
  TAG_STATIC,
} from "./fdb-layout.ts";
import { fdbEvict, fdbHeaviestPort } from "./fdb-learn.ts";
import { placeEntry } from "./fdb-place.ts";

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

/** Sets the ageing time of the switch, and so of all VLANs, but for those that have one of their own. */
export function fdbSetAgeing(fdb: Fdb, ageingS: number, ofVlans: ReadonlyMap<number, number> = new Map()): void {
  checkRange("fdb: ageing time", ageingS, 1, AGEING_MAX_S);
  for (const own of ofVlans.values()) checkRange("fdb: ageing time", own, 1, AGEING_MAX_S);
  Atomics.store(fdb.words, FDB_SWITCH_AGEING, ageingS);
  for (let vid = 0; vid < FDB_VIDS; vid++) Atomics.store(fdb.words, FDB_AGEING + vid, ofVlans.get(vid) ?? ageingS);
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

/** Throws BAD_OPTION. */
export function checkRange(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RingyardError("BAD_OPTION", `${what} ${value} is not in ${min}..${max}`, "choose one that is");
}
