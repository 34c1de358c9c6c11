// The memory of queues: frames go in and come out in any order, whole, and no block is lost or used twice.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import {
  BLOCK_SIZE,
  batchFrame,
  blocksFor,
  FRAME_BLOCKS_MAX,
  freeFrame,
  QueueStore,
  storedLength,
  storeFrame,
} from "../../../src/dataplane/bridge/queue-store.ts";
import { Batch, MAX_FRAME } from "../../../src/mem/batch.ts";
import { WindowTable } from "../../../src/mem/window.ts";
import { mapAnonymous, unmap } from "../../../src/sys/memory.ts";

const SIZE = 1 << 17;
const BLOCKS = 128;
const address = mapAnonymous(SIZE);
const windows = new WindowTable();
const window = windows.add(address, SIZE);
afterAll(() => unmap(address, SIZE));

/** A batch of one frame of these bytes, in pieces that end at these places. */
function batchOf(bytes: Uint8Array, cuts: readonly number[] = []): Batch {
  const batch = new Batch();
  const ends = [...new Set(cuts.filter((cut) => cut < bytes.length))].sort((a, b) => a - b);
  batch.count = 1;
  batch.length[0] = bytes.length;
  windows.u8[window].set(bytes);
  for (const [s, start] of [0, ...ends].entries()) {
    batch.pool.window[s] = window;
    batch.pool.offset[s] = start;
    batch.pool.length[s] = (ends[s] ?? bytes.length) - start;
    batch.segments[0] = ++batch.pool.count;
  }
  return batch;
}

/** What a stored frame looks like to whom it is delivered. */
function read(store: QueueStore, frame: number): Uint8Array {
  const batch = new Batch();
  batchFrame(store, frame, batch);
  const { length, offset, window: windowOf } = batch.pool;
  const pieces = Array.from({ length: batch.segments[0] }, (_, s) =>
    windows.u8[windowOf[s]].slice(offset[s], offset[s] + length[s]),
  );
  expect([batch.count, batch.pool.count]).toEqual([1, pieces.length]);
  expect(pieces.length).toBeLessThanOrEqual(FRAME_BLOCKS_MAX);
  expect(batch.length[0]).toBe(storedLength(store, frame));
  return new Uint8Array(Buffer.concat(pieces));
}

const anySize = fc.oneof(
  fc.integer({ min: 14, max: 3 * BLOCK_SIZE }),
  fc.constantFrom(BLOCK_SIZE, BLOCK_SIZE + 1, MAX_FRAME),
);
const anyStep = fc.record({
  size: anySize,
  cuts: fc.array(fc.integer({ min: 1, max: 3 * BLOCK_SIZE }), { maxLength: 6 }),
  /** Which of those that are there goes first. */
  frees: fc.array(fc.nat(20), { maxLength: 3 }),
});

test("frames come and go in any order", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const store = new QueueStore(windows, BLOCKS);
      try {
        const held: { frame: number; bytes: Uint8Array }[] = [];
        let free = BLOCKS;
        for (const [n, { size, cuts, frees }] of steps.entries()) {
          if (blocksFor(size) <= free) {
            const bytes = Uint8Array.from({ length: size }, (_, k) => (n * 31 + k * 7) & 0xff);
            held.push({ frame: storeFrame(store, batchOf(bytes, cuts), 0), bytes });
            free -= blocksFor(size);
          }
          for (const k of frees) {
            if (k >= held.length) continue;
            const [{ frame, bytes }] = held.splice(k, 1);
            expect(read(store, frame)).toEqual(bytes);
            freeFrame(store, frame);
            free += blocksFor(bytes.length);
          }
          expect(store.freeCount).toBe(free);
        }
        for (const { frame, bytes } of held) {
          expect(read(store, frame)).toEqual(bytes);
          freeFrame(store, frame);
        }
        expect(new Set(store.free.subarray(0, store.freeCount)).size).toBe(BLOCKS);
      } finally {
        store.close();
      }
    }),
    { numRuns: 60 },
  );
});

test("a frame whose memory is gone is not stored, and costs nothing", () => {
  const store = new QueueStore(windows, BLOCKS);
  try {
    const batch = batchOf(new Uint8Array(3 * BLOCK_SIZE), [2 * BLOCK_SIZE + 10]);
    batch.pool.window[1] = 1000;
    expect(storeFrame(store, batch, 0)).toBe(-1);
    expect(new Set(store.free.subarray(0, store.freeCount)).size).toBe(BLOCKS);
  } finally {
    store.close();
  }
});

test("the longest frame there is, with a tag more, fits into as many blocks as are kept for one", () => {
  expect(blocksFor(MAX_FRAME + 4)).toBe(FRAME_BLOCKS_MAX);
});
