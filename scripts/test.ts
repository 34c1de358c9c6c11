// What `npm test` runs: the system packages that tests need, formatter and linter, types, then every test file, each in a
// process of its own (a crash, a leak or a hung peer stays in its file), one after the other (the real peers share ports
// of the machine: CPUs, hugepages, namespaces). Files in test/vm/ run in virtual machines, on each of their kernels: where there is memory
// for it, two machines at a time, beside the others; those that ask for two processors one after the other, when all else is done.
//
//   bun scripts/test.ts [PATTERN…]      with patterns: only test files whose path contains one, nothing else
//   RINGYARD_TEST_ALONE=1               one file at a time
//
// The last line is `N passed, N failed[, N skipped]`; the exit code is 0 only when something ran and nothing failed.
// With CI=true a skipped test is a failure: there everything must be there.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { setUp } from "./setup.ts";
import { Results, summary, timeTable } from "./test-report.ts";
import { IN_VM, machineGroups, testGroup, testKernels } from "./vm/tests.ts";

const ROOT = `${join(import.meta.dir, "..")}/`;
const FULL = process.env.RINGYARD_TEST_SCALE === "full";
const CHECKS = {
  "format and lint": ["node_modules/.bin/biome", "check", "--diagnostic-level=warn", "."],
  types: ["node_modules/.bin/tsc", "--noEmit"],
};
/** For tests without a limit of their own: bun's five seconds are too few beside other work on the machine, and tests do not judge speed. At full size the longest property took 92 s. */
const TEST_TIMEOUT_MS = (FULL ? 20 : 1) * 60_000;
/** A file that takes longer hangs: single tests have time limits of their own. In `npm test` the longest takes two minutes (vm/tests.ts has more for some). */
const FILE_TIMEOUT_MS = (FULL ? 120 : 15) * 60_000;
/** Machines emulate their processors and wait patiently: where they run beside the tests on the host, they give way. */
const MACHINES_NICE = 5;
/** At a time: most have one processor, and tests on the host wait half of their time. */
const MACHINES = 2;
/** Bytes of memory for them, another one that a test on the host boots, that test, and a kernel that is being built. */
const ROOM_SIZE = 13 * 2 ** 30;

/** Shows what comes where `sink` is given, and keeps it in `chunks`, among what comes of others. */
async function copyTo(stream: ReadableStream<Uint8Array>, chunks: string[], sink?: NodeJS.WriteStream): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    sink?.write(chunk);
    chunks.push(decoder.decode(chunk, { stream: true }));
  }
}

/** Runs a program in the tree's root; its output is shown as it comes (`live`) or in the end, and returned. */
async function show(argv: string[], live: boolean): Promise<{ output: string; exitCode: number }> {
  const child = Bun.spawn(argv, {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...(process.stderr.isTTY ? { FORCE_COLOR: "1" } : {}) },
  });
  const chunks: string[] = [];
  const timer = setTimeout(() => {
    chunks.push(`${argv.join(" ")} took more than ${FILE_TIMEOUT_MS / 60_000} minutes\n`);
    if (live) console.error(chunks.at(-1));
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
  }, FILE_TIMEOUT_MS);
  await Promise.all([
    copyTo(child.stdout, chunks, live ? process.stdout : undefined),
    copyTo(child.stderr, chunks, live ? process.stderr : undefined),
  ]);
  const exitCode = await child.exited;
  clearTimeout(timer);
  const output = chunks.join("");
  if (!live) process.stderr.write(output);
  return { output, exitCode: child.signalCode === null ? exitCode : 128 };
}

/** A clock for one thing after the other: seconds since it was last asked. */
function stopwatch(): () => number {
  let began = performance.now();
  return () => {
    const seconds = (performance.now() - began) / 1000;
    began = performance.now();
    return seconds;
  };
}

async function check(live: boolean, { total }: Results): Promise<void> {
  for (const [what, argv] of Object.entries(CHECKS)) {
    console.error(`${what}:`);
    const { exitCode } = await show(argv, live);
    if (exitCode === 0) total.passed++;
    else total.failed++;
  }
}

async function testOnHost(files: string[], live: boolean, results: Results): Promise<void> {
  const lap = stopwatch();
  for (const file of files) {
    const argv = [process.execPath, "test", "--no-orphans", "--timeout", `${TEST_TIMEOUT_MS}`, `./${file}`];
    const { output, exitCode } = await show(argv, live);
    results.add({ file, where: "host", seconds: lap() }, output, exitCode);
  }
}

