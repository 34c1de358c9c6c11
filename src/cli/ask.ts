// The part that all commands share which talk to a running switch: `--control`, `--json`, one connection per command.
// The client is loaded when it is needed, so that `--help` and `version` start at once.

import type { Command } from "commander";
import type { ControlClient } from "../control/client.ts";
import { defaultControlPath } from "../control/paths.ts";
import { RingyardError } from "../core/errors.ts";
import { fitsLine, quoted } from "../core/quote.ts";

export interface AskOptions {
  control?: string;
  json?: boolean;
}

export function addControl(command: Command): Command {
  const what = `control socket of the switch (default: ${defaultControlPath()})`;
  return command.option("--control <path>", what, controlPath);
}

/** No socket has such a path, and every line that names it would be broken. */
function controlPath(text: string): string {
  if (text !== "" && fitsLine(text)) return text;
  const next = "name a file, or leave --control out for the default";
  throw new RingyardError("BAD_OPTION", `--control: ${quoted(text)} is no path for a socket`, next);
}

export function addJson(command: Command): Command {
  return command.option("--json", "print JSON");
}

/** Connects, asks, and hangs up. */
export async function ask<T>({ control }: AskOptions, how: (client: ControlClient) => Promise<T>): Promise<T> {
  const { ControlClient } = await import("../control/client.ts");
  const client = await ControlClient.connect(control ?? defaultControlPath());
  try {
    return await how(client);
  } finally {
    client.close();
  }
}

/** Text under a command's options. */
export function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`;
}
