// What `npm test` runs: the system packages that tests need, formatter and linter, types, then every test file, each in a
// process of its own (a crash, a leak or a hung peer stays in its file), one after the other (the real peers share ports
// of the machine: CPUs, hugepages, namespaces). Files in test/vm/ run in a virtual machine, on each of its kernels.
//
//   bun scripts/test.ts [PATTERN…]      with patterns: only test files whose path contains one, nothing else
//
// The last line is `N passed, N failed[, N skipped]`; the exit code is 0 only when something ran and nothing failed.
// With CI=true a skipped test is a failure: there everything must be there.

import { join, relative } from "node:path";
import { setUp } from "./setup.ts";
import { IN_VM, prepare, testInVm, testKernels } from "./vm/tests.ts";

const ROOT = `${join(import.meta.dir, "..")}/`;
const FULL = process.env.RINGYARD_TEST_SCALE === "full";
/** For tests without a limit of their own: bun's five seconds are too few beside other work on the machine, and tests do not judge speed. */
const TEST_TIMEOUT_MS = 60_000;
/** A file that takes longer hangs: single tests have time limits of their own. */
const FILE_TIMEOUT_MS = (FULL ? 120 : 20) * 60_000;

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** Reads the summary that `bun test` ends with; an exit code that the numbers do not explain is one failure more. */
export function tally(output: string, exitCode: number): Tally {
  const plain = Bun.stripANSI(output);
  const number = (word: string) => {
    const all = [...plain.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))];
    return Number(all.at(-1)?.[1] ?? 0);
  };
  const result = { passed: number("pass"), failed: number("fail"), skipped: number("skip") + number("todo") };
  const ran = result.passed + result.failed + result.skipped;
  if (result.failed === 0 && (exitCode !== 0 || ran === 0)) result.failed = 1;
  return result;
}

/** The last line; in CI what was skipped is counted as failed. */
export function summary(total: Tally, ci: boolean): { line: string; ok: boolean } {
  const failed = total.failed + (ci ? total.skipped : 0);
  const skipped = !ci && total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  return { line: `${total.passed} passed, ${failed} failed${skipped}`, ok: failed === 0 && total.passed > 0 };
}

async function copyTo(stream: ReadableStream<Uint8Array>, sink: NodeJS.WriteStream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    sink.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Runs a program in the tree's root; its output is shown as it comes, and returned. */
async function show(argv: string[], timeoutMs: number): Promise<{ output: string; exitCode: number }> {
  const child = Bun.spawn(argv, {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...(process.stderr.isTTY ? { FORCE_COLOR: "1" } : {}) },
  });
  const timer = setTimeout(() => {
    console.error(`${argv.join(" ")} took more than ${timeoutMs / 60_000} minutes`);
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
  }, timeoutMs);
  const [stdout, stderr] = await Promise.all([
    copyTo(child.stdout, process.stdout),
    copyTo(child.stderr, process.stderr),
  ]);
  const exitCode = await child.exited;
  clearTimeout(timer);
  return { output: stdout + stderr, exitCode: child.signalCode === null ? exitCode : 128 };
}

async function check(what: string, argv: string[], total: Tally): Promise<void> {
  console.error(`${what}:`);
  const { exitCode } = await show(argv, FILE_TIMEOUT_MS);
  if (exitCode === 0) total.passed++;
  else total.failed++;
}

async function testFile(file: string, total: Tally): Promise<boolean> {
  const argv = [process.execPath, "test", "--no-orphans", "--timeout", `${TEST_TIMEOUT_MS}`, `./${file}`];
  const { output, exitCode } = await show(argv, FILE_TIMEOUT_MS);
  return count(output, exitCode, total);
}

/** Adds what a test process said to the total; false where something in it failed. */
function count(output: string, exitCode: number, total: Tally): boolean {
  const { passed, failed, skipped } = tally(output, exitCode);
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  return failed === 0;
}

/** Files in virtual machines, on each kernel in turn; returns those that failed, with the kernel's name. */
async function testVmFiles(files: string[], total: Tally): Promise<string[]> {
  if (files.length === 0) return [];
  const failed: string[] = [];
  await prepare(files);
  for (const kernel of testKernels()) {
    for await (const { file, output, exitCode, skipped } of testInVm(kernel, files, FILE_TIMEOUT_MS / 1000)) {
      if (skipped !== undefined) {
        console.error(`skip: ${file} on ${kernel}: ${skipped}`);
        total.skipped++;
      } else if (!count(output, exitCode, total)) failed.push(`${file} (${kernel})`);
    }
  }
  return failed;
}

function testFiles(patterns: string[]): string[] {
  const all = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: ROOT })].sort();
  const wanted = patterns.map((pattern) => relative(ROOT, pattern.startsWith("/") ? pattern : `${ROOT}${pattern}`));
  return wanted.length === 0 ? all : all.filter((file) => wanted.some((pattern) => file.includes(pattern)));
}

async function main(patterns: string[]): Promise<number> {
  const total: Tally = { passed: 0, failed: 0, skipped: 0 };
  await setUp("test");
  if (patterns.length === 0) {
    await check("format and lint", ["node_modules/.bin/biome", "check", "--diagnostic-level=warn", "."], total);
    await check("types", ["node_modules/.bin/tsc", "--noEmit"], total);
  }
  const failedFiles: string[] = [];
  const files = testFiles(patterns);
  for (const file of files.filter((each) => !each.startsWith(IN_VM))) {
    if (!(await testFile(file, total))) failedFiles.push(file);
  }
  failedFiles.push(
    ...(await testVmFiles(
      files.filter((each) => each.startsWith(IN_VM)),
      total,
    )),
  );
  const ci = process.env.CI === "true";
  if (failedFiles.length > 0) console.error(`failed in:\n  ${failedFiles.join("\n  ")}`);
  if (ci && total.skipped > 0) console.error(`${total.skipped} skipped, which CI counts as failed`);
  const { line, ok } = summary(total, ci);
  console.log(line);
  return ok ? 0 : 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
