// What a process holds of the kernel: open descriptors by what they point to, and mappings by what they map. A leak test
// takes a snapshot, does the thing many times, takes another, and expects no difference.
//
//   /proc/PID/fd/7 -> anon_inode:[eventfd]      counted as "anon_inode:[eventfd]"
//   7f01…-7f02… rw-s 00000000 00:01 12 /memfd:guest (deleted)   counted as "/memfd:guest (deleted)"
//
// Anonymous private memory belongs to the language runtime, grows as it likes, and is left out. Inode numbers of sockets
// and pipes are dropped, so that a closed and a reopened one compare equal. Works on any process of the same user.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Holdings {
  /** Kind of descriptor -> how many. */
  fds: Map<string, number>;
  /** What is mapped, shared or file-backed -> how many. */
  mappings: Map<string, number>;
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

function descriptors(pid: number): Map<string, number> {
  const fds = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      count(fds, readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, ""));
    } catch {
      // The descriptor that listed the directory is gone by now.
    }
  }
  return fds;
}

function mappings(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
    const [, permissions, , , , ...path] = line.split(/\s+/);
    const name = path.join(" ");
    const shared = permissions?.[3] === "s";
    if (shared || name.startsWith("/")) count(found, name === "" ? "anonymous shared" : name);
  }
  return found;
}

/** What the process holds now. */
export function holdings(pid: number = process.pid): Holdings {
  return { fds: descriptors(pid), mappings: mappings(pid) };
}

/**
 * One line for each kind of which `after` has more than `before`; empty when nothing leaked. Fewer is no leak: the runtime
 * closes what is left of child processes when it likes.
 */
export function heldDifference(before: Holdings, after: Holdings): string[] {
  const lines: string[] = [];
  for (const kind of ["fds", "mappings"] as const) {
    for (const name of new Set([...before[kind].keys(), ...after[kind].keys()])) {
      const from = before[kind].get(name) ?? 0;
      const to = after[kind].get(name) ?? 0;
      if (to > from) lines.push(`${kind}: ${name}: ${from} -> ${to}`);
    }
  }
  return lines.sort();
}
