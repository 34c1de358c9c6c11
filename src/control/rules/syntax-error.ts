// What is wrong with the text of a rule, and where: one line like every error, or lines with carets for a terminal. Pure.
//
//   rule: column 21: unknown word "dprot": did you mean dport? known: ...
//
//   prio 100 in vm1 tcp dprot 80 drop
//                       ^^^^^

import { RingyardError } from "../../core/errors.ts";

/** Characters of a rule in a line for a person. */
const SHOWN_LENGTH = 100;

export class RuleSyntaxError extends RingyardError {
  constructor(
    /** What is wrong, without the place. */
    readonly problem: string,
    next: string | undefined,
    /** The whole rule, and the word in it: offset from 0, and length, at least 1. At the end of the text it is the place behind it. */
    readonly text: string,
    readonly at: number,
    readonly length: number,
  ) {
    super("BAD_RULE", `rule: column ${at + 1}: ${problem}`, next);
  }
}

/** The rule, or the part of it around the word, and carets below the word: two lines without an indent. */
export function caretLines({ text, at, length }: RuleSyntaxError): [rule: string, carets: string] {
  const start = Math.max(0, Math.min(at - SHOWN_LENGTH / 2, text.length - SHOWN_LENGTH));
  const [before, after] = [start > 0 ? "..." : "", start + SHOWN_LENGTH < text.length ? "..." : ""];
  // One column for one character, and nothing that speaks to the terminal.
  const shown = text.slice(start, start + SHOWN_LENGTH).replace(/[^\x20-\x7e]/g, "?");
  const carets = "^".repeat(Math.min(length, Math.max(1, start + SHOWN_LENGTH - at)));
  return [`${before}${shown}${after}`, `${" ".repeat(before.length + at - start)}${carets}`];
}
