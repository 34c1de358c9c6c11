// HOT
// Which station has which IP address, as the switch has heard it say (suppress.ts): one table for all workers, in shared memory.
//
//   header    0 lock | 16 ... 21 random odd multipliers
//   buckets   BUCKETS of WAYS entries, a cache line each:
//             0 VLAN | family << 16, 0: free   1-4 IP address   5 MAC lo   6 MAC hi | port << 16   7 second of its last claim
//             8 second from which on requests are flooded again, 0: none waits   9 second until which they are flooded, 0: nobody disputes it
//
// A claim is what a guest says, so it is believed only as far as it does no harm: it sends requests for an address to one port instead of
// all. Whoever else claims an address that is held makes it disputed, and requests for it are flooded, as without all this, until nobody
// has disputed it for the ageing time. A request that nobody seems to have answered (no claim since) is flooded two seconds later.
//
// A port's claims take what is free or aged. In a full bucket a port with SHARE entries or more pushes out its own oldest one, a port
// with fewer the oldest one of the port that has most, if those are more than SHARE: so nobody's claims push out the last SHARE
// entries of another port, a quarter of the table. The multipliers are random, so nobody can aim at a bucket; what finds no room is
// not suppressed.
//
// Writers take the lock, or leave it where another has it: the next claim will do. Readers take none. What they read may be a mixture
// of two writes; then a request goes to the port of another station, which a flood would have reached as well, and its sender asks again.

import type { Fdb } from "../fdb-layout.ts";
import { FDB_SWITCH_AGEING } from "../fdb-layout.ts";

const LOCK = 0;
const MULTIPLIERS = 16;
const MULTIPLIER_COUNT = 6;
const FIRST_ENTRY = 32;
const ENTRY_WORDS = 16;
const WAYS = 8;
/** Entries of a bucket that no other port takes from a port. */
const SHARE = 2;
const BUCKETS_LOG2 = 11;
const BUCKET_WORDS = WAYS * ENTRY_WORDS;
const TABLE_WORDS = FIRST_ENTRY + (BUCKET_WORDS << BUCKETS_LOG2);
/** A megabyte, of which pages that no entry uses are never touched. */
export const NEIGHBOURS_SIZE = TABLE_WORDS * 4;

const TAG = 0;
const IP = 1;
const LO = 5;
const HI_PORT = 6;
const STAMP = 7;
const FLOOD_FROM = 8;
const FLOOD_UNTIL = 9;

export const FAMILY_IP4 = 4 << 16;
export const FAMILY_IP6 = 6 << 16;
/** As long as an asker waits before it asks for the third time (RFC 4861, 10: RETRANS_TIMER; Linux the same for ARP). */
const ANSWER_WITHIN_S = 2;

/** Makes the table's empty memory ready. Cold; control thread. */
export function seedNeighbours(words: Int32Array): void {
  const random = crypto.getRandomValues(new Int32Array(MULTIPLIER_COUNT));
  for (let k = 0; k < MULTIPLIER_COUNT; k++) words[MULTIPLIERS + k] = random[k] | 1;
}

/** What a claim or request is of, and who makes it; one for each worker, filled anew for each. */
export class Neighbour {
  /** VLAN | FAMILY_*. */
  tag = 0;
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  lo = 0;
  hi = 0;
}

function bucketOf(words: Int32Array, it: Neighbour): number {
  const m = MULTIPLIERS;
  const sum =
    (Math.imul(it.tag, words[m]) +
      Math.imul(it.a, words[m + 1]) +
      Math.imul(it.b, words[m + 2]) +
      Math.imul(it.c, words[m + 3]) +
      Math.imul(it.d, words[m + 4])) |
    0;
  const mixed = Math.imul(sum ^ (sum >>> 16), words[m + 5]);
  const bucket = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97) >>> (32 - BUCKETS_LOG2);
  return FIRST_ENTRY + bucket * BUCKET_WORDS;
}

function find(words: Int32Array, bucket: number, it: Neighbour): number {
  for (let at = bucket; at < bucket + BUCKET_WORDS; at += ENTRY_WORDS) {
    if (words[at + TAG] !== it.tag || words[at + IP] !== it.a) continue;
    if (words[at + IP + 1] === it.b && words[at + IP + 2] === it.c && words[at + IP + 3] === it.d) return at;
  }
  return -1;
}

function isAged(words: Int32Array, at: number, fdb: Fdb, nowS: number): boolean {
  return ((nowS - words[at + STAMP]) | 0) > fdb.words[FDB_SWITCH_AGEING];
}

