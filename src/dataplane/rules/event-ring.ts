// HOT
// What a worker tells the control thread without waiting for it: records of any size in a ring of shared memory, one writer,
// one reader. A record that finds no room is counted and forgotten: the worker is never slowed down by more than writing.
//
//   words   0 written | 1 lost | 16 read | 32 ... records                   `written` and `read` are bytes, free-running
//   record  size of the payload | kind | payload, padded to 8 bytes         never over the ring's end: a pad fills that up
//
// The writer stores a record plainly and publishes `written`; the reader acquires it, reads, publishes `read`. 32-bit
// counts of bytes may run over, since a ring is far smaller.

import { acquire32, publish32 } from "../../mem/access.ts";

const WRITTEN = 0;
const LOST = 1;
const READ = 16;
const FIRST_RECORD = 128;
const RECORD_HEADER_SIZE = 8;
const KIND_PAD = -1;

export class EventRing {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  /** The writer's place, and how much it knows to be read. */
  written: number;
  read: number;
  reserved = 0;

  /** A view of the ring in `buffer`, `size` bytes from `offset`: FIRST_RECORD and a power of two. Empty memory is an empty ring. */
  constructor(
    buffer: ArrayBufferLike,
    offset: number,
    readonly size: number,
  ) {
    this.words = new Int32Array(buffer, offset, (FIRST_RECORD + size) >> 2);
    this.bytes = new Uint8Array(buffer, offset, FIRST_RECORD + size);
    this.written = this.words[WRITTEN];
    this.read = this.words[READ];
  }
}

/** Bytes of memory for a ring of `size` bytes, a power of two. */
export function ringBytes(size: number): number {
  return FIRST_RECORD + size;
}

function recordSize(payload: number): number {
  return (RECORD_HEADER_SIZE + payload + 7) & ~7;
}

/**
 * Makes room for a payload of `size` bytes, at most an eighth of the ring. Returns where in `bytes` it goes, a multiple of 8,
 * or -1: there is none, which is counted.
 */
export function reserveEvent(ring: EventRing, kind: number, size: number): number {
  const { words } = ring;
  const record = recordSize(size);
  const offset = ring.written & (ring.size - 1);
  const rest = ring.size - offset;
  const pad = rest < record ? rest : 0;
  if (ring.size - ((ring.written - ring.read) | 0) < pad + record) {
    ring.read = acquire32(words, READ);
    if (ring.size - ((ring.written - ring.read) | 0) < pad + record) {
      publish32(words, LOST, (words[LOST] + 1) | 0);
      return -1;
    }
  }
  let at = (FIRST_RECORD + offset) >> 2;
  if (pad > 0) {
    words[at] = pad - RECORD_HEADER_SIZE;
    words[at + 1] = KIND_PAD;
    at = FIRST_RECORD >> 2;
  }
  words[at] = size;
  words[at + 1] = kind;
  ring.reserved = pad + record;
  return (at << 2) + RECORD_HEADER_SIZE;
}

/** The payload of the last reservation is written. */
export function publishEvent(ring: EventRing): void {
  ring.written = (ring.written + ring.reserved) | 0;
  publish32(ring.words, WRITTEN, ring.written);
}

/** How far the writer is, for `readEvents`. Reader. */
export function writtenEvents(ring: EventRing): number {
  return acquire32(ring.words, WRITTEN);
}

/**
 * Hands every record that is there, or was when `written` was asked for, to `take`, which may look at `bytes[at .. at + size)` until it
 * returns. Reader. Cold.
 */
export function readEvents(
  ring: EventRing,
  take: (kind: number, at: number, size: number) => void,
  written = writtenEvents(ring),
): void {
  const { words } = ring;
  let read = words[READ];
  while (read !== written) {
    const at = FIRST_RECORD + (read & (ring.size - 1));
    const size = words[at >> 2];
    const kind = words[(at >> 2) + 1];
    if (kind !== KIND_PAD) take(kind, at + RECORD_HEADER_SIZE, size);
    read = (read + recordSize(size)) | 0;
  }
  publish32(words, READ, read);
}

/** How many records found no room since the ring was made. Reader. */
export function lostEvents(ring: EventRing): number {
  return acquire32(ring.words, LOST) >>> 0;
}
