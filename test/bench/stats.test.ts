// How samples become figures: a wrong median or a bar that is met by what was never measured would flatter every release.

import { describe, expect, test } from "bun:test";
import { render } from "../../bench/report.ts";
import { judge, median, summarise } from "../../bench/stats.ts";
import type { Sample } from "../../bench/suite.ts";

function sample(system: string, value: number, subject = "64 B"): Sample {
  return { subject, unit: "Mpps", system, round: 0, value };
}

const samples = [
  ...[sample("ringyard", 8), sample("ringyard", 10), sample("ringyard", 9)],
  ...[sample("ovs-dpdk", 6), sample("ovs-dpdk", 100), sample("ovs-dpdk", 5)],
];

test("the median is the middle one, or the mean of the two in the middle", () => {
  expect(median([100, 1, 5])).toBe(5);
  expect(median([4, 1, 2, 100])).toBe(3);
  expect(median([7])).toBe(7);
});

test("a summary has the spread of each system and the ratio of medians", () => {
  expect(summarise(samples)).toEqual([
    {
      subject: "64 B",
      unit: "Mpps",
      systems: {
        ringyard: { median: 9, min: 8, max: 10, count: 3 },
        "ovs-dpdk": { median: 6, min: 5, max: 100, count: 3 },
      },
      ratios: { "ovs-dpdk": 1.5 },
    },
  ]);
});

describe("a bar", () => {
  const summaries = summarise(samples);
  const met = (bar: object) => judge([{ subject: "64 B", ...bar }], summaries)[0].met;

  test("is on a ratio or on the value itself, from below or from above", () => {
    expect(met({ against: "ovs-dpdk", atLeast: 1.5 })).toBe(true);
    expect(met({ against: "ovs-dpdk", atLeast: 1.51 })).toBe(false);
    expect(met({ atMost: 9 })).toBe(true);
    expect(met({ atMost: 8.9 })).toBe(false);
  });

  test("may be on another form of ringyard", () => {
    const forms = summarise([...samples, sample("ringyard-adaptive", 12)]);
    const [ratio] = judge([{ subject: "64 B", system: "ringyard-adaptive", against: "ovs-dpdk", atMost: 2 }], forms);
    expect(ratio).toMatchObject({ value: 2, met: true });
    expect(met({ system: "ringyard-adaptive", against: "ovs-dpdk", atMost: 2 })).toBe(false);
  });

  test("may be on the greatest of all rounds", () => {
    expect(met({ of: "max", atMost: 10 })).toBe(true);
    expect(met({ of: "max", atMost: 9 })).toBe(false);
    expect(judge([{ subject: "64 B", of: "max", against: "ovs-dpdk", atMost: 1 }], summaries)[0].value).toBe(0.1);
  });

  test("on all rounds is not met where one of them failed, which is told of any bar", () => {
    const short = summarise(samples.filter(({ system, value }) => system !== "ringyard" || value < 10));
    const bars = judge(
      [
        { subject: "64 B", of: "max", atMost: 10 },
        { subject: "64 B", atMost: 10 },
      ],
      short,
    );
    expect(bars.map((bar) => bar.met)).toEqual([false, true]);
    expect(bars.map(({ failed }) => failed)).toEqual([1, 1]);
    const text = render({ suite: "s", summaries: short, bars, samples, failures: [] });
    expect(text).toContain("NOT MET 64 B, of all rounds: 9.00, at most 10; rounds that failed: 1");
  });

  test("is not met by what was not measured", () => {
    expect(met({ against: "testpmd", atLeast: 0 })).toBe(false);
    expect(met({ subject: "1500 B", atMost: 1 })).toBe(false);
    expect(judge([{ subject: "64 B", atMost: 1 }], summarise([sample("ovs-dpdk", 1)]))[0].met).toBe(false);
  });
});

test("the table has the medians, the ratio, the bars and what failed", () => {
  const summaries = summarise(samples);
  const bars = judge([{ subject: "64 B", against: "ovs-dpdk", atLeast: 2 }], summaries);
  const text = render({ suite: "s", summaries, bars, samples, failures: ["testpmd, 64 B: no"] });
  expect(text).toContain("9.00 (8.00 to 10.00)");
  expect(text).toContain("by ovs-dpdk");
  expect(render({ suite: "s", summaries: summarise(samples.slice(0, -1)), bars: [], samples, failures: [] })).toContain(
    "53.00 (6.00 to 100, 2 of 3 rounds)",
  );
  expect(text).toContain("NOT MET 64 B, ratio to ovs-dpdk: 1.50, at least 2");
  expect(text).toContain("FAILED  testpmd, 64 B: no");
});
