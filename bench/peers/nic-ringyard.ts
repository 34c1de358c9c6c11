// ringyard with two NICs: as a user starts it, and with `--poll busy`. It takes them from the kernel's drivers and gives them back.

import { join, resolve } from "node:path";
import { OURS } from "../stats.ts";
import type { NicSystem } from "./nic-system.ts";
import { scratchFolder } from "./system.ts";
import { START_LIMIT_MS } from "./vduse-system.ts";

const ROOT = resolve(import.meta.dir, "../..");

function system(name: string, ...options: string[]): NicSystem {
  return {
    name,
    async start(addresses, undo) {
      const control = join(scratchFolder(undo), "control.sock");
      const words = addresses.flatMap((address, index) => ["--port", `p${index}=vfio:${address}`]);
      const command = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts"), "up", ...words];
      const program = undo.spawn([...command, "--cpus", "0", "--control", control, ...options]);
      await program.says(/\bready\b/, { timeoutMs: START_LIMIT_MS });
      return async () => {
        await program.stop("SIGTERM");
      };
    },
  };
}

export const nicRingyard = system(OURS);
/** Never sleeps, as testpmd does not: the emulation of the NICs, on the same processors, has less of them. */
export const nicBusy = system(`${OURS}-busy`, "--poll", "busy");
