// What was thrown as lines for a person: one, or one for each mistake of a configuration. Pure.

import { errorLine } from "../core/errors.ts";
import { ConfigError } from "./config.ts";

export function errorLines(error: unknown): string[] {
  return error instanceof ConfigError ? error.lines : [errorLine(error)];
}
