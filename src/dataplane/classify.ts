// HOT
// The learning switch's mind: reads each frame's addresses, learns the source, looks the destination up, and writes a
// verdict. In most bursts all frames have the same addresses, and one answer is theirs; from the first frame with others on, the
// addresses of all are looked for together (fdb-burst.ts).
//
//   frame: 0 destination (6) | 6 source (6) | 12 EtherType     words 0, 4, 8 as little-endian int32 hold both addresses
//
// Dropped here: a group or zero source (IEEE 802.3, 3.2.3), link-local destinations 01-80-C2-00-00-0X that no bridge
// forwards (IEEE 802.1Q, 8.6.3), unicast back to the port it came from.

import type { Batch } from "../mem/batch.ts";
import { DROP_BAD_SOURCE, DROP_OWN_PORT, DROP_RESERVED } from "../mem/counters.ts";
import { fdbLearn, fdbLookup } from "./fdb.ts";
import { BurstAddresses, fdbKnownAt, fdbPlace, fdbPortAt, fdbTouch } from "./fdb-burst.ts";
import { CLOCK_S } from "./shared.ts";
import type { Tables } from "./tables.ts";
import { dropVerdict, VERDICT_FLOOD } from "./verdict.ts";

const RESERVED_LO = 0x00c28001;
const BAD_SOURCE = dropVerdict(DROP_BAD_SOURCE);
const OWN_PORT = dropVerdict(DROP_OWN_PORT);
export const RESERVED = dropVerdict(DROP_RESERVED);

/** Between the passes of one burst; a thread classifies one at a time. */
const burst = new BurstAddresses();

/**
 * Writes batch.verdict for each frame that came in on `port`. Sets tables.uniform where all frames go to one port, and
 * tables.longest.
 */
export function classify(tables: Tables, batch: Batch, port: number): void {
  const views = tables.windows.view;
  const count = batch.count;
  const verdicts = batch.verdict;
  const firsts = batch.first;
  const lengths = batch.length;
  const window = batch.pool.window;
  const offset = batch.pool.offset;
  tables.uniform = false;
  tables.longest = 0;
  if (count === 0) return;
  const firstView = views[window[firsts[0]]];
  const start = offset[firsts[0]];
  const lo = firstView.getInt32(start, true);
  const middle = firstView.getInt32(start + 4, true);
  const end = firstView.getInt32(start + 8, true);
  const verdict = first(tables, lo, middle, end, port);
  let longest = lengths[0];
  let i = 0;
  for (; i < count; i++) {
    const segment = firsts[i];
    const view = views[window[segment]];
    const at = offset[segment];
    if (view.getInt32(at, true) !== lo || view.getInt32(at + 4, true) !== middle) break;
    if (view.getInt32(at + 8, true) !== end) break;
    verdicts[i] = verdict;
    longest = Math.max(longest, lengths[i]);
  }
  tables.uniform = verdict >= 0;
  tables.longest = longest;
  if (i === count) return;
  // By the sender's hand, the first frame may be another one by now; it is judged already.
  if (i === 0) verdicts[i++] = verdict;
  readAddresses(tables, batch, i);
  fdbTouch(tables.fdb, burst, i, count);
  decide(tables, batch, port, i);
}

/** The verdict on the first frame, of which these are the first three words. */
function first(tables: Tables, lo: number, middle: number, end: number, port: number): number {
  const nowS = tables.control[CLOCK_S];
  const sourceLo = (middle >>> 16) | (end << 16);
  const sourceHi = end >>> 16;
  if ((sourceLo & 1) !== 0 || (sourceLo | sourceHi) === 0) return BAD_SOURCE;
  fdbLearn(tables.fdb, sourceLo, sourceHi, port, nowS);
  return destination(tables, lo, middle & 0xffff, port, nowS);
}

