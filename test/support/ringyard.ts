// The command as a user runs it, each call a process.

import { expect } from "bun:test";
import { join } from "node:path";
import { type Background, type Finished, run, useProcesses } from "./process.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

/** `ringyard WORDS`, to its end. */
export function ringyard(...words: string[]): Promise<Finished> {
  return run([process.execPath, MAIN, ...words], { allowFailure: true });
}

/** What a command says of the switch at `control`; it must succeed without a word on stderr. */
export async function askRingyard(control: string, ...words: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await ringyard(...words, "--control", control);
  expect([stderr, exitCode]).toEqual(["", 0]);
  return stdout;
}

/** Returns `up`: switches that run until the surrounding file or describe block ends. */
export function useRingyard(): (words: string[], env?: Record<string, string>) => Background {
  const spawn = useProcesses();
  return (words, env = {}) => spawn([process.execPath, MAIN, "up", ...words], { env });
}
