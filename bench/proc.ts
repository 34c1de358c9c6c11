// What a process uses, from /proc.

import { readdirSync, readFileSync } from "node:fs";

/** CPU time of all threads that live, in ms (the scheduler's own account: nanoseconds, not ticks). */
export function cpuTimeMs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

/** Percent of one CPU that a process uses over the time given. */
export async function cpuPercent(pid: number, seconds: number): Promise<number> {
  const from = { cpu: cpuTimeMs(pid), wall: performance.now() };
  await Bun.sleep(seconds * 1000);
  return (100 * (cpuTimeMs(pid) - from.cpu)) / (performance.now() - from.wall);
}

/** Resident memory in MB; hugepages of a guest are not in it. */
export function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kb) / 1024;
}
