// ringyard as a user starts it, with two NICs. It takes them from the kernel's drivers and gives them back.

import { join, resolve } from "node:path";
import { OURS } from "../stats.ts";
import type { NicSystem } from "./nic-system.ts";
import { scratchFolder } from "./system.ts";
import { START_LIMIT_MS } from "./vduse-system.ts";

const ROOT = resolve(import.meta.dir, "../..");

export const nicRingyard: NicSystem = {
  name: OURS,
  async start(addresses, undo) {
    const control = join(scratchFolder(undo), "control.sock");
    const words = addresses.flatMap((address, index) => ["--port", `p${index}=vfio:${address}`]);
    const command = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts"), "up", ...words];
    const program = undo.spawn([...command, "--cpus", "0", "--poll", "busy", "--control", control]);
    await program.says(/\bready\b/, { timeoutMs: START_LIMIT_MS });
    return async () => {
      await program.stop("SIGTERM");
    };
  },
};
