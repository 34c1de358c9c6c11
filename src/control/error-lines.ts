// What was thrown as lines for a person: one, or one for each mistake of a configuration. Pure.

import { errorLine, RingyardError } from "../core/errors.ts";
import type { ConfigError } from "./config.ts";

export function errorLines(error: unknown): string[] {
  return isConfigError(error) ? error.lines : [errorLine(error)];
}

/** By its code: the class would bring all schemas with it, and `ringyard --help` loads none. */
function isConfigError(error: unknown): error is ConfigError {
  return error instanceof RingyardError && error.code === "BAD_CONFIG" && "lines" in error;
}
