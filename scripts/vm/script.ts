// The shell text that runs a command inside a virtual machine as if it ran outside: in the same folder, with the same programs, and
// with the variables of the environment that mean something to it.
// Pure.

import { join } from "node:path";
import { PROGRAM_PATH } from "../packages.ts";
import { cacheRoot } from "./cache.ts";

/** Handed on from the caller's environment. */
const PASSED = /^(CI|TERM|LANG|LC_.*|FORCE_COLOR|NO_COLOR|RINGYARD_.*)$/;

/**
 * The environment inside. RINGYARD_VM names the kernel: a test tells by it that it is inside. The cache is where it is outside,
 * read-only: what is made before the boot is found there.
 */
export function guestEnvironment(
  outside: Readonly<Record<string, string | undefined>>,
  root: string,
  kernel: string,
): Record<string, string> {
  const passed = Object.entries(outside).filter(([name, value]) => PASSED.test(name) && value !== undefined);
  return {
    ...(Object.fromEntries(passed) as Record<string, string>),
    PATH: `${join(root, "node_modules/.bin")}:${PROGRAM_PATH}`,
    HOME: "/tmp/home",
    USER: "root",
    RINGYARD_CACHE: cacheRoot(),
    RINGYARD_NO_INSTALL: "1",
    RINGYARD_VM: kernel,
  };
}

/** A word that a shell takes as it is. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** `command`: words as they are, or one text for a shell. */
export function script(
  command: readonly string[] | string,
  cwd: string,
  env: Readonly<Record<string, string>>,
): string {
  const variables = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  const body = typeof command === "string" ? command : `exec ${command.map(quoted).join(" ")}`;
  return `${variables.join("")}cd ${quoted(cwd)} || exit\n${body}\n`;
}
