// The suites of the bench that boot a virtual machine, small: one short round of ringyard alone. Inside, the kernel's own tools look at what
// arrives: iperf3's TCP and ping's bytes.

import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { missingPrograms } from "../../scripts/vm/machine.ts";
import { useCleanup } from "../support/cleanup.ts";
import { run } from "../support/process.ts";
import { requirePeer } from "../support/skip.ts";

const ROOT = resolve(import.meta.dir, "../..");
const TIME_LIMIT_MS = 600_000;
const missing = missingPrograms();

requirePeer(
  "a virtual machine",
  missing.length === 0,
  `missing: ${missing.join(", ")}`,
)("npm run bench -- --smoke, inside a machine", () => {
  const defer = useCleanup();

  test.each([
    [
      "vduse",
      [
        "64 B frames",
        "TCP, one stream",
        "a frame's cost, one worker, 4 ports",
        "ping, least",
        "ping, mean",
        "ping, median",
      ],
    ],
    [
      "nic",
      ["virtio-net-pci", "e1000e"].flatMap((model) =>
        ["1518 B frames", "64 B frames", "ping, median"].map((what) => `${model}, ${what}`),
      ),
    ],
  ])(
    "%s measures every subject",
    async (suite, subjects) => {
      const folder = mkdtempSync(join(tmpdir(), "ringyard-smoke-"));
      defer(() => rmSync(folder, { recursive: true }));
      const out = join(folder, "result.json");
      const argv = [process.execPath, join(ROOT, "bench/main.ts"), "--smoke", "--suites", suite, "--out", out];
      await run(argv, { timeoutMs: TIME_LIMIT_MS, env: { RINGYARD_NO_INSTALL: "1", TMPDIR: folder } });

      const [{ failures, samples }] = JSON.parse(readFileSync(out, "utf8")).suites;
      expect(failures).toEqual([]);
      const values = new Map<string, number>(
        samples.map((each: { subject: string; value: number }) => [each.subject, each.value]),
      );
      expect([...values.keys()].sort()).toEqual(subjects.toSorted());
      for (const [subject, value] of values) expect(value, subject).toBeGreaterThan(0);
      expect((await run(["pgrep", "-af", folder], { allowFailure: true })).stdout).toBe("");
    },
    TIME_LIMIT_MS,
  );
});
