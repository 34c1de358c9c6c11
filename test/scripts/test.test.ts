// The test command's arithmetic: a run that crashed, ran nothing or skipped in CI must never look like a pass.

import { expect, test } from "bun:test";
import { lastWords, Results, summary, type Timed, tally, timeTable } from "../../scripts/test-report.ts";

test("the summary of bun test is read, with and without colours", () => {
  const output =
    "a 5 pass b\n 13 pass\n\x1b[33m 2 skip\x1b[0m\n 1 fail\n 26 expect() calls\nRan 16 tests across 1 file.\n";
  expect(tally(output, 1)).toEqual({ passed: 13, failed: 1, skipped: 2 });
});

test("an exit code that the numbers do not explain is a failure", () => {
  expect(tally(" 3 pass\n 0 fail\n", 139)).toEqual({ passed: 3, failed: 1, skipped: 0 });
  expect(tally("", 128)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test("a file that ran nothing is a failure", () => {
  expect(tally(" 0 pass\n 0 fail\n", 0)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test("what is skipped is shown here and fails in CI", () => {
  const total = { passed: 4, failed: 0, skipped: 2 };
  expect(summary(total, false)).toEqual({ line: "4 passed, 0 failed, 2 skipped", ok: true });
  expect(summary(total, true)).toEqual({ line: "4 passed, 2 failed", ok: false });
});

test("zero tests are not a success", () => {
  expect(summary({ passed: 0, failed: 0, skipped: 0 }, false).ok).toBe(false);
});

test("the ten files that took longest are listed, and what each place took", () => {
  const times: Timed[] = Array.from({ length: 12 }, (_, n) => ({ file: `${n}.ts`, where: "host", seconds: n }));
  times.splice(3, 0, { file: "slow.ts", where: "sid", seconds: 100.06 });
  const lines = timeTable(times).split("\n");
  expect(lines.length).toBe(12);
  expect(lines.slice(0, 2)).toEqual(["   100.1 s  slow.ts on sid", "    11.0 s  11.ts on host"]);
  expect(lines.slice(9)).toEqual([
    "     3.0 s  3.ts on host",
    "    66.0 s  12 files on host",
    "   100.1 s  1 file on sid",
  ]);
});

test("what failed is said again, without what passed", () => {
  const output =
    "a.test.ts:\n(pass) one [1ms]\nerror: why\n  at a.ts:1\n\x1b[31m(fail)\x1b[0m two [2ms]\n(pass) three\n\n 2 pass\n 1 fail\n";
  expect(lastWords(output)).toBe("error: why\n  at a.ts:1\n(fail) two [2ms]");
  const long = Array.from({ length: 100 }, (_, n) => `line ${n}`).join("\n");
  expect(lastWords(`${long}\n(fail) late`).split("\n").slice(0, 2)).toEqual(["line 61", "line 62"]);
});

test("of a file that ended before it said what failed, its last lines are said again", () => {
  expect(lastWords("(pass) one\npanic: here\n")).toBe("(pass) one\npanic: here");
});

test("a run that the emulator lost counts for nothing, and is told in the end", () => {
  const results = new Results();
  const said = results.addLost({ file: "a.test.ts", where: "6.12", seconds: 5 }, "why");
  expect(said).toBe("a.test.ts on 6.12: why");
  results.add({ file: "a.test.ts", where: "6.12", seconds: 9 }, " 3 pass\n 0 fail\n", 0);
  expect(results.lost).toEqual([said]);
  expect(results.failures).toEqual([]);
  expect(summary(results.total, true)).toEqual({ line: "3 passed, 0 failed", ok: true });
  expect(results.times.map(({ seconds }) => seconds)).toEqual([5, 9]);
});