/** Notes that station `it.lo, it.hi`, heard at `port`, says it has the address. */
export function claim(words: Int32Array, fdb: Fdb, it: Neighbour, port: number, nowS: number): void {
  const bucket = bucketOf(words, it);
  const at = find(words, bucket, it);
  const hiPort = it.hi | (port << 16);
  if (at >= 0 && words[at + LO] === it.lo && words[at + HI_PORT] === hiPort) {
    // Without the lock: should the entry have changed hands meanwhile, its new owner was heard in this second, too.
    if (words[at + STAMP] !== nowS) words[at + STAMP] = nowS;
    if (words[at + FLOOD_FROM] !== 0) words[at + FLOOD_FROM] = 0;
    return;
  }
  if (Atomics.compareExchange(words, LOCK, 0, 1) !== 0) return;
  const found = find(words, bucket, it);
  if (found < 0) {
    const free = placeFor(words, bucket, fdb, port, nowS);
    if (free >= 0) write(words, free, it, hiPort, nowS);
  } else if (isAged(words, found, fdb, nowS) || isOf(words, found, it)) {
    write(words, found, it, hiPort, nowS);
  } else {
    words[found + FLOOD_UNTIL] = nowS + fdb.words[FDB_SWITCH_AGEING] + 1;
  }
  Atomics.store(words, LOCK, 0);
}

function isOf(words: Int32Array, at: number, it: Neighbour): boolean {
  return words[at + LO] === it.lo && (words[at + HI_PORT] & 0xffff) === it.hi;
}

function write(words: Int32Array, at: number, it: Neighbour, hiPort: number, nowS: number): void {
  // A station that goes to another port does not end a dispute by that.
  const disputed = words[at + TAG] === it.tag && isOf(words, at, it) ? words[at + FLOOD_UNTIL] : 0;
  words[at + TAG] = it.tag;
  words[at + IP] = it.a;
  words[at + IP + 1] = it.b;
  words[at + IP + 2] = it.c;
  words[at + IP + 3] = it.d;
  words[at + LO] = it.lo;
  words[at + HI_PORT] = hiPort;
  words[at + STAMP] = nowS;
  words[at + FLOOD_FROM] = 0;
  words[at + FLOOD_UNTIL] = disputed;
}

/** The entry that a new claim from `port` may have; -1: none. */
function placeFor(words: Int32Array, bucket: number, fdb: Fdb, port: number, nowS: number): number {
  let own = 0;
  let oldest = -1;
  for (let at = bucket; at < bucket + BUCKET_WORDS; at += ENTRY_WORDS) {
    if (words[at + TAG] === 0 || isAged(words, at, fdb, nowS)) return at;
    if (words[at + HI_PORT] >>> 16 !== port) continue;
    own++;
    if (oldest < 0 || isOlder(words, at, oldest)) oldest = at;
  }
  return own < SHARE ? lentEntry(words, bucket) : oldest;
}

/** Of a bucket whose entries are all in use: the oldest one of the port that has most, if that is more than its share; else -1. */
function lentEntry(words: Int32Array, bucket: number): number {
  let most = SHARE;
  let oldest = -1;
  for (let at = bucket; at < bucket + BUCKET_WORDS; at += ENTRY_WORDS) {
    const port = words[at + HI_PORT] >>> 16;
    let count = 0;
    for (let other = bucket; other < bucket + BUCKET_WORDS; other += ENTRY_WORDS) {
      if (words[other + HI_PORT] >>> 16 === port) count++;
    }
    if (count > most || (oldest >= 0 && count === most && isOlder(words, at, oldest))) {
      most = count;
      oldest = at;
    }
  }
  return oldest;
}

function isOlder(words: Int32Array, at: number, than: number): boolean {
  return ((words[at + STAMP] - words[than + STAMP]) | 0) < 0;
}

/** Whether a request for the address may go to its owner alone, who is then in `it.lo, it.hi`; notes that one did. */
export function ask(words: Int32Array, fdb: Fdb, it: Neighbour, nowS: number): boolean {
  const at = find(words, bucketOf(words, it), it);
  if (at < 0 || isAged(words, at, fdb, nowS)) return false;
  if (((words[at + FLOOD_UNTIL] - nowS) | 0) > 0) return false;
  const from = words[at + FLOOD_FROM];
  if (from !== 0 && ((nowS - from) | 0) >= 0) return false;
  it.lo = words[at + LO];
  it.hi = words[at + HI_PORT] & 0xffff;
  if (from === 0) words[at + FLOOD_FROM] = nowS + ANSWER_WITHIN_S;
  return true;
}
