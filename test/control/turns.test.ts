// Long work in turns: everything is given, in its order, and others have their turns meanwhile.

import { expect, test } from "bun:test";
import { inTurns, stepsInTurns } from "../../src/control/turns.ts";
import { turnsWhile } from "../support/turns.ts";

async function piecesOf<T>(items: Iterable<T>): Promise<T[][]> {
  const pieces: T[][] = [];
  for await (const piece of inTurns(items)) pieces.push(piece);
  return pieces;
}

/** Numbers that take a tenth of a millisecond each. */
function* slow(count: number): Generator<number> {
  for (let n = 0; n < count; n++) {
    const endMs = performance.now() + 0.1;
    while (performance.now() < endMs);
    yield n;
  }
}

test("what is soon done is one piece, also where there is nothing", async () => {
  expect(await piecesOf([1, 2, 3])).toEqual([[1, 2, 3]]);
  expect(await piecesOf([])).toEqual([[]]);
});

test("what takes long comes in pieces, whole and in order, and others have their turns between them", async () => {
  const { result: pieces, turns } = await turnsWhile(() => piecesOf(slow(1000)));
  expect(pieces.flat()).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  // A tenth of a second's work, in pieces of 5 ms and of 16 items.
  expect(pieces.length).toBeGreaterThan(10);
  expect(turns).toBeGreaterThanOrEqual(pieces.length - 1);
});

test("who needs no more ends it", async () => {
  let ended = false;
  function* endless(): Generator<number> {
    try {
      for (;;) yield* slow(64);
    } finally {
      ended = true;
    }
  }
  for await (const piece of inTurns(endless())) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  expect(ended).toBe(true);
});

/** Steps of a tenth of a millisecond each; `step` hears of each. */
function* steps(count: number, step: (n: number) => void = () => {}): Generator<void, string> {
  for (const n of slow(count)) {
    step(n);
    yield;
  }
  return "done";
}

test("steps are done in turns, and what they return or throw comes in the end", async () => {
  const { result, turns } = await turnsWhile(() => stepsInTurns(steps(1000)));
  expect(result).toBe("done");
  expect(turns).toBeGreaterThan(10);
  const failing = steps(200, (n) => {
    if (n === 100) throw new Error("a step failed");
  });
  await expect(stepsInTurns(failing)).rejects.toThrow("a step failed");
});

test("the first step is done at once", () => {
  let first = false;
  void stepsInTurns(steps(1, () => (first = true)));
  expect(first).toBe(true);
});

test("of several works only one has its turn between two turns of others", async () => {
  let works = "";
  let others = 0;
  const work = (name: string) => stepsInTurns(steps(1000, () => (works += `${name}${others} `)));
  const other = () => {
    others++;
    if (others < 40) setImmediate(other);
  };
  setImmediate(other);
  await Promise.all([work("a"), work("b"), work("c")]);
  // All begin at once (0); after 40 nobody counts.
  const byTurn = Map.groupBy(new Set(works.trim().split(" ")), (step) => step.slice(1));
  for (const [turn, names] of byTurn) if (turn !== "0" && turn !== "40") expect(names).toHaveLength(1);
  expect(byTurn.size).toBeGreaterThan(10);
});
