// Long work in turns: everything is given, in its order, and others have their turns meanwhile.

import { expect, test } from "bun:test";
import { atOnce, eachInSteps, othersTurn, type Steps, takingTurns } from "../../src/core/turns.ts";
import { turnsWhile } from "../support/turns.ts";

/** Numbers that take a tenth of a millisecond each. */
function* slow(count: number): Generator<number> {
  for (let n = 0; n < count; n++) {
    const endMs = performance.now() + 0.1;
    while (performance.now() < endMs);
    yield n;
  }
}

/** Steps of a tenth of a millisecond each; `step` hears of each. */
function* steps(count: number, step: (n: number) => void = () => {}): Generator<void, string> {
  for (const n of slow(count)) {
    step(n);
    yield;
  }
  return "done";
}

test("steps are done in turns, and what they return or throw comes in the end", async () => {
  const { result, turns } = await turnsWhile(() => takingTurns(steps(1000)));
  expect(result).toBe("done");
  expect(turns).toBeGreaterThan(10);
  const failing = steps(200, (n) => {
    if (n === 100) throw new Error("a step failed");
  });
  await expect(takingTurns(failing)).rejects.toThrow("a step failed");
});

test("the first step is done at once", () => {
  let first = false;
  void takingTurns(steps(1, () => (first = true)));
  expect(first).toBe(true);
});

test("of several works only one has its turn between two turns of others", async () => {
  let works = "";
  let others = 0;
  const work = (name: string) => takingTurns(steps(1000, () => (works += `${name}${others} `)));
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

test("works that begin together share their first turn", async () => {
  // Which has just begun.
  await othersTurn();
  const taken = [0, 0, 0];
  const works = taken.map((_, n) => takingTurns(steps(1000, () => taken[n]++)));
  // Nobody else has had a turn yet.
  expect(taken[0]).toBeGreaterThan(1);
  expect(taken.slice(1)).toEqual([1, 1]);
  await Promise.all(works);
});

test("steps come to the same end at once and in turns", async () => {
  function* sumOf(numbers: Iterable<number>): Steps<number> {
    return (yield* eachInSteps(numbers, (number, index) => number + index)).reduce((sum, number) => sum + number, 0);
  }
  function* failing(): Steps<number> {
    yield* eachInSteps([1, 2], () => {});
    throw new Error("no more");
  }
  expect(atOnce(sumOf([5, 6]))).toBe(12);
  expect(await takingTurns(sumOf(slow(100)))).toBe(2 * ((99 * 100) / 2));
  expect(() => atOnce(failing())).toThrow("no more");
  await expect(takingTurns(failing())).rejects.toThrow("no more");
});
