// The bench runs, small: one short round of ringyard alone, of every suite but vduse and nic, which have a test of their own
// (smoke-machine.test.ts), and guests where there is no image of one. Suites with a client of ours look at what arrives: frames as they were sent, in order. What the bench leaves behind
// is looked for, too: a bench that leaks programs or hugepages spoils the next measurement.

import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { compare } from "../../bench/compare.ts";
import { hugepagesUnavailable } from "../../scripts/hugepages.ts";
import { useCleanup } from "../support/cleanup.ts";
import { run } from "../support/process.ts";
import { guestImage } from "../support/qemu/image.ts";
import { requirePeer } from "../support/skip.ts";

const ROOT = resolve(import.meta.dir, "../..");
const TIME_LIMIT_MS = 600_000;

/** What the latency suite says of a path, in order. */
function timed(path: string): string[] {
  const loads = ["10 % load", "50 % load", "90 % load", "idle"];
  const figures = ["max", "p50", "p99", "p99.9", "p99.99"];
  return [...loads.flatMap((load) => figures.map((figure) => `${path}, ${load}, ${figure}`)), `${path}, most`];
}

const SUITES = ["vhost-user", "stages", "rules", "growth", "tap", "latency", "footprint", "stability"];
const GUESTS = ["TCP between guests, 1 stream", "ping between guests, median"];
const image = await guestImage().catch((error: Error) => error);
if (image instanceof Error) console.error(`the suite guests is left out: ${image.message}`);
const suites = image instanceof Error ? SUITES : [...SUITES, "guests"];

function missing(): string | undefined {
  if (Bun.which("dpdk-testpmd") === null) return "apt install dpdk-dev";
  return hugepagesUnavailable();
}

requirePeer(
  "dpdk-testpmd",
  missing() === undefined,
  missing() ?? "",
)("npm run bench -- --smoke", () => {
  const defer = useCleanup();

  test(
    "measures every subject and leaves nothing",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "ringyard-smoke-"));
      defer(() => rmSync(folder, { recursive: true }));
      const out = join(folder, "result.json");
      const hugepages = readFileSync("/proc/sys/vm/nr_hugepages", "utf8");
      const words = ["--smoke", "--suites", suites.join(), "--out", out];
      const argv = [process.execPath, join(ROOT, "bench/main.ts"), ...words];
      // Its sockets lie in our folder, so that its programs are known by it.
      const env = { RINGYARD_NO_INSTALL: "1", TMPDIR: folder };
      const { stdout } = await run(argv, { timeoutMs: TIME_LIMIT_MS, env });

      const result = JSON.parse(readFileSync(out, "utf8"));
      const { origin, suites: results } = result;
      expect(origin.versions.bun).toBe(Bun.version);
      const values = new Map<string, number>();
      for (const { samples } of results) for (const { subject, value } of samples) values.set(subject, value);
      const left = GUESTS.filter(() => !suites.includes("guests"));
      expect([...values.keys(), ...left].sort()).toEqual([
        "1 GiB of memory, 2 addresses",
        "1 GiB of memory, 2 addresses, 2 workers",
        "100 addresses, 2 ports",
        "100 addresses, 2 ports, 2 workers",
        "100 addresses, 2 ports, 2 workers, against 2",
        "100 addresses, 2 ports, against 2",
        "2 GiB of memory, 2 addresses",
        "2 GiB of memory, 2 addresses, 2 workers",
        "2 GiB of memory, 2 addresses, 2 workers, against 1",
        "2 GiB of memory, 2 addresses, against 1",
        "2 addresses, 2 ports",
        "2 addresses, 2 ports, 2 workers",
        "2 ports, 1024 addresses",
        "2 ports, 1024 addresses, 2 workers",
        "64 B",
        "64 B, all new flows",
        "64 B, all stages",
        "64 B, classify",
        "64 B, copy",
        "64 B, fetch",
        "64 B, frames a breath",
        "64 B, publish",
        "64 B, unconfined",
        "64 B, warm flows",
        "8 ports, 1024 addresses",
        "8 ports, 1024 addresses, 2 workers",
        "8 ports, 1024 addresses, 2 workers, against 2",
        "8 ports, 1024 addresses, against 2",
        "IMIX",
        "IMIX, unconfined",
        "TCP between guests, 1 stream",
        "TCP, 1 stream",
        "TCP, 4 streams",
        "collections of the workers' heaps",
        "drift of throughput, last fifth against first",
        "growth of memory, last fifth against first",
        "idle, 2 TAP ports",
        "idle, 2 vhost-user ports",
        "memory, 2 TAP ports",
        "memory, 2 vhost-user ports after load",
        "memory, each further port",
        "most that the host took of a second",
        ...timed("namespaces"),
        "one worker, 1 flow",
        "one worker, 4096 flows",
        "one worker, 64 flows",
        "one worker, all new flows",
        "one worker, up to ask, 64 flows",
        "one worker, up to ask, all new flows",
        "one worker, up to copy, 64 flows",
        "one worker, up to copy, all new flows",
        "one worker, up to fetch, 64 flows",
        "one worker, up to fetch, all new flows",
        "ping at idle, median",
        "ping between guests, median",
        "start to first frame",
        "throughput",
        "timing, breaths of 1 frame",
        "timing, breaths of 64 frames",
        "update of one rule, one CPU, full load, first",
        "update of one rule, one CPU, full load, greatest",
        "update of one rule, one CPU, full load, median",
        "update of one rule, paced load, first",
        "update of one rule, paced load, greatest",
        "update of one rule, paced load, median",
        ...timed("vhost-user"),
        "worst second, below the median",
      ]);
      // Of every unit it is known which way is better.
      expect(compare(result, result).filter(({ change }) => change !== "same")).toEqual([]);
      // What a steady switch has none of, and what is within the noise where breaths are long. Collections there may be: in so
      // short a run code is still being compiled. test/real/gc.test.ts waits until that is over.
      const none = /^(collections|drift|growth|most that the host|worst second|timing)/;
      for (const [subject, value] of values) if (!none.test(subject)) expect(value, subject).toBeGreaterThan(0);
      expect(stdout).toContain("start to first frame");
      expect((await run(["pgrep", "-af", folder], { allowFailure: true })).stdout).toBe("");
      expect(readdirSync(folder).sort()).toEqual(["result", "result.json"]);
      expect(readFileSync("/proc/sys/vm/nr_hugepages", "utf8")).toBe(hugepages);
    },
    TIME_LIMIT_MS,
  );
});
