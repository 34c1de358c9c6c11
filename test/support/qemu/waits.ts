// What a QEMU that does not answer waits for in the kernel. Where that is a device or a socket whose other end is ringyard's, it is no standstill
// of the guest (scripts/vm/console.ts).

import { readdirSync, readFileSync } from "node:fs";

/** Functions in which the kernel waits for who serves a VDUSE device, or for the other end of a Unix socket. */
const OURS = /^.*\b(?:vduse|vhost|vdpa|unix_stream|unix_dgram)_\w+.*$/m;

/** The line of a kernel stack (as in /proc/PID/task/TID/stack) that says so. Pure. */
export function waitsForUs(stack: string): string | undefined {
  return OURS.exec(stack)?.[0].trim();
}

/** Of all threads of process `pid`: the first such line. Threads that end meanwhile have none. */
export function threadWaitingForUs(pid: number): string | undefined {
  for (const thread of listed(`/proc/${pid}/task`)) {
    const line = waitsForUs(read(`/proc/${pid}/task/${thread}/stack`));
    if (line !== undefined) return line;
  }
  return undefined;
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
