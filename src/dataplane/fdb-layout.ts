// The shared memory of the fdb (MAC table): where each word lies, and the view that a thread makes of it.
//
//   header   one line of settings, one line of writers' state, one line of counters   (48 words)
//            for each port: moves counted, learned addresses, their limit             (4 * 256 words)
//            for each VLAN: ageing time                                               (4096 words)
//            the last moves of addresses from port to port, as a ring                 (1024 words)
//            | lo | hi 0..15, VLAN 16..27 | to 0..7, from 8..15 | second |
//   slots    buckets of 4 entries, 4 words each: one bucket is one cache line
//            +----------+--------------------------------------------+------+---------+
//            | lo       | hi 0..15, port 16..23, STATIC 24, VALID 25 | seal | stamp s |
//            +----------+--------------------------------------------+------+---------+
//            the entry's VLAN is in the seal (fdb-find.ts)
//   links    next, prev for each slot, then for each port: the port's learned entries as a ring, in order of learning
//   pilots   for each bucket a byte, odd: which slot of the bucket an address prefers (fdb-find.ts)
//
// Limits: 256 ports, because the port shares a word with half of the key; 1,048,576 addresses (97 MiB), where a hit's
// packed form ends. There are at least four times as many slots as addresses: a full table's still lie in their first bucket and in the slot of it that they prefer
// (995 of 1000), so a look-up is one line and one guess that is right. VLAN ids up to 4095; 0 where there are no VLANs. The control thread allocates; every thread makes its
// own view of the buffer.

import { RingyardError } from "../core/errors.ts";

export const FDB_PORTS_MAX = 256;
export const FDB_ADDRESSES_MAX = 1_048_576;
export const FDB_ADDRESSES_DEFAULT = 65_536;
/** VLAN ids: 12 bits. */
export const FDB_VIDS = 4096;
/** IEEE 802.1Q-2018, table 8-6: recommended ageing time. */
export const FDB_AGEING_DEFAULT_S = 300;

// Settings: read for every frame, hence on another cache line than what writers change.
const MAGIC = 0;
export const FDB_LIMIT = 1;
/** Seconds: the switch's, whatever VLANs have of their own. */
export const FDB_SWITCH_AGEING = 2;
const SLOT_COUNT = 3;
const MUL_A = 4;
const MUL_B = 5;
const MUL_C = 6;
// Writers' state, guarded by the lock.
export const FDB_LOCK = 16;
export const FDB_COUNT = 17;
/** Ports at or above this index have never learned; it shortens the search for the port with most entries. */
export const FDB_PORTS_SEEN = 18;
export const FDB_SWEEP_BUCKET = 19;
/** How many moves were noted; the next one goes to this place of the ring. Free-running. */
export const FDB_MOVES_NOTED = 20;
/** Odd while entries are moved from slot to slot. Free-running. */
export const FDB_MOVING = 21;
const COUNTERS = 32;
export const FDB_PORT_COUNT = 48 + 2 * FDB_PORTS_MAX;
export const FDB_PORT_LIMIT = FDB_PORT_COUNT + FDB_PORTS_MAX;
/** Seconds, for each VLAN: the table's where it has none of its own, so that a look-up reads one word. */
export const FDB_AGEING = FDB_PORT_LIMIT + FDB_PORTS_MAX;
export const FDB_MOVES = FDB_AGEING + FDB_VIDS;
/** The moves of a second that the control thread can see: a power of two. */
export const MOVES_KEPT = 256;
export const MOVE_WORDS = 4;
export const FDB_SLOTS = FDB_MOVES + MOVES_KEPT * MOVE_WORDS; // 48 + 4 * 256 + 4096 + 1024 words = 387 cache lines

// Words of an entry, and bits of the second.
export const ENTRY_TAG = 1;
export const ENTRY_SEAL = 2;
export const ENTRY_STAMP = 3;
export const TAG_STATIC = 1 << 24;
export const TAG_VALID = 1 << 25;

// Counters, indices into `Fdb.counters`: doubles, exact to 2^53, because a flood wraps 32 bits within the hour.
export const COUNTER_LEARNED = 0;
export const COUNTER_MOVED = 1;
export const COUNTER_EVICTED = 2;
export const COUNTER_AGED = 3;
/** And for each port: addresses that moved to it. */
export const COUNTER_PORT_MOVED = 8;
const COUNTER_COUNT = COUNTER_PORT_MOVED + FDB_PORTS_MAX;

// What became of a learn.
export const FDB_KNOWN = 0;
export const FDB_LEARNED = 1;
export const FDB_MOVED = 2;
/** A static entry says another port; it stays. */
export const FDB_STATIC = 3;
/** Another thread is changing the table; the address's next frame will do. */
export const FDB_BUSY = 4;
/** The port may learn nothing: its limit is 0, or it is no port. */
export const FDB_PORT_REFUSED = 5;
/** No learned entry to evict, or no slot within reach (not seen in 10^7 learns up to the table's limit). */
export const FDB_FULL = 6;
/** With FdbRules: the address stays at another port. */
export const FDB_STAYS = 7;
/** With FdbRules: the port has as many as it may, and gives none of them up. */
export const FDB_PORT_FULL = 8;

