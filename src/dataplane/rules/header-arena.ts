// HOT
// The frames of a burst as rules judge them: the first HEADER_BYTES bytes of each are copied into private memory, where their
// sender can no longer change them, and everything behind stays where it is. What is delivered begins with that copy. Of longer
// frames of plain IPv4 it is PLAIN_BYTES: no rule looks behind their ports and flags.
//
//   fetched:   [ 300 bytes in the sender's memory ]
//   judged:    [ slot i: 128 bytes ][ the same memory, from byte 128 on ]
//
//   slot       | 64 headroom, 4 of it for a tag | 128 header |        SLOT_SIZE bytes, each part whole cache lines
//   segments   0, 1: frame 0   2, 3: frame 1 ...   then, as they come: frames that were scattered, second forms
//
// `judged` is the worker's batch once more: the same lengths and offloads, other segments. Slot i is the form that goes out; slot
// BURST + i, where it is needed, the frame as it was received; they share the bytes behind the header. Forms behind those have no
// slots of their own: they are cut from one of the two, and delivered before it changes (bridge/mirror.ts). No NIC reads a judged
// frame where it lies: the arena has no IOVA, so it is copied. A thread judges one burst at a time, so the slots are the thread's, and
// constants of this module (mem/fields.ts says what that is good for); a worker's arena is made with its first rules.

import { Batch, BURST, BURST_FORMS, MAX_SEGMENTS } from "../../mem/batch.ts";
import { fieldViews } from "../../mem/fields.ts";
import type { WindowTable } from "../../mem/window.ts";
import { mapAnonymous, viewOf } from "../../sys/memory.ts";
import { HEADER_BYTES } from "./key.ts";
import { PLAIN, PLAIN_BITS } from "./plain-header.ts";

/** Ethernet 14, IPv4 20, the flags of TCP end at 14 behind that: 48, and a multiple of what copyWords takes at once. */
const PLAIN_BYTES = 64;
const HEADROOM = 64;
const SLOT_SIZE = HEADROOM + HEADER_BYTES;
export const SLOT_WORDS = SLOT_SIZE >> 2;
const ARENA_SIZE = 2 * BURST * SLOT_SIZE;
/** Where segments without a fixed place begin: a form has one more than the frame that was fetched, so they never run out. */
const MORE_SEGMENTS = 2 * BURST;
const SEGMENTS = MORE_SEGMENTS + 3 * (MAX_SEGMENTS + BURST);

/** Mapped with the module, once for each thread, and never unmapped. */
const ADDRESS = mapAnonymous(ARENA_SIZE);
const SLOTS = viewOf(ADDRESS, 0, ARENA_SIZE);
export const headerWords = new Int32Array(SLOTS);
/** Words of the headers, from slotStart(i) >> 2 on. */
export const headerFields = fieldViews(headerWords, PLAIN_BYTES >> 2);

export class HeaderArena {
  readonly judged: Batch;
  /** Frames were given other segments than those of their fixed places, or begin elsewhere in their slots. */
  moved = 1;
  /** The frame that was kept last, or -1. */
  kept = -1;
  /** Of no meaning: a load whose value goes nowhere is none. */
  touched = 0;
  readonly window: number;
  readonly words = headerWords;
  readonly bytes = new Uint8Array(SLOTS);
  readonly view = new DataView(SLOTS);

  /** Registers the slots. `fetched` is the batch whose frames are judged, with BURST_FORMS slots. */
  constructor(
    readonly windows: WindowTable,
    readonly fetched: Batch,
  ) {
    this.judged = new Batch(BURST_FORMS, SEGMENTS, fetched);
    this.window = windows.add(ADDRESS, ARENA_SIZE);
  }

  /** The worker ends. Cold. */
  close(): void {
    this.windows.remove(this.window);
  }
}

/** Where the header of form `i` begins before anything is done to it. */
export function slotStart(i: number): number {
  return i * SLOT_SIZE + HEADROOM;
}

/** Takes the frames of `fetched` over as those of `judged`. */
export function takeBurst(arena: HeaderArena): void {
  const { fetched, judged, windows } = arena;
  const words = headerWords;
  const { first, length, pool: pieces, segments: pieceCount } = fetched;
  const { pool, segments } = judged;
  const views = windows.view;
  if (arena.moved !== 0) restorePlaces(arena);
  pool.count = MORE_SEGMENTS;
  arena.kept = -1;
  judged.anyNeeds = fetched.anyNeeds;
  const count = fetched.count;
  touchFrames(arena, count);
  for (let i = 0; i < count; i++) {
    if (pieceCount[i] !== 1) {
      takePieces(arena, i);
      continue;
    }
    const s = first[i];
    const whole = length[i];
    const view = views[pieces.window[s]];
    const offset = pieces.offset[s];
    const start = slotStart(i) >> 2;
    const to = 2 * i;
    if (whole <= HEADER_BYTES) {
      copyWords(words, start, view, offset, offset + whole);
      const rest = whole & ~3;
      if (rest !== whole) copyBytes(arena, (start << 2) + rest, view, offset + rest, offset + whole);
      pool.length[to] = whole;
      segments[i] = 1;
      continue;
    }
    copyWords(words, start, view, offset, offset + PLAIN_BYTES);
    // Read where the sender cannot change it.
    const isPlain = (words[start + 3] & PLAIN_BITS) === PLAIN;
    const taken = isPlain ? PLAIN_BYTES : HEADER_BYTES;
    if (!isPlain) copyWords(words, start + (PLAIN_BYTES >> 2), view, offset + PLAIN_BYTES, offset + HEADER_BYTES);
    pool.length[to] = taken;
    pool.window[to + 1] = pieces.window[s];
    pool.offset[to + 1] = offset + taken;
    pool.length[to + 1] = whole - taken;
    segments[i] = 2;
  }
}

