// What counts as slower: beyond the noise of both runs, in the right direction of the unit.

import { expect, test } from "bun:test";
import { compare } from "../../bench/compare.ts";
import { summarise } from "../../bench/stats.ts";

function result(unit: string, values: number[], system = "ringyard", subject = "64 B") {
  const samples = values.map((value, round) => ({ subject, unit, system, round, value }));
  return { suites: [{ suite: "s", summaries: summarise(samples), bars: [], samples, failures: [] }] };
}

const change = (unit: string, before: number[], after: number[]) =>
  compare(result(unit, before), result(unit, after)).map((it) => it.change);

test("disjoint rounds and medians apart are a change, in the direction of the unit", () => {
  expect(change("Mpps", [10, 11, 12], [7, 8, 9])).toEqual(["slower"]);
  expect(change("Mpps", [7, 8, 9], [10, 11, 12])).toEqual(["faster"]);
  expect(change("ns a frame", [7, 8, 9], [10, 11, 12])).toEqual(["slower"]);
  expect(change("us of CPU", [10, 11, 12], [7, 8, 9])).toEqual(["faster"]);
});

test("rounds that overlap, or hardly differ, are noise", () => {
  expect(change("Mpps", [10, 11, 12], [8, 9, 10])).toEqual(["same"]);
  expect(change("Mpps", [100, 101], [98, 99])).toEqual(["same"]);
});

test("a single round, or what is not above 0, is no change", () => {
  expect(change("Mpps", [10], [5])).toEqual(["same"]);
  expect(change("Mpps", [10, 11], [5])).toEqual(["same"]);
  expect(change("Mpps", [10, 11], [5, 6])).toEqual(["slower"]);
  expect(change("%", [-0.2, -0.1], [0.3, 0.4])).toEqual(["same"]);
  expect(change("collections", [0, 0], [2, 3])).toEqual(["same"]);
});

test("a unit of which neither way is better is no change", () => {
  expect(change("frames", [60, 61], [30, 31])).toEqual(["same"]);
});

test("what only one run measured is not compared", () => {
  expect(compare(result("ms", [1], "ovs"), result("ms", [1], "ringyard"))).toEqual([]);
  expect(compare(result("ms", [1], "ringyard", "a"), result("ms", [1], "ringyard", "b"))).toEqual([]);
});

test("a unit without a direction is refused", () => {
  expect(() => compare(result("bananas", [1]), result("bananas", [1]))).toThrow("bananas");
});
