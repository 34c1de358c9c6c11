// A rule that is too much for the compiler, alone or with those before it. By its id it means something to whoever has seen that; of a
// rule that has just been given one, its text does (control/rules/rule-checks.ts). Control thread.

import { RingyardError } from "../../core/errors.ts";

export class RuleLimitError extends RingyardError {
  constructor(
    /** Its id. */
    readonly rule: number,
    /** What is wrong, without saying with which rule. */
    readonly problem: string,
    next: string | undefined,
    message: string,
  ) {
    super("LIMIT", message, next);
  }
}
