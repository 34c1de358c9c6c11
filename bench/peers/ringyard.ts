// ringyard itself, as a user starts it, with two vhost-user ports that it listens on. All of its threads are kept on CPU 0.

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Background, run } from "../../test/support/process.ts";
import { type MixedRule, ringyardFile } from "../mixed-rules.ts";
import { confine } from "../quota.ts";
import type { Undo } from "../undo.ts";
import { type Running, type System, scratchFolder, socketsListening } from "./system.ts";

const ROOT = resolve(import.meta.dir, "../..");
const READY_LIMIT_MS = 30_000;

export type Poll = "busy" | "adaptive" | "interrupt";

function command(...words: string[]): string[] {
  return [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "src/cli/main.ts"), ...words];
}

/**
 * `ringyard up` with the ports given (name -> URI); not waited for. The worker is on CPU 0, and so are all other threads, unless
 * `cpus` says where these may be.
 */
export function launch(
  ports: Record<string, string>,
  poll: Poll,
  undo: Undo,
  { control = join(scratchFolder(undo), "control.sock"), cpus = "0", env = {} as Record<string, string> } = {},
): Background {
  const words = Object.entries(ports).flatMap(([name, uri]) => ["--port", `${name}=${uri}`]);
  const up = command("up", ...words, "--cpus", "0", "--poll", poll, "--control", control);
  return undo.spawn(["taskset", "-c", cpus, ...up], env);
}

/** Waits until it says so. */
export async function ready(program: Background): Promise<void> {
  await program.says(/\bready\b/, { timeoutMs: READY_LIMIT_MS });
}

export async function startRingyard(
  poll: Poll,
  quota: number,
  undo: Undo,
  rules: readonly MixedRule[] = [],
  env: Record<string, string> = {},
): Promise<Running & { program: Background; control: string }> {
  const folder = scratchFolder(undo);
  const sockets = [join(folder, "0"), join(folder, "1")] as const;
  const control = join(folder, "control.sock");
  const ports = { p0: `vhost-user:${sockets[0]}`, p1: `vhost-user:${sockets[1]}` };
  const program = launch(ports, poll, undo, { control, env });
  await ready(program);
  await socketsListening(sockets, () => program.output);
  if (rules.length > 0) await replaceRules(rules, control, folder);
  confine(program.pid, quota, undo);
  return {
    sockets,
    pid: program.pid,
    program,
    control,
    async stop() {
      await program.stop();
    },
  };
}

/** As a user does it. */
export async function replaceRules(rules: readonly MixedRule[], control: string, folder: string): Promise<void> {
  const file = join(folder, "rules.txt");
  writeFileSync(file, ringyardFile(rules));
  await run(command("rule", "replace", "-f", file, "--control", control));
}

export const ringyard: System = { name: "ringyard", start: (quota, undo) => startRingyard("busy", quota, undo) };

/** The same with rules. */
export function ringyardWith(name: string, rules: readonly MixedRule[]): System {
  return { name, start: (quota, undo) => startRingyard("busy", quota, undo, rules) };
}
