// The test command's arithmetic: a run that crashed, ran nothing or skipped in CI must never look like a pass.

import { expect, test } from "bun:test";
import { summary, tally } from "../../scripts/test.ts";

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
