// What `npm test` runs: the system packages that tests need, formatter and linter, types, then every test file, each in a
// process of its own (a crash, a leak or a hung peer stays in its file), one after the other (the real peers share ports
// of the machine: CPUs, hugepages, namespaces).
//
//   bun scripts/test.ts [PATTERN…]      with patterns: only test files whose path contains one, nothing else
//
// The last line is `N passed, N failed[, N skipped]`; the exit code is 0 only when something ran and nothing failed.
// With CI=true a skipped test is a failure: there everything must be there.

import { relative } from "node:path";
import { setUp } from "./setup.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const FULL = process.env.RINGYARD_TEST_SCALE === "full";
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
  const argv = [process.execPath, "test", "--no-orphans", `./${file}`];
  const { output, exitCode } = await show(argv, FILE_TIMEOUT_MS);
  const { passed, failed, skipped } = tally(output, exitCode);
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  return failed === 0;
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
  for (const file of testFiles(patterns)) {
    if (!(await testFile(file, total))) failedFiles.push(file);
  }
  const ci = process.env.CI === "true";
  if (failedFiles.length > 0) console.error(`failed in:\n  ${failedFiles.join("\n  ")}`);
  if (ci && total.skipped > 0) console.error(`${total.skipped} skipped, which CI counts as failed`);
  const { line, ok } = summary(total, ci);
  console.log(line);
  return ok ? 0 : 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
