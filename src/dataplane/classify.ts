// HOT
// The learning switch's mind: reads each frame's addresses, learns the source, looks the destination up, and writes a
// verdict. Frames of a burst mostly repeat their neighbour's addresses, so the last answer is kept for one burst.
//
//   frame: 0 destination (6) | 6 source (6) | 12 EtherType     words 0, 4, 8 as little-endian int32 hold both addresses
//
// Dropped here: a group or zero source (IEEE 802.3, 3.2.3), link-local destinations 01-80-C2-00-00-0X that no bridge
// forwards (IEEE 802.1Q, 8.6.3), unicast back to the port it came from.

import type { Batch } from "../mem/batch.ts";
import { DROP_BAD_SOURCE, DROP_OWN_PORT, DROP_RESERVED } from "../mem/counters.ts";
import { fdbLearn, fdbLookup } from "./fdb.ts";
import { CLOCK_S } from "./shared.ts";
import type { Tables } from "./tables.ts";
import { dropVerdict, VERDICT_FLOOD } from "./verdict.ts";

const RESERVED_LO = 0x00c28001;
const BAD_SOURCE = dropVerdict(DROP_BAD_SOURCE);
const OWN_PORT = dropVerdict(DROP_OWN_PORT);
export const RESERVED = dropVerdict(DROP_RESERVED);

/**
 * Writes batch.verdict for each frame that came in on `port`. Sets tables.uniform where all frames go to one port, and
 * tables.longest.
 */
export function classify(tables: Tables, batch: Batch, port: number): void {
  const views = tables.windows.view;
  const fdb = tables.fdb;
  const nowS = tables.control[CLOCK_S];
  const count = batch.count;
  const verdicts = batch.verdict;
  const window = batch.pool.window;
  const offset = batch.pool.offset;
  let lastSourceLo = 0;
  let lastSourceHi = 0;
  let lastLo = 0;
  let lastHi = -1;
  let verdict = VERDICT_FLOOD;
  let firstVerdict = VERDICT_FLOOD;
  let uniform = true;
  let longest = 0;
  for (let i = 0; i < count; i++) {
    const first = batch.first[i];
    const view = views[window[first]];
    const at = offset[first];
    const lo = view.getInt32(at, true);
    const middle = view.getInt32(at + 4, true);
    const hi = middle & 0xffff;
    const end = view.getInt32(at + 8, true);
    const sourceLo = (middle >>> 16) | (end << 16);
    const sourceHi = end >>> 16;
    longest = Math.max(longest, batch.length[i]);
    if (sourceLo !== lastSourceLo || sourceHi !== lastSourceHi) {
      if ((sourceLo & 1) !== 0 || (sourceLo | sourceHi) === 0) {
        verdicts[i] = BAD_SOURCE;
        uniform = false;
        continue;
      }
      fdbLearn(fdb, sourceLo, sourceHi, port, nowS);
      lastSourceLo = sourceLo;
      lastSourceHi = sourceHi;
    } else if ((sourceLo | sourceHi) === 0) {
      // Zero equals the initial "last" address.
      verdicts[i] = BAD_SOURCE;
      uniform = false;
      continue;
    }
    if (lo !== lastLo || hi !== lastHi) {
      verdict = destination(tables, lo, hi, port, nowS);
      lastLo = lo;
      lastHi = hi;
    }
    verdicts[i] = verdict;
    if (i === 0) firstVerdict = verdict;
    else if (verdict !== firstVerdict) uniform = false;
  }
  tables.uniform = uniform && firstVerdict >= 0;
  tables.longest = longest;
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
