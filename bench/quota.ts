// Confines a switch under test to a share of one CPU. Without that the client is the bottleneck at 64 B, and all switches look
// alike. One control group per bench process, cgroup v1 or v2, removed at the end.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Undo } from "./undo.ts";

/** Short against the length of a sample, long against a burst. */
const PERIOD_US = 10_000;

/** Where the cpu controller of cgroup v1 is mounted, if it is. */
function cpuControllerV1(): string | undefined {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, path, type, options = ""] = line.split(" ");
    if (type === "cgroup" && options.split(",").includes("cpu")) return path;
  }
  return undefined;
}

const name = `ringyard-bench-${process.pid}`;

/** Removed at the end even where the kernel refuses the quota. */
function makeGroup(percent: number, undo: Undo): string {
  const quotaUs = (PERIOD_US * percent) / 100;
  const v1 = cpuControllerV1();
  if (v1 !== undefined) {
    const group = join(v1, name);
    undo.defer(() => removeGroup(group));
    mkdirSync(group, { recursive: true });
    writeFileSync(join(group, "cpu.cfs_period_us"), String(PERIOD_US));
    writeFileSync(join(group, "cpu.cfs_quota_us"), String(quotaUs));
    return group;
  }
  const root = "/sys/fs/cgroup";
  if (!existsSync(join(root, "cgroup.controllers"))) throw new Error("no cpu cgroup here: use --quota 0");
  writeFileSync(join(root, "cgroup.subtree_control"), "+cpu");
  const group = join(root, name);
  undo.defer(() => removeGroup(group));
  mkdirSync(group, { recursive: true });
  writeFileSync(join(group, "cpu.max"), `${quotaUs} ${PERIOD_US}`);
  return group;
}

/** Removes a group; what still runs in it is freed first. */
function removeGroup(group: string): void {
  if (!existsSync(group)) return;
  for (const pid of readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean)) {
    writeFileSync(join(dirname(group), "cgroup.procs"), pid);
  }
  rmdirSync(group);
}

/** Puts a process with all its threads under `percent` of one CPU; 0 leaves it free. */
export function confine(pid: number, percent: number, undo: Undo): void {
  if (percent === 0) return;
  const group = makeGroup(percent, undo);
  writeFileSync(join(group, "cgroup.procs"), String(pid));
}

/** Gives a process that `confine` was called for all of its CPU. */
export function unconfine(pid: number): void {
  writeFileSync(join(cpuControllerV1() ?? "/sys/fs/cgroup", "cgroup.procs"), String(pid));
}
