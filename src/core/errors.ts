// The one error type that reaches a person. Every bad input (a file, a URI, a socket, a guest's message) becomes a
// RingyardError: a stable code for scripts, one line that names the place, and the next step to take.
// Pure; usable on any thread, never thrown from a HOT file.

/** Stable codes; scripts and tests match on these, never on the text. */
export type ErrorCode =
  | "BAD_CONFIG"
  | "BAD_OPTION"
  | "BAD_REQUEST"
  | "BAD_RULE"
  | "BAD_URI"
  | "BUSY"
  | "EXISTS"
  | "LIMIT"
  | "MISSING"
  | "NOT_FOUND"
  | "PERMISSION"
  | "PROTOCOL"
  | "SYSTEM"
  | "UNREACHABLE"
  | "UNSUPPORTED";

/**
 * An error with a place and a next step.
 * `message` is one lower-case line without a full stop; `next` says what to do about it.
 */
export class RingyardError extends Error {
  override readonly name = "RingyardError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly next?: string,
  ) {
    super(message);
  }

  /** The line that a person sees: `message: next`. (Not `line`: Bun gives every Error a number of that name.) */
  get advice(): string {
    return this.next === undefined ? this.message : `${this.message}: ${this.next}`;
  }
}

/** Turns anything thrown into one line for a person. */
export function errorLine(error: unknown): string {
  if (error instanceof RingyardError) return error.advice;
  return error instanceof Error ? error.message : String(error);
}