/**
 * Has the first lines of the frames brought near: they are in their sender's processor. In a loop with nothing else in it many of them are
 * under way at once.
 */
function touchFrames(arena: HeaderArena, count: number): void {
  const { fetched, windows } = arena;
  const { first, pool } = fetched;
  const { offset, window } = pool;
  const views = windows.view;
  let touched = 0;
  for (let i = 0; i < count; i++) {
    const s = first[i];
    touched ^= views[window[s]].getUint8(offset[s]);
  }
  arena.touched = touched;
}

/**
 * Copies the whole words from `at` to `end`. Of the ways to read what may lie at any address this is the quickest up to
 * HEADER_BYTES: measured on an EPYC, 64 bytes in 11 ns, 128 in 17, where libc's memcpy takes 17.
 */
function copyWords(words: Int32Array, to: number, from: DataView, start: number, end: number): void {
  let word = to;
  let at = start;
  for (; at < end - 31; at += 32) {
    words[word] = from.getInt32(at, true);
    words[word + 1] = from.getInt32(at + 4, true);
    words[word + 2] = from.getInt32(at + 8, true);
    words[word + 3] = from.getInt32(at + 12, true);
    words[word + 4] = from.getInt32(at + 16, true);
    words[word + 5] = from.getInt32(at + 20, true);
    words[word + 6] = from.getInt32(at + 24, true);
    words[word + 7] = from.getInt32(at + 28, true);
    word += 8;
  }
  for (; at < end - 3; at += 4) words[word++] = from.getInt32(at, true);
}

/** Every frame has its two fixed segments again, of which the first is its slot. */
function restorePlaces(arena: HeaderArena): void {
  const { judged, window } = arena;
  const { first, pool } = judged;
  arena.moved = 0;
  for (let i = 0; i < BURST; i++) {
    first[i] = 2 * i;
    pool.window[2 * i] = window;
    pool.offset[2 * i] = slotStart(i);
  }
}

/** A frame whose header may lie in many pieces. */
function takePieces(arena: HeaderArena, i: number): void {
  const { fetched, judged, windows } = arena;
  const { pool: pieces } = fetched;
  const { pool } = judged;
  const wanted = Math.min(fetched.length[i], HEADER_BYTES);
  const slot = slotStart(i);
  const end = fetched.first[i] + fetched.segments[i];
  const start = pool.count;
  let to = start + 1;
  let left = wanted;
  for (let s = fetched.first[i]; s < end; s++) {
    const length = pieces.length[s];
    const offset = pieces.offset[s];
    const taken = Math.min(left, length);
    copyBytes(arena, slot + wanted - left, windows.view[pieces.window[s]], offset, offset + taken);
    left -= taken;
    if (taken === length) continue;
    pool.window[to] = pieces.window[s];
    pool.offset[to] = offset + taken;
    pool.length[to] = length - taken;
    to++;
  }
  pool.window[start] = arena.window;
  pool.offset[start] = slot;
  pool.length[start] = wanted;
  judged.first[i] = start;
  judged.segments[i] = to - start;
  pool.count = to;
  arena.moved = 1;
}

/** Copies the bytes `at` to `end` of a window to the arena. */
function copyBytes(arena: HeaderArena, to: number, from: DataView, at: number, end: number): void {
  const { bytes } = arena;
  for (let k = at; k < end; k++) bytes[to + k - at] = from.getUint8(k);
}

/** Keeps frame `i`, which nobody has changed yet, as form BURST + `i`. Frames are kept in their order, each once. */
export function keepForm(arena: HeaderArena, i: number): void {
  if (arena.kept === i) return;
  arena.kept = i;
  const { judged, words } = arena;
  const { pool } = judged;
  const kept = BURST + i;
  const first = judged.first[i];
  const count = judged.segments[i];
  const to = pool.count;
  judged.length[kept] = judged.length[i];
  judged.first[kept] = to;
  judged.segments[kept] = count;
  judged.needs[kept] = judged.needs[i];
  judged.flags[kept] = judged.flags[i];
  judged.gsoType[kept] = judged.gsoType[i];
  judged.gsoSize[kept] = judged.gsoSize[i];
  judged.csumStart[kept] = judged.csumStart[i];
  judged.csumOffset[kept] = judged.csumOffset[i];
  for (let s = 0; s < count; s++) {
    pool.window[to + s] = pool.window[first + s];
    pool.offset[to + s] = pool.offset[first + s];
    pool.length[to + s] = pool.length[first + s];
  }
  pool.offset[to] += BURST * SLOT_SIZE;
  pool.count = to + count;
  const from = i * SLOT_WORDS;
  words.copyWithin(from + BURST * SLOT_WORDS, from, from + SLOT_WORDS);
}
