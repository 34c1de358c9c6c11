// ringyard itself, as a user starts it, with two vhost-user ports that it listens on. All of its threads are kept on CPU 0.

import { join, resolve } from "node:path";
import type { Background } from "../../test/support/process.ts";
import { confine } from "../quota.ts";
import type { Undo } from "../undo.ts";
import { type Running, type System, scratchFolder, socketsListening } from "./system.ts";

const ROOT = resolve(import.meta.dir, "../..");
const READY_LIMIT_MS = 30_000;

/** `ringyard up` with the ports given (name -> URI); not waited for. */
export function launch(ports: Record<string, string>, poll: "busy" | "adaptive", undo: Undo): Background {
  const control = join(scratchFolder(undo), "control.sock");
  const words = Object.entries(ports).flatMap(([name, uri]) => ["--port", `${name}=${uri}`]);
  const command = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts"), "up", ...words];
  return undo.spawn(["taskset", "-c", "0", ...command, "--cpus", "0", "--poll", poll, "--control", control]);
}

/** Waits until it says so. */
export async function ready(program: Background): Promise<void> {
  await program.says(/\bready\b/, { timeoutMs: READY_LIMIT_MS });
}

export async function startRingyard(poll: "busy" | "adaptive", quota: number, undo: Undo): Promise<Running> {
  const folder = scratchFolder(undo);
  const sockets = [join(folder, "0"), join(folder, "1")] as const;
  const program = launch({ p0: `vhost-user:${sockets[0]}`, p1: `vhost-user:${sockets[1]}` }, poll, undo);
  await ready(program);
  await socketsListening(sockets, () => program.output);
  confine(program.pid, quota, undo);
  return {
    sockets,
    pid: program.pid,
    async stop() {
      await program.stop();
    },
  };
}

export const ringyard: System = { name: "ringyard", start: (quota, undo) => startRingyard("busy", quota, undo) };
