// HOT
// The addresses of a burst whose frames have various ones, looked for in the fdb together.
//
//   frame i:  destination lo, hi, at | source lo, hi, at        at: the place of the slot that the address prefers (fdb-find.ts)
//
// Of 100,000 addresses most lie outside the processor's caches. Asked for one after the other, each is waited for, since what is done
// next hangs on what it says. So places are computed for all frames first and one word of each is loaded in a loop without a decision:
// some twenty lines then come at the same time. What the loads say is not looked at; by the time a frame is decided, its lines are near.
//
// A frame whose addresses lie where they prefer to, 995 of 1000 in a full table, is decided by the functions below with nothing hashed
// anew; everything else takes the way of fdb.ts. No VLANs: with those, frames go through bridge/. One burst at a time, for each thread.

import { BURST } from "../mem/batch.ts";
import { fdbHash, fdbPreferred, fdbSeal } from "./fdb-find.ts";
import { ENTRY_SEAL, ENTRY_STAMP, ENTRY_TAG, FDB_AGEING, type Fdb, TAG_STATIC, TAG_VALID } from "./fdb-layout.ts";

const KEY_BITS = 0xffff | TAG_VALID;

export class BurstAddresses {
  readonly lo = new Int32Array(BURST);
  readonly hi = new Int32Array(BURST);
  readonly at = new Int32Array(BURST);
  readonly sourceLo = new Int32Array(BURST);
  readonly sourceHi = new Int32Array(BURST);
  readonly sourceAt = new Int32Array(BURST);
  /** The source that was learned, or tried to be, last. */
  lastLo = 0;
  lastHi = -1;
  /** Of no meaning: a load whose value goes nowhere is none. */
  touched = 0;
}

/** The place of the slot that this address prefers. */
export function fdbPlace(fdb: Fdb, lo: number, hi: number): number {
  return fdbPreferred(fdb, fdbHash(fdb, lo, hi));
}

/** Has the lines of frames from..count-1 brought near. */
export function fdbTouch(fdb: Fdb, addresses: BurstAddresses, from: number, count: number): void {
  const words = fdb.words;
  const { at, sourceAt } = addresses;
  let touched = 0;
  for (let i = from; i < count; i++) touched ^= words[sourceAt[i]] ^ words[at[i]];
  addresses.touched = touched;
}

/** Whether at this place is an address that `port` learned and was heard from in this second: then nothing is left to learn. */
export function fdbKnownAt(fdb: Fdb, at: number, lo: number, hi: number, port: number, nowS: number): boolean {
  const words = fdb.words;
  const tag = hi | (port << 16) | TAG_VALID;
  return (
    words[at] === lo &&
    words[at + ENTRY_TAG] === tag &&
    words[at + ENTRY_SEAL] === fdbSeal(fdb, lo, tag) &&
    words[at + ENTRY_STAMP] === nowS
  );
}

/** The port of an address, if it is known at this place; -1 says nothing. */
export function fdbPortAt(fdb: Fdb, at: number, lo: number, hi: number, nowS: number): number {
  const words = fdb.words;
  const tag = words[at + ENTRY_TAG];
  if (words[at] !== lo || (tag & KEY_BITS) !== (hi | TAG_VALID)) return -1;
  if (words[at + ENTRY_SEAL] !== fdbSeal(fdb, lo, tag)) return -1;
  if ((tag & TAG_STATIC) === 0 && ((nowS - words[at + ENTRY_STAMP]) | 0) > words[FDB_AGEING]) return -1;
  return (tag >>> 16) & 0xff;
}
