// A NIC that is played: its lane holds frames as a real one does (mem/held.ts), and its device sends exactly as many of them
// as the test permits, by reading them in their senders' memory at that moment. What it reads must be what was delivered: a
// buffer given back too early shows as a wrong frame, memory that is gone as a fault that ends the process.
//
//   ring (mapped memory, so that all workers share it)
//     words    0 posted | 1 sent | 2 permitted | 3 wrong | 4 flags: 1 holds nothing, copies all
//     slots    SLOTS x SLOT doubles: pieces, checksum, (address, length) of each
//
// The lane runs in workers; the rest, in the test, sees the same ring.

import { acquire32, lock, publish32, unlock } from "../../src/mem/access.ts";
import type { Batch } from "../../src/mem/batch.ts";
import { DROP_NO_BUFFER, TX_BYTES, TX_COPIED, TX_FRAMES, TX_ZERO_COPY } from "../../src/mem/counters.ts";
import { DELIVER_LOCK, TX_POSTED, TX_REAPED } from "../../src/mem/lane-state.ts";
import type { Lane, LaneContext } from "../../src/ports/port.ts";
import { mapAnonymous, unmap, viewOf } from "../../src/sys/memory.ts";

const POSTED = 0;
const SENT = 1;
const PERMITTED = 2;
const WRONG = 3;
const COPIES_ALL = 4;
const SLOTS_AT = 64;
/** Pieces of a frame that fit into a slot; one of more is copied. */
const PIECES = 4;
const SLOT = 2 + PIECES * 2;
const SLOTS = 64;
const RING_SIZE = SLOTS_AT + SLOTS * SLOT * 8;
/** What the fake space adds to an address: so that neither is mistaken for the other. */
export const IOVA_BASE = 2 ** 44;

/** The device's side, and the test's. */
export class FakeNicRing {
  readonly words: Int32Array;
  readonly slots: Float64Array;

  constructor(
    readonly address: number,
    private readonly own = false,
  ) {
    const buffer = viewOf(address, 0, RING_SIZE);
    this.words = new Int32Array(buffer, 0, SLOTS_AT / 4);
    this.slots = new Float64Array(buffer, SLOTS_AT);
  }

  static make(): FakeNicRing {
    return new FakeNicRing(mapAnonymous(RING_SIZE), true);
  }

  /** Lets the device send `count` frames more. */
  permit(count: number): void {
    Atomics.add(this.words, PERMITTED, count);
  }

  set copiesAll(all: boolean) {
    publish32(this.words, COPIES_ALL, all ? 1 : 0);
  }

  get copiesAll(): boolean {
    return acquire32(this.words, COPIES_ALL) !== 0;
  }

  /** Frames that the device has and has not sent. */
  get waiting(): number {
    return (acquire32(this.words, POSTED) - acquire32(this.words, SENT)) | 0;
  }

  /** Frames whose bytes were not those delivered when the device read them. */
  get wrong(): number {
    return acquire32(this.words, WRONG);
  }

  /** The device forgets what it has: it was reset. */
  clear(): void {
    publish32(this.words, SENT, acquire32(this.words, POSTED));
    publish32(this.words, PERMITTED, 0);
  }

  /** Whether the device will read in this range of its address space. */
  reads(iova: number, size: number): boolean {
    for (let n = acquire32(this.words, SENT); n !== acquire32(this.words, POSTED); n = (n + 1) | 0) {
      for (const [address] of this.pieces(n)) if (address >= iova && address < iova + size) return true;
    }
    return false;
  }

  pieces(n: number): [address: number, length: number][] {
    const at = (n & (SLOTS - 1)) * SLOT;
    return Array.from({ length: this.slots[at] }, (_, k) => [this.slots[at + 2 + k * 2], this.slots[at + 3 + k * 2]]);
  }

  checksum(n: number): number {
    return this.slots[(n & (SLOTS - 1)) * SLOT + 1];
  }

