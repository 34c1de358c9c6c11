// Control groups of the bench go with it, also where the kernel takes no such quota.

import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { confine } from "../../bench/quota.ts";
import { Undo } from "../../bench/undo.ts";
import { useProcesses } from "../support/process.ts";

const V1 = "/sys/fs/cgroup/cpu";
const group = `${V1}/ringyard-bench-${process.pid}`;
const spawn = useProcesses();

const there = process.getuid?.() === 0 && existsSync(`${V1}/cpu.cfs_quota_us`);
const suite = there ? describe : describe.skip;

suite("a group of the bench", () => {
  test("is removed, even where the quota was refused", async () => {
    const { pid } = spawn(["sleep", "60"]);
    for (const [percent, refused] of [
      [5, true],
      [40, false],
    ] as const) {
      const undo = new Undo();
      const attempt = () => confine(pid, percent, undo);
      if (refused) expect(attempt).toThrow("EINVAL");
      else attempt();
      expect(existsSync(group)).toBe(true);
      await undo.unwind();
      expect(existsSync(group)).toBe(false);
    }
  });
});
