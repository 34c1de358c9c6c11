// What a run of the bench leaves: one JSON file with every sample, a Markdown page, and plots that are pictures of the figures.

import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, encodeIntoCompressedBase64 } from "hdr-histogram-js";
import { plotsOf } from "../../bench/plots.ts";
import type { Result } from "../../bench/report.ts";
import { save, writeJson } from "../../bench/report.ts";
import { judge, summarise } from "../../bench/stats.ts";
import { useCleanup } from "../support/cleanup.ts";

const defer = useCleanup();
const sample = (system: string, subject: string, value: number) => ({ system, subject, unit: "Mpps", round: 0, value });
const samples = [
  ...[8, 10, 9].map((value) => sample("ringyard", "64 B", value)),
  ...[6, 7, 5].map((value) => sample("ovs-dpdk", "64 B", value)),
  sample("ringyard", "1500 B", 4),
];
const origin: Result["origin"] = {
  time: "2026-01-02T03:04:05.678Z",
  cpu: "A CPU",
  cpuCount: 2,
  memoryMb: 1024,
  kernel: "6.12",
  loadBefore: 0.5,
  versions: { bun: "1.2.3" },
};

function saved(): { folder: string; result: Result } {
  const scratch = mkdtempSync(join(tmpdir(), "ringyard-report-"));
  defer(() => rmSync(scratch, { recursive: true }));
  const summaries = summarise(samples);
  const bars = judge([{ subject: "64 B", against: "ovs-dpdk", atLeast: 2 }], summaries);
  const notes = ["packed rings: there are none"];
  const suites = [{ suite: "pair", summaries, bars, notes, samples, failures: ["one thing: broke"] }];
  const result: Result = { origin, options: { rounds: 3, seconds: 5, quota: 40 }, suites };
  save(result, join(scratch, "run.json"));
  return { folder: scratch, result };
}

test("single frames that were timed are curves, one picture for each load; what else was measured is bars", () => {
  const times = build();
  for (let n = 1; n <= 1000; n++) times.recordValue(n * 1000);
  const timed = {
    ...sample("ringyard", "pair, idle, p50", 500),
    unit: "us",
    histogram: encodeIntoCompressedBase64(times),
  };
  const all = [...samples, timed, { ...timed, system: "ovs-dpdk", round: 1 }];
  const drawn = plotsOf({ suite: "times", summaries: summarise(all), bars: [], samples: all, failures: [] });
  expect(drawn.map(({ name }) => name)).toEqual(["times-mpps", "times-pair-idle"]);
  const [, { svg }] = drawn;
  expect(svg).toContain("pair, idle");
  expect(svg).toContain("ovs-dpdk");
});

test("a result that is saved under a name without an ending has one", () => {
  const { folder, result } = saved();
  expect(save(result, join(folder, "other"))).toBe(join(folder, "other.json"));
  expect(readdirSync(folder).sort()).toEqual(["other", "other.json", "run", "run.json"]);
});

test("the JSON has every sample", () => {
  const { folder, result } = saved();
  expect(JSON.parse(readFileSync(join(folder, "run.json"), "utf8"))).toEqual(JSON.parse(JSON.stringify(result)));
});

test("a result that cannot be written leaves what is there, and no half of a file", () => {
  const { folder, result } = saved();
  const before = readFileSync(join(folder, "run.json"), "utf8");
  // What no JSON can hold, in the place of a disk that is full.
  const wrong = { ...result, options: { rounds: 1n } };
  expect(() => writeJson(join(folder, "run.json"), wrong)).toThrow();
  expect(readFileSync(join(folder, "run.json"), "utf8")).toBe(before);
  mkdirSync(join(folder, "taken.json"));
  expect(() => writeJson(join(folder, "taken.json"), result)).toThrow();
  expect(readdirSync(folder).sort()).toEqual(["run", "run.json", "taken.json"]);
});

test("the page has origin, table, bars, notes and failures", () => {
  const page = readFileSync(join(saved().folder, "run/report.md"), "utf8");
  expect(page).toContain("A CPU, 2 CPUs, 1024 MB, Linux 6.12");
  expect(page).toContain("| 64 B | Mpps | 9.00 (8.00 to 10.00) | 6.00 (5.00 to 7.00) | 1.50 |");
  // Whose other rounds failed does not look as if it had them.
  expect(page).toContain("| 1500 B | Mpps | 4.00 (1 of 3 rounds) | - | - |");
  expect(page).toContain("- NOT MET 64 B, ratio to ovs-dpdk: 1.50, at least 2");
  expect(page).toContain("- packed rings: there are none");
  expect(page).toContain("- FAILED: one thing: broke");
  expect(page).toContain("![pair](pair-mpps.svg)");
});

test("there is a plot for each unit, as SVG and as PNG", () => {
  const folder = join(saved().folder, "run");
  expect(readdirSync(folder).sort()).toEqual(["pair-mpps.png", "pair-mpps.svg", "report.md"]);
  const svg = readFileSync(join(folder, "pair-mpps.svg"), "utf8");
  for (const word of ["ringyard", "ovs-dpdk", "64 B", "1500 B", "pair: Mpps"]) expect(svg).toContain(word);
  const png = readFileSync(join(folder, "pair-mpps.png"));
  expect(png.subarray(0, 8)).toEqual(Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]));
});