/** What virtual machines need is fetched and built, kernel by kernel, beside the tests, which it hardly slows down. */
function prepareMachines(files: string[]): Map<string, Promise<unknown>> {
  const ready = new Map<string, Promise<unknown>>();
  let last: Promise<unknown> = Promise.resolve();
  for (const kernel of files.length === 0 ? [] : testKernels()) {
    const argv = ["nice", "-n", "19", process.execPath, "scripts/vm/prepare.ts", ...files];
    const env = { ...process.env, RINGYARD_VM_KERNELS: kernel };
    last = last.then(() => Bun.spawn(argv, { cwd: ROOT, env, stdio: ["ignore", "inherit", "inherit"] }).exited);
    ready.set(kernel, last);
  }
  return ready;
}

type Job = () => Promise<void>;

/** A machine's files. */
interface MachineJob {
  readonly length: number;
  /** It needs processors of its own: what polls on one waits for what runs on another, and on a busy host takes five times as long. */
  readonly isAlone: boolean;
  readonly job: Job;
}

/** Files in virtual machines: a job for each machine, those with most files first, so that no long one is left for the end. */
async function machineJobs(files: string[], live: boolean, results: Results): Promise<MachineJob[]> {
  const settings = { seconds: FILE_TIMEOUT_MS / 1000, nice: live ? 0 : MACHINES_NICE, live };
  const jobs: MachineJob[] = [];
  for (const [kernel, ready] of prepareMachines(files)) {
    for (const group of await machineGroups(kernel, files)) {
      const job = async () => {
        await ready;
        const lap = stopwatch();
        for await (const { file, output, exitCode, skipped, lost } of testGroup(kernel, group, settings)) {
          if (skipped !== undefined) {
            console.error(`skip: ${file} on ${kernel}: ${skipped}`);
            results.total.skipped++;
          } else if (lost !== undefined) {
            const line = results.addLost({ file, where: kernel, seconds: lap() }, lost);
            console.error(`\nRUNS ONCE MORE: ${line}\n`);
          } else results.add({ file, where: kernel, seconds: lap() }, output, exitCode);
        }
      };
      jobs.push({ length: group.length, isAlone: (group[0].needs.processors ?? 1) > 1, job });
    }
  }
  return jobs.sort((a, b) => b.length - a.length);
}

/** Does them in their order, so many at a time. */
async function work(jobs: Job[], hands: number): Promise<void> {
  const hand = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
  };
  await Promise.all(Array.from({ length: hands }, hand));
}

/** Whether there is room for machines beside the tests on the host, and beside one another. */
function roomForBoth(): boolean {
  const available = Number(/^MemAvailable: *(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
  return process.env.RINGYARD_TEST_ALONE !== "1" && availableParallelism() > 1 && available > ROOM_SIZE;
}

function testFiles(patterns: string[]): string[] {
  const all = [...new Bun.Glob("test/**/*.test.ts").scanSync({ cwd: ROOT })].sort();
  const wanted = patterns.map((pattern) => relative(ROOT, pattern.startsWith("/") ? pattern : `${ROOT}${pattern}`));
  return wanted.length === 0 ? all : all.filter((file) => wanted.some((pattern) => file.includes(pattern)));
}

async function main(patterns: string[]): Promise<number> {
  const results = new Results();
  const { total, times, failures, lost } = results;
  await setUp("test");
  const files = testFiles(patterns);
  const onHost = files.filter((file) => !file.startsWith(IN_VM));
  const inMachines = files.filter((file) => file.startsWith(IN_VM));
  const both = onHost.length > 0 && inMachines.length > 0 && roomForBoth();
  const host = async () => {
    if (patterns.length === 0) await check(!both, results);
    await testOnHost(onHost, !both, results);
  };
  const machines = await machineJobs(inMachines, !both, results);
  const jobsOf = (alone: boolean) => machines.filter(({ isAlone }) => isAlone === alone).map(({ job }) => job);
  if (both) await Promise.all([host(), work(jobsOf(false), MACHINES)]);
  else await work([host, ...jobsOf(false)], 1);
  await work(jobsOf(true), 1);
  const ci = process.env.CI === "true";
  if (times.length > 1) console.error(`\nwhere the time went:\n${timeTable(times)}`);
  if (lost.length > 0) console.error(`\nran once more, and only that counts:\n${lost.join("\n")}`);
  if (failures.length > 0) console.error(`\nfailed in:\n${failures.join("\n")}`);
  if (ci && total.skipped > 0) console.error(`${total.skipped} skipped, which CI counts as failed`);
  const { line, ok } = summary(total, ci);
  console.log(line);
  return ok ? 0 : 1;
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
