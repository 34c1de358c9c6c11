// The command as a user runs it, each call a process.

import { join } from "node:path";
import { type Background, type Finished, run, useProcesses } from "./process.ts";

const MAIN = join(import.meta.dir, "../../src/cli/main.ts");

/** `ringyard WORDS`, to its end. */
export function ringyard(...words: string[]): Promise<Finished> {
  return run([process.execPath, MAIN, ...words], { allowFailure: true });
}

/** Returns `up`: switches that run until the surrounding file or describe block ends. */
export function useRingyard(): (words: string[], env?: Record<string, string>) => Background {
  const spawn = useProcesses();
  return (words, env = {}) => spawn([process.execPath, MAIN, "up", ...words], { env });
}
