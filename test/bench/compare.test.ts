// What counts as slower: beyond the noise of both runs, in the right direction of the unit.

import { expect, test } from "bun:test";
import { apartIn, compare, missing, slowerOf } from "../../bench/compare.ts";
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

test("rounds so few that they come apart by chance, or what is not above 0, is no change", () => {
  expect(change("Mpps", [10], [5])).toEqual(["same"]);
  expect(change("Mpps", [10, 11], [5])).toEqual(["same"]);
  // One order in six of two and two rounds.
  expect(change("Mpps", [10, 11], [5, 6])).toEqual(["same"]);
  expect(change("Mpps", [10, 11], [5, 6, 5, 6, 5])).toEqual(["slower"]);
  expect(change("%", [-0.2, -0.1, -0.1], [0.3, 0.4, 0.4])).toEqual(["same"]);
  expect(change("collections", [0, 0, 0], [2, 3, 3])).toEqual(["same"]);
});

test("a unit of which neither way is better is no change", () => {
  expect(change("frames", [60, 61, 62], [30, 31, 32])).toEqual(["same"]);
});

test("what only one run measured is not compared", () => {
  expect(compare(result("ms", [1], "ovs"), result("ms", [1], "ringyard"))).toEqual([]);
  expect(compare(result("ms", [1], "ringyard", "a"), result("ms", [1], "ringyard", "b"))).toEqual([]);
});

test("a unit without a direction is refused", () => {
  expect(() => compare(result("bananas", [1]), result("bananas", [1]))).toThrow("bananas");
});

function together(...all: ReturnType<typeof result>[]) {
  const samples = all.flatMap(({ suites }) => suites[0].samples);
  return { suites: [{ suite: "s", summaries: summarise(samples), bars: [], samples, failures: [] as string[] }] };
}

test("what a peer lost as well was the machine; what ringyard lost beyond that is its own, in any of its forms", () => {
  const slower = (ours: number[], peer: number[], name = "ringyard") => {
    const before = together(result("Mpps", [10, 10.1, 10.2], name), result("Mpps", [5, 5.1, 5.2], "testpmd"));
    const after = together(result("Mpps", ours, name), result("Mpps", peer, "testpmd"));
    return slowerOf(compare(before, after)).map(({ system }) => system);
  };
  expect(slower([8, 8.1, 8.2], [4, 4.1, 4.2])).toEqual([]);
  expect(slower([8, 8.1, 8.2], [5, 5.1, 5.2])).toEqual(["ringyard"]);
  expect(slower([6, 6.1, 6.2], [4.5, 4.6, 4.7])).toEqual(["ringyard"]);
  expect(slower([6, 6.1, 6.2], [5, 5.1, 5.2], "ringyard-adaptive")).toEqual(["ringyard-adaptive"]);
});

test("what failed and was measured before is told; what was not asked for is not", () => {
  const before = together(result("Mpps", [1, 1], "ringyard", "a"), result("Mpps", [1, 1], "ringyard", "b"));
  const after = result("Mpps", [1, 1], "ringyard", "a");
  expect(missing(before, after)).toEqual([]);
  const failed = { suites: [{ ...after.suites[0], failures: ["ringyard, b: no frame comes back"] }] };
  expect(missing(before, failed)).toEqual(["s, b, ringyard"]);
});

test("runs of two machines, or of other conditions, are apart", () => {
  const run = (cpu: string, quota: number) =>
    ({ origin: { cpu, cpuCount: 2 }, options: { quota, seconds: 5, smoke: false } }) as unknown as Parameters<
      typeof apartIn
    >[0];
  expect(apartIn(run("x", 40), run("x", 40))).toEqual([]);
  expect(apartIn(run("x", 40), run("y", 20))).toEqual(["cpu: x, y", "quota: 40, 20"]);
});
