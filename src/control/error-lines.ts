// What was thrown as lines for a person: one, or one for each mistake of a configuration. Pure.

import { RingyardError } from "../core/errors.ts";
import { ConfigError } from "./config.ts";

export function errorLines(error: unknown): string[] {
  if (error instanceof ConfigError) return error.lines;
  if (error instanceof RingyardError) {
    return [error.next === undefined ? error.message : `${error.message}: ${error.next}`];
  }
  return [error instanceof Error ? error.message : String(error)];
}