  /** The device sends what it may. Under the lane's lock. Returns how many frames were read. */
  send(onFrame?: (bytes: Uint8Array) => void): number {
    const { words } = this;
    let count = 0;
    while (this.waiting > 0 && acquire32(words, PERMITTED) > 0) {
      const n = acquire32(words, SENT);
      const bytes = Buffer.concat(
        this.pieces(n).map(([iova, size]) => new Uint8Array(viewOf(iova - IOVA_BASE, 0, size))),
      );
      if (checksumOf(bytes) !== this.checksum(n)) Atomics.add(words, WRONG, 1);
      onFrame?.(new Uint8Array(bytes));
      Atomics.sub(words, PERMITTED, 1);
      publish32(words, SENT, (n + 1) | 0);
      count++;
    }
    return count;
  }

  close(): void {
    if (this.own) unmap(this.address, RING_SIZE);
  }
}

function checksumOf(bytes: Uint8Array): number {
  let sum = 1;
  for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
  return sum;
}

export class FakeNicLane implements Lane {
  readonly accepts = 0;
  readonly delivers = true;
  readonly wakeFd = -1;
  readonly wakeEdge = false;
  readonly ring: FakeNicRing;

  constructor(
    address: number,
    private readonly context: LaneContext,
    /** What the wire sees, where somebody looks: zero copy and copied alike. */
    private readonly onFrame?: (bytes: Uint8Array) => void,
  ) {
    this.ring = new FakeNicRing(address);
  }

  fetch(): number {
    return 0;
  }

  release(): void {}

  deliver(batch: Batch, list: Int32Array, count: number): number {
    const { counters, state } = this.context;
    lock(state, DELIVER_LOCK);
    let delivered = 0;
    for (let k = 0; k < count; k++) {
      const i = list[k];
      if (this.hold(batch, i)) counters[TX_ZERO_COPY]++;
      else if (this.ring.copiesAll || this.ring.waiting < SLOTS) {
        this.onFrame?.(this.bytes(batch, i));
        counters[TX_COPIED]++;
      } else {
        counters[DROP_NO_BUFFER]++;
        continue;
      }
      delivered++;
      counters[TX_BYTES] += batch.length[i];
    }
    counters[TX_FRAMES] += delivered;
    unlock(state, DELIVER_LOCK);
    return delivered;
  }

  /** Takes frame `i` as it lies, where the device reaches it and nobody else reads it. */
  private hold(batch: Batch, i: number): boolean {
    const { ring } = this;
    const { state, zeroCopy } = this.context;
    const first = batch.first[i];
    const segments = batch.segments[i];
    if (zeroCopy === undefined || batch.heldBy[i] !== 0 || segments > PIECES) return false;
    if (ring.copiesAll || ring.waiting === SLOTS) return false;
    const posted = acquire32(ring.words, POSTED);
    const at = (posted & (SLOTS - 1)) * SLOT;
    for (let k = 0; k < segments; k++) {
      const iova = zeroCopy.iova[batch.pool.window[first + k]];
      if (!(iova >= 0)) return false;
      ring.slots[at + 2 + k * 2] = iova + batch.pool.offset[first + k];
      ring.slots[at + 3 + k * 2] = batch.pool.length[first + k];
    }
    ring.slots[at] = segments;
    ring.slots[at + 1] = checksumOf(this.bytes(batch, i));
    publish32(ring.words, POSTED, (posted + 1) | 0);
    // Two a frame, so that nobody takes a ticket for a count of frames.
    const ticket = (acquire32(state, TX_POSTED) + 2) | 0;
    publish32(state, TX_POSTED, ticket);
    batch.heldBy[i] = zeroCopy.self;
    batch.ticket[i] = ticket;
    batch.anyHeld = 1;
    return true;
  }

  private bytes(batch: Batch, i: number): Uint8Array {
    const { pool } = batch;
    const { u8 } = this.context.windows;
    const pieces: Uint8Array[] = [];
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      pieces.push(u8[pool.window[s]].slice(pool.offset[s], pool.offset[s] + pool.length[s]));
    }
    return new Uint8Array(Buffer.concat(pieces));
  }

  reap(): void {
    const { state } = this.context;
    lock(state, DELIVER_LOCK);
    const sent = this.ring.send(this.onFrame);
    if (sent > 0) publish32(state, TX_REAPED, (acquire32(state, TX_REAPED) + sent * 2) | 0);
    unlock(state, DELIVER_LOCK);
  }

  arm(): boolean {
    return false;
  }

  disarm(): void {}

  close(): void {}
}
