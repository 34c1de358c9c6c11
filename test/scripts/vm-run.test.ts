// Virtual machines as they end: with the command's code, at its limit, by a panic, by a kernel that complains. On the default
// kernel; a boot takes some seconds.

import { beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { bootVm, missingPrograms, RESULTS, type Vm, VmGone } from "../../scripts/vm/machine.ts";
import { useCleanup } from "../support/cleanup.ts";
import { run } from "../support/process.ts";
import { requirePeer } from "../support/skip.ts";

const LIMIT_MS = 180_000;
const MAIN = join(import.meta.dir, "../../scripts/vm/main.ts");
const missing = missingPrograms();
const defer = useCleanup();

requirePeer(
  "QEMU",
  missing.length === 0,
  `${missing.join(", ")} not installed`,
)("a virtual machine", () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ memory: 1024, processors: 1 });
    defer(() => vm.close());
  }, LIMIT_MS);

  /** Runs a shell text; what it printed comes with its code. */
  async function inside(command: string, seconds = 30, leftovers: "kill" | "keep" = "kill") {
    const printed = { out: "", err: "" };
    const result = await vm.run(command, {
      seconds,
      leftovers,
      stdout: (bytes) => {
        printed.out += Buffer.from(bytes);
      },
      stderr: (bytes) => {
        printed.err += Buffer.from(bytes);
      },
    });
    return { ...result, ...printed };
  }

  test(
    "gives back the exit code, and each stream by itself",
    async () => {
      const result = await inside("printf out; printf err >&2; exit 7");
      expect(result).toEqual({ code: 7, timedOut: false, out: "out", err: "err" });
    },
    LIMIT_MS,
  );

  test(
    "loses and adds no byte of a long output",
    async () => {
      const { out } = await inside("seq 1 50000; printf '\\0\\377'");
      const expected = Array.from({ length: 50_000 }, (_, index) => `${index + 1}\n`).join("");
      expect(out.length).toBe(expected.length + 2);
      expect(out.startsWith(expected)).toBe(true);
    },
    LIMIT_MS,
  );

  test(
    "ends a command at its limit with all that it started, and takes the next",
    async () => {
      const result = await inside("setsid sleep 1000 & sleep 1000", 2);
      expect(result).toMatchObject({ code: 124, timedOut: true });
      expect(await inside("pgrep sleep")).toMatchObject({ code: 1, out: "" });
    },
    LIMIT_MS,
  );

  test(
    "keeps what a command left behind where that is wanted",
    async () => {
      await inside("sleep 1000 &", 10, "keep");
      expect((await inside("pgrep -c sleep")).out).toBe("1\n");
    },
    LIMIT_MS,
  );

  test(
    "has a share that both sides write to",
    async () => {
      writeFileSync(join(vm.results, "from-host"), "down");
      await vm.check(`cat ${RESULTS}/from-host && echo up >${RESULTS}/from-guest`);
      expect(readFileSync(join(vm.results, "from-guest"), "utf8")).toBe("up\n");
    },
    LIMIT_MS,
  );

  test(
    "tells once what its kernel complains of",
    async () => {
      expect(await vm.complaints()).toEqual([]);
      await vm.check("echo 'BUG: not really' >/dev/kmsg");
      expect(await vm.complaints()).toEqual(["BUG: not really"]);
      expect(await vm.complaints()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "that panics is gone, with its console kept",
    async () => {
      const gone = await inside("echo c >/proc/sysrq-trigger").catch((error) => error);
      expect(gone).toBeInstanceOf(VmGone);
      const path = await vm.keepConsole("asked for again");
      defer(() => rm(path, { force: true }));
      expect(gone.message).toContain(path);
      expect(gone.console).toBe(path);
      // The shell's doing, not that of a guest inside.
      expect(gone.fault).toBeUndefined();
      expect(readFileSync(path, "utf8")).toContain("Kernel panic - not syncing: sysrq triggered crash");
      await vm.close();
      expect(existsSync(vm.results)).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    "the command fails where the kernel complained, though its command did not",
    async () => {
      const options = ["--memory", "1024", "--processors", "1"];
      const argv = [process.execPath, MAIN, ...options, "echo done; echo 'WARNING: not really' >/dev/kmsg"];
      const { stdout, stderr, exitCode } = await run(argv, { allowFailure: true, timeoutMs: LIMIT_MS });
      const path = /console: (\S+)/.exec(stderr)?.[1] ?? "";
      defer(() => rm(path, { force: true }));
      expect({ stdout, exitCode }).toEqual({ stdout: "done\n", exitCode: 70 });
      expect(stderr).toContain("WARNING: not really");
      expect(existsSync(path)).toBe(true);
    },
    LIMIT_MS,
  );
});
