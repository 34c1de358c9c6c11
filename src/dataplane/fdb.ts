// HOT
// The fdb (MAC table) as the forwarder uses it: which port has this address, and this address was seen on that port.
//
// A lookup, and a learn of what is known already, take no lock and write at most one word, once a second. A learn that
// changes the table waits some microseconds for its lock; if another thread keeps it (it lost its CPU), the address stays
// unlearned until its next frame.
// An entry older than the ageing time is unknown from that second on; the control thread's sweep removes it later.
//
// `lo`, `hi`: see core/mac.ts; the caller has dropped group sources. `vid`: the VLAN, whose addresses are its own; 0 where
// there are no VLANs. `nowS`: whole seconds of one monotonic clock for all threads. Loads are plain, so a loop must read
// something with Atomics between bursts, as the engine does; else the compiler may hoist them. Any thread. Layout:
// fdb-layout.ts; why a reader needs no lock: fdb-find.ts; the control side: fdb-table.ts and fdb-show.ts.

import { fdbFind, HIT_PORT, HIT_STATIC, hitAt } from "./fdb-find.ts";
import { ENTRY_STAMP, FDB_AGEING, FDB_KNOWN, type Fdb, type FdbRules } from "./fdb-layout.ts";
import { fdbLearnElsewhere } from "./fdb-learn.ts";

/** The port of an address, or -1: flood. */
export function fdbLookup(fdb: Fdb, lo: number, hi: number, nowS: number, vid = 0): number {
  const hit = fdbFind(fdb, lo, hi, vid);
  if (hit < 0) return -1;
  const words = fdb.words;
  if ((hit & HIT_STATIC) === 0 && ((nowS - words[hitAt(hit) + ENTRY_STAMP]) | 0) > words[FDB_AGEING + vid]) return -1;
  return hit & HIT_PORT;
}

/** Notes that a frame from this address came in on `port`; returns FDB_KNOWN or another outcome of fdb-layout.ts. */
export function fdbLearn(
  fdb: Fdb,
  lo: number,
  hi: number,
  port: number,
  nowS: number,
  vid = 0,
  rules: FdbRules | null = null,
): number {
  const hit = fdbFind(fdb, lo, hi, vid);
  if (hit >= 0 && (hit & (HIT_STATIC | HIT_PORT)) === port) {
    // Without the lock: should the slot have changed hands meanwhile, its new owner was seen in this second too, or was moved there and
    // ages later than it should. The address itself is refreshed by its next frame then.
    const at = hitAt(hit) + ENTRY_STAMP;
    if (fdb.words[at] !== nowS) fdb.words[at] = nowS;
    return FDB_KNOWN;
  }
  return fdbLearnElsewhere(fdb, hit, lo, hi, port, nowS, vid, rules);
}
