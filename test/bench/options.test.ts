// What the bench refuses before it begins, in one line, and what it says of what it took.

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { run } from "../support/process.ts";

const MAIN = resolve(import.meta.dir, "../../bench/main.ts");

/** A suite that measures nothing with these systems: what is not refused ends soon, too. */
async function refusal(...words: string[]): Promise<string> {
  const argv = [process.execPath, MAIN, "--suites", "stability", "--systems", "testpmd", ...words];
  const { exitCode, stdout, stderr } = await run(argv, { env: { RINGYARD_NO_INSTALL: "1" }, allowFailure: true });
  expect(stdout).toBe("");
  expect(exitCode).toBe(1);
  expect(stderr.trim().split("\n").length).toBe(1);
  return stderr;
}

test("what cannot be measured is refused in a line", async () => {
  expect(await refusal("--rounds", "0")).toContain("from 1");
  expect(await refusal("--seconds", "0")).toContain("from 1");
  expect(await refusal("--minutes", "0")).toContain("from 1");
  expect(await refusal("--sizes", "0")).toContain("from 60 to 1514");
  expect(await refusal("--sizes", "64,")).toContain("from 60 to 1514");
  expect(await refusal("--sizes", "9000")).toContain("from 60 to 1514");
  expect(await refusal("--quota", "5")).toContain("from 10 to 100");
  expect(await refusal("--quota", "500")).toContain("from 10 to 100");
  expect(await refusal("--suites", "nope")).toContain("nope: known are vhost-user");
});

test("so is a file that nobody could write an hour later", async () => {
  expect(await refusal("--out", "/nowhere/at/all/run.json")).toContain("nothing can be written in /nowhere/at/all");
});