const MAGIC_VALUE = 0x66646233; // "fdb3"
const SLOTS_MIN = 64;

/** One thread's view. The fields below `buffer` repeat the header, so that hot code finds them in one object. */
export interface Fdb {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly counters: Float64Array;
  readonly slotCount: number;
  /** Index of the first word of the links. */
  readonly links: number;
  /** `hash >>> shift` is a bucket. */
  readonly shift: number;
  /** One for each bucket. */
  readonly pilots: Uint8Array;
  readonly mulA: number;
  readonly mulB: number;
  readonly mulC: number;
  /** mulC * inverseC = 1 (mod 2^32). */
  readonly inverseC: number;
}

/** What ports' policies say of learning; 256 of each. Absent: addresses move freely, and a full port gives one up. */
export interface FdbRules {
  /** 1: the port's addresses do not move to other ports. */
  readonly stays: Uint8Array;
  /** 0: at its limit the port learns nothing more. */
  readonly evicts: Uint8Array;
}

/** Multipliers of the hash: of both halves of an address, and of the VLAN. Random for each table, fixed only by tests. All are made odd. */
export interface FdbSeed {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export function allocateFdb(limit = FDB_ADDRESSES_DEFAULT, seed = randomSeed()): Fdb {
  if (!Number.isInteger(limit) || limit < 1 || limit > FDB_ADDRESSES_MAX) {
    throw new RingyardError("BAD_OPTION", `fdb limit ${limit} is not in 1..${FDB_ADDRESSES_MAX}`, "choose one that is");
  }
  const slotCount = Math.max(SLOTS_MIN, 2 ** Math.ceil(Math.log2(4 * limit)));
  const bytes = pilotsStart(slotCount) + slotCount / 4;
  const words = new Int32Array(new SharedArrayBuffer(bytes));
  words[FDB_LIMIT] = limit;
  words[FDB_SWITCH_AGEING] = FDB_AGEING_DEFAULT_S;
  words.fill(FDB_AGEING_DEFAULT_S, FDB_AGEING, FDB_AGEING + FDB_VIDS);
  words[SLOT_COUNT] = slotCount;
  words[MUL_A] = seed.a | 1;
  words[MUL_B] = seed.b | 1;
  words[MUL_C] = seed.c | 1;
  words.fill(limit, FDB_PORT_LIMIT, FDB_PORT_LIMIT + FDB_PORTS_MAX);
  const links = FDB_SLOTS + 4 * slotCount;
  for (let node = slotCount; node < slotCount + FDB_PORTS_MAX; node++)
    words.fill(node, links + 2 * node, links + 2 * node + 2);
  words[MAGIC] = MAGIC_VALUE;
  const fdb = viewFdb(words.buffer as SharedArrayBuffer);
  fdb.pilots.fill(1);
  return fdb;
}

/** In bytes from the buffer's. */
function pilotsStart(slotCount: number): number {
  return (FDB_SLOTS + 4 * slotCount + 2 * (slotCount + FDB_PORTS_MAX)) * Int32Array.BYTES_PER_ELEMENT;
}

/** A thread's own view of a table that another thread allocated. */
export function viewFdb(buffer: SharedArrayBuffer): Fdb {
  const words = new Int32Array(buffer);
  if (words[MAGIC] !== MAGIC_VALUE) {
    throw new RingyardError("BAD_OPTION", "fdb: the buffer holds no MAC table", "pass the buffer of allocateFdb");
  }
  const slotCount = words[SLOT_COUNT];
  return {
    buffer,
    words,
    counters: new Float64Array(buffer, COUNTERS * Int32Array.BYTES_PER_ELEMENT, COUNTER_COUNT),
    slotCount,
    links: FDB_SLOTS + 4 * slotCount,
    shift: 32 - Math.log2(slotCount / 4),
    pilots: new Uint8Array(buffer, pilotsStart(slotCount), slotCount / 4),
    mulA: words[MUL_A],
    mulB: words[MUL_B],
    mulC: words[MUL_C],
    inverseC: inverseOf(words[MUL_C]),
  };
}

/** Of an odd number, modulo 2^32: each step of Newton's doubles the bits that are right, and an odd number is its own inverse in three. */
function inverseOf(odd: number): number {
  let inverse = odd;
  for (let bits = 3; bits < 32; bits *= 2) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
  return inverse;
}

function randomSeed(): FdbSeed {
  const [a, b, c] = crypto.getRandomValues(new Int32Array(3));
  return { a, b, c };
}
