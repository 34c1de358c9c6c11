// 2 MiB pages for the DPDK programs that tests and benches run beside the switch (ringyard itself needs none). What was
// changed is put back: the number of pages, and the mount if there was none.
//
//   const restore = reserveHugepages();  try { … } finally { restore(); }
//
// Several users at once: each raises the number to what it needs, and gives back only what it raised.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

const NR_HUGEPAGES = "/proc/sys/vm/nr_hugepages";
const MOUNT_POINT = "/dev/hugepages";
/** 1 GiB to each of two DPDK programs: 512 MiB of buffers and as much again for what rounds up. */
const DEFAULT_COUNT = 1024;

function meminfo(name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/meminfo", "utf8"));
  return line === null ? 0 : Number(line[1]);
}

function mounted(): boolean {
  return readFileSync("/proc/self/mounts", "utf8").includes(` ${MOUNT_POINT} hugetlbfs `);
}

/** Why hugepages cannot be had here, or undefined. */
export function hugepagesUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "only root may reserve hugepages";
  if (!existsSync(NR_HUGEPAGES)) return "the kernel has no hugetlbfs";
  if (meminfo("Hugepagesize") !== 2048) return `hugepages here are ${meminfo("Hugepagesize")} kB, not 2048 kB`;
  return undefined;
}

function mount(): () => void {
  if (mounted()) return () => {};
  const madeFolder = !existsSync(MOUNT_POINT);
  mkdirSync(MOUNT_POINT, { recursive: true });
  const made = Bun.spawnSync(["mount", "-t", "hugetlbfs", "nodev", MOUNT_POINT]);
  if (!made.success) throw new Error(`mount ${MOUNT_POINT}: ${made.stderr.toString().trim()}`);
  return () => {
    // Busy means that somebody else's program has found it: then it stays.
    const gone = Bun.spawnSync(["umount", MOUNT_POINT]).success;
    if (gone && madeFolder) rmdirSync(MOUNT_POINT);
  };
}

/** Makes sure of at least `count` free pages and the mount; the function returned puts back what was changed. */
export function reserveHugepages(count: number = DEFAULT_COUNT): () => void {
  const unavailable = hugepagesUnavailable();
  if (unavailable !== undefined) throw new Error(unavailable);
  const raisedBy = Math.max(0, count - meminfo("HugePages_Free"));
  const giveBack = () => {
    const now = Number(readFileSync(NR_HUGEPAGES, "utf8"));
    if (raisedBy > 0) writeFileSync(NR_HUGEPAGES, String(Math.max(0, now - raisedBy)));
  };
  if (raisedBy > 0) writeFileSync(NR_HUGEPAGES, String(meminfo("HugePages_Total") + raisedBy));
  const free = meminfo("HugePages_Free");
  if (free < count) {
    giveBack();
    throw new Error(`${free} of ${count} hugepages could be had: free some memory`);
  }
  let unmount = () => {};
  try {
    unmount = mount();
  } catch (error) {
    giveBack();
    throw error;
  }
  let restored = false;
  return () => {
    if (restored) return;
    restored = true;
    unmount();
    giveBack();
  };
}
