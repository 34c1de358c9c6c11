// The order of eight queues against books that are kept the slow way: strict priority, and deficit round robin.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  hasRoom,
  nextQueue,
  pushFrame,
  QUANTUM_LEAST,
  QueueOrder,
  RESERVE_BLOCKS,
  shiftFrame,
} from "../../../src/dataplane/bridge/queue-order.ts";
import { blocksFor, FRAME_BLOCKS_MAX, type QueueStore } from "../../../src/dataplane/bridge/queue-store.ts";
import { MAX_FRAME } from "../../../src/mem/batch.ts";

const FRAMES = 4096;
const FACTS = 8;

/** An order, and of a store only what it looks at: how long each frame is. */
function newOrder(scheduler: "strict" | readonly number[], limit = 1 << 20) {
  const order = new QueueOrder(FRAMES);
  order.limit = limit;
  order.schedule(scheduler);
  const store = { facts: new Int32Array(FRAMES * FACTS) } as QueueStore;
  let next = 0;
  return {
    order,
    push(q: number, length: number): number {
      const frame = next++ % FRAMES;
      store.facts[frame * FACTS] = length;
      pushFrame(order, q, frame, blocksFor(length));
      return frame;
    },
    shift(): { q: number; frame: number; length: number } {
      const q = nextQueue(order, store);
      expect(nextQueue(order, store)).toBe(q);
      const length = store.facts[order.first[q] * FACTS];
      return { q, frame: shiftFrame(order, q, length, blocksFor(length)), length };
    },
  };
}

const anyQueue = fc.integer({ min: 0, max: 7 });
const anyLength = fc.oneof(fc.integer({ min: 14, max: 1514 }), fc.constant(MAX_FRAME));
const anyStep = fc.oneof(fc.record({ q: anyQueue, length: anyLength }), fc.constant("shift" as const));
const anyWeights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 8, maxLength: 8 });

test("strict: the highest priority first, within it first in, first out", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 200 }), (steps) => {
      const { order, push, shift } = newOrder("strict");
      const books: number[][] = Array.from({ length: 8 }, () => []);
      for (const step of steps) {
        if (step !== "shift") books[step.q].push(push(step.q, step.length));
        else if (order.waiting > 0) {
          const q = books.findLastIndex((queue) => queue.length > 0);
          expect(shift()).toMatchObject({ q, frame: books[q].shift() });
        }
        expect(order.waiting).toBe(books.reduce((sum, queue) => sum + queue.length, 0));
      }
    }),
    { numRuns: 200 },
  );
});

describe("by turns", () => {
  test("queues that always have frames share bytes by their weights, to a quantum and a frame", () => {
    fc.assert(
      fc.property(
        anyWeights,
        fc.uniqueArray(anyQueue, { minLength: 2, maxLength: 8 }),
        fc.array(anyLength, { minLength: 8, maxLength: 40 }),
        (weights, busy, lengths) => {
          const { push, shift } = newOrder(weights);
          let n = 0;
          const more = (q: number) => push(q, lengths[n++ % lengths.length]);
          for (const q of busy) for (let k = 0; k < 3; k++) more(q);
          const sent = new Map(busy.map((q) => [q, 0]));
          const least = Math.min(...weights);
          for (let k = 0; k < 600; k++) {
            const { q, length } = shift();
            sent.set(q, sent.get(q)! + length);
            more(q);
            // Every queue has had as many turns as any other, or one more; what it may have saved up is less than a frame.
            const turns = busy.map((each) => sent.get(each)! / ((weights[each] / least) * QUANTUM_LEAST));
            const slack = busy.map((each) => MAX_FRAME / ((weights[each] / least) * QUANTUM_LEAST));
            expect(Math.max(...turns) - Math.min(...turns)).toBeLessThanOrEqual(1 + 2 * Math.max(...slack));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("go as in the book: frame by frame", () => {
    fc.assert(
      fc.property(anyWeights, fc.array(anyStep, { maxLength: 300 }), (weights, steps) => {
        const { order, push, shift } = newOrder(weights);
        const queues: { frame: number; length: number }[][] = Array.from({ length: 8 }, () => []);
        const saved = weights.map(() => 0);
        const least = Math.min(...weights);
        let turn = 0;
        for (const step of steps) {
          if (step !== "shift") queues[step.q].push({ frame: push(step.q, step.length), length: step.length });
          else if (order.waiting > 0) {
            while (queues[turn].length === 0 || queues[turn][0].length > saved[turn]) {
              turn = (turn + 1) % 8;
              if (queues[turn].length > 0) saved[turn] += Math.round((weights[turn] / least) * QUANTUM_LEAST);
            }
            const { frame, length } = queues[turn].shift()!;
            saved[turn] = queues[turn].length === 0 ? 0 : saved[turn] - length;
            expect(shift()).toEqual({ q: turn, frame, length });
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test("one that runs empty saves nothing up", () => {
    const { push, shift } = newOrder([1, 1, 1, 1, 1, 1, 1, 1]);
    for (let round = 0; round < 50; round++) {
      push(3, 100);
      push(5, 1500);
      expect([shift().q, shift().q].sort()).toEqual([3, 5]);
    }
    for (let k = 0; k < 50; k++) {
      push(3, 1500);
      push(5, 1500);
    }
    const next = Array.from({ length: 20 }, () => shift().q);
    expect(next.filter((q) => q === 5)).toHaveLength(10);
  });
});

describe("how much may wait", () => {
  const LIMIT = 128;

  test("one queue alone takes half, and others find room beside it", () => {
    const { order, push } = newOrder("strict", LIMIT);
    const fill = (q: number) => {
      let count = 0;
      for (; hasRoom(order, q, 1); count++) push(q, 100);
      return count;
    };
    expect([fill(0), fill(1), fill(7)]).toEqual([64, 32, 16]);
  });

  test("an empty queue takes the longest frame however full others are, and nothing outgrows the store", () => {
    const { order, push } = newOrder("strict", LIMIT);
    for (let round = 0; round < 3; round++) {
      for (let q = 0; q < 8; q++) {
        expect(hasRoom(order, q, FRAME_BLOCKS_MAX)).toBe(order.blocks[q] === 0);
        if (hasRoom(order, q, FRAME_BLOCKS_MAX)) push(q, MAX_FRAME);
        while (hasRoom(order, q, 1)) push(q, 100);
      }
    }
    expect(order.used).toBeLessThanOrEqual(LIMIT + RESERVE_BLOCKS);
  });

  test("is bounded whatever comes and goes", () => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 100, maxLength: 400 }), (steps) => {
        const { order, push, shift } = newOrder("strict", LIMIT);
        for (const step of steps) {
          if (step === "shift") order.waiting > 0 && shift();
          else if (hasRoom(order, step.q, blocksFor(step.length))) push(step.q, step.length);
          expect(order.used).toBeLessThanOrEqual(LIMIT + RESERVE_BLOCKS);
        }
      }),
      { numRuns: 100 },
    );
  });
});