/** Reads the addresses of the frames from `from` on, once, and where they may lie in the fdb. */
function readAddresses(tables: Tables, batch: Batch, from: number): void {
  const views = tables.windows.view;
  const fdb = tables.fdb;
  const count = batch.count;
  const firsts = batch.first;
  const lengths = batch.length;
  const window = batch.pool.window;
  const offset = batch.pool.offset;
  let longest = tables.longest;
  for (let i = from; i < count; i++) {
    const segment = firsts[i];
    const view = views[window[segment]];
    const at = offset[segment];
    const lo = view.getInt32(at, true);
    const middle = view.getInt32(at + 4, true);
    const end = view.getInt32(at + 8, true);
    const sourceLo = (middle >>> 16) | (end << 16);
    longest = Math.max(longest, lengths[i]);
    burst.lo[i] = lo;
    burst.hi[i] = middle & 0xffff;
    burst.at[i] = fdbPlace(fdb, lo, middle & 0xffff);
    burst.sourceLo[i] = sourceLo;
    burst.sourceHi[i] = end >>> 16;
    burst.sourceAt[i] = fdbPlace(fdb, sourceLo, end >>> 16);
  }
  tables.longest = longest;
}

/** Learns and looks up, frame by frame in their order, for those from `from` on. */
function decide(tables: Tables, batch: Batch, port: number, from: number): void {
  // No frame's source.
  burst.lastHi = -1;
  for (let i = decideKnown(tables, batch, port, from); i < batch.count; ) {
    decideOther(tables, batch, port, i);
    i = decideKnown(tables, batch, port, i + 1);
  }
}

/**
 * Of the frames from `from` on, those up to the first of another kind: an address that does not lie where it prefers to, is unknown, is to be
 * learned, is no station's (the fdb never has a group address or zero), or lies at the frame's own port. Returns its index. It calls
 * nothing but what the engine puts in its place: behind a real call all of this would have to be found anew.
 */
function decideKnown(tables: Tables, batch: Batch, port: number, from: number): number {
  const { fdb } = tables;
  const { at, hi, lo, sourceAt, sourceHi, sourceLo } = burst;
  const { count, verdict: verdicts } = batch;
  const nowS = tables.control[CLOCK_S];
  const firstVerdict = verdicts[0];
  let { lastHi, lastLo } = burst;
  let uniform = tables.uniform;
  let i = from;
  for (; i < count; i++) {
    const fromLo = sourceLo[i];
    const fromHi = sourceHi[i];
    if (fromLo !== lastLo || fromHi !== lastHi) {
      if (!fdbKnownAt(fdb, sourceAt[i], fromLo, fromHi, port, nowS)) break;
      lastLo = fromLo;
      lastHi = fromHi;
    }
    const verdict = fdbPortAt(fdb, at[i], lo[i], hi[i], nowS);
    if (verdict < 0 || verdict === port) break;
    verdicts[i] = verdict;
    if (verdict !== firstVerdict) uniform = false;
  }
  burst.lastLo = lastLo;
  burst.lastHi = lastHi;
  tables.uniform = uniform;
  return i;
}

/** Frame `i`, whatever it is. */
function decideOther(tables: Tables, batch: Batch, port: number, i: number): void {
  const nowS = tables.control[CLOCK_S];
  const fromLo = burst.sourceLo[i];
  const fromHi = burst.sourceHi[i];
  let verdict = BAD_SOURCE;
  if ((fromLo & 1) === 0 && (fromLo | fromHi) !== 0) {
    // Once for neighbours, since an address that cannot be learned costs the table's lock each time.
    if (fromLo !== burst.lastLo || fromHi !== burst.lastHi) fdbLearn(tables.fdb, fromLo, fromHi, port, nowS);
    burst.lastLo = fromLo;
    burst.lastHi = fromHi;
    verdict = destination(tables, burst.lo[i], burst.hi[i], port, nowS);
  }
  batch.verdict[i] = verdict;
  if (verdict !== batch.verdict[0]) tables.uniform = false;
}

/** The verdict on a frame to this address that came in on `port`. */
export function destination(tables: Tables, lo: number, hi: number, port: number, nowS: number): number {
  if ((lo & 1) !== 0) return isReserved(lo, hi) ? RESERVED : VERDICT_FLOOD;
  const out = fdbLookup(tables.fdb, lo, hi, nowS);
  return out === port ? OWN_PORT : out;
}

/** Whether this is one of the addresses 01-80-C2-00-00-0X. */
export function isReserved(lo: number, hi: number): boolean {
  return lo === RESERVED_LO && (hi & 0xf0ff) === 0;
}
