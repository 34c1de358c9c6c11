// Exit codes, part of what scripts may rely on, and the one place that turns what was thrown into a line and a code.

import { errorLines } from "../control/error-lines.ts";
import { caretLines, RuleSyntaxError } from "../control/rules/syntax-error.ts";
import { type ErrorCode, RingyardError } from "../core/errors.ts";

export const EXIT = {
  OK: 0,
  /** The switch, the machine or a file said no. */
  FAILED: 1,
  /** What was typed cannot be: an option, a URI, a value. */
  USAGE: 2,
  /** No switch answers at the control path. */
  UNREACHABLE: 3,
} as const;

export const EXIT_HELP = `
Exit codes:
  0  done
  1  the request failed
  2  wrong usage: an option, a uri, a rule or a value that cannot be
  3  no switch can be reached at the control path
  70 (up) a dataplane worker ended by itself: start the switch again`;

const USAGE_CODES: ErrorCode[] = ["BAD_URI", "BAD_OPTION", "BAD_REQUEST", "BAD_RULE"];

export function exitCode(error: unknown): number {
  if (!(error instanceof RingyardError)) return EXIT.FAILED;
  if (error.code === "UNREACHABLE") return EXIT.UNREACHABLE;
  return USAGE_CODES.includes(error.code) ? EXIT.USAGE : EXIT.FAILED;
}

/** Prints `ringyard: LINE`, once for each line, and returns the exit code. On a terminal a rule's mistake is shown in its text. */
export function reportError(error: unknown, terminal = process.stderr.isTTY === true): number {
  for (const line of errorLines(error)) process.stderr.write(`ringyard: ${line}\n`);
  if (terminal && error instanceof RuleSyntaxError) {
    process.stderr.write(
      `\n${caretLines(error)
        .map((line) => `  ${line}\n`)
        .join("")}`,
    );
  }
  return exitCode(error);
}
