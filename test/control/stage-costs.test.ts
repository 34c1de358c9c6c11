// What a frame costs, from two readings of a worker: what lies between them, and nothing where there is nothing to tell.

import { expect, test } from "bun:test";
import { stageCosts } from "../../src/control/stage-costs.ts";

const before = {
  busyBreaths: 1_000,
  frames: 8_000,
  timed: { breaths: 10, frames: 100, fetchNs: 1_000, classifyNs: 2_000, copyNs: 3_000, publishNs: 4_000 },
};
const now = {
  busyBreaths: 3_000,
  frames: 50_000,
  timed: { breaths: 20, frames: 500, fetchNs: 5_000, classifyNs: 4_000, copyNs: 11_000, publishNs: 4_400 },
};

test("a frame's nanoseconds, by stage, since the start", () => {
  expect(stageCosts(before)).toEqual({
    stages: { fetch: 10, classify: 20, copy: 30, publish: 40 },
    totalNs: 100,
    framesPerBreath: 8,
    busyMs: 0.8,
  });
});

test("and between two readings", () => {
  expect(stageCosts(now, before)).toEqual({
    stages: { fetch: 10, classify: 5, copy: 20, publish: 1 },
    totalNs: 36,
    framesPerBreath: 21,
    busyMs: 1.512,
  });
});

test("nothing where no breath was timed in between, or the worker is another one", () => {
  expect(stageCosts(now, now)).toBeUndefined();
  expect(stageCosts(before, now)).toBeUndefined();
});
