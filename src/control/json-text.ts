// JSON that a person wrote: JSON.parse of the engine says that it is wrong, but not where. Its first mistake is looked for only then.
//
//   [ "drop", ]        1: column 11: expected a value, found "]"
//
// Pure.

import { quoted } from "../core/quote.ts";

/** What may come next, outside of a token. */
type Wanted = "a value" | "a value or ]" | 'a key in "' | 'a key in " or }' | ":" | ", or ]" | ", or }" | "the end";

const SIGN = /[{}[\],:]/y;
const OTHER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
// A string's parts apart: a group of them all, repeated half a million times, is more than the engine's expressions can do.
const LETTERS = /[ !#-[\]-\u{10ffff}]*/uy;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const BLANKS = /[ \t\n\r]*/y;
/** As much of what was found as tells it. */
const FOUND_LENGTH = 20;

/** The value, or the place of the first mistake. */
export function readJson(text: string): { value: unknown } | { line: number; message: string } {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return mistakeIn(text) ?? { line: 1, message: `no JSON: ${(error as Error).message}` };
  }
}

function mistakeIn(text: string): { line: number; message: string } | undefined {
  const open: ("[" | "{")[] = [];
  let wanted: Wanted = "a value";
  for (let at = 0; ; ) {
    const start = endOf(BLANKS, text, at) ?? at;
    const isString = text[start] === '"';
    const signEnd = endOf(SIGN, text, start);
    const end = signEnd ?? (isString ? stringEnd(text, start) : endOf(OTHER, text, start));
    let next: Wanted | undefined;
    if (signEnd !== undefined) next = afterSign(text[start], wanted, open);
    else if (end !== undefined) next = afterText(isString, wanted, open);
    if (next !== undefined && end !== undefined) [wanted, at] = [next, end];
    else if (wanted === "the end" && start === text.length) return undefined;
    else return placed(text, start, wanted);
  }
}

/** Where what a sticky expression finds at `at` ends; undefined where it finds nothing there. */
function endOf(expression: RegExp, text: string, at: number): number | undefined {
  expression.lastIndex = at;
  return expression.test(text) ? expression.lastIndex : undefined;
}

/** Behind the closing quote of the string that begins at `start`; undefined where it is none. */
function stringEnd(text: string, start: number): number | undefined {
  for (let at: number | undefined = start + 1; at !== undefined; at = endOf(ESCAPE, text, at)) {
    at = endOf(LETTERS, text, at) ?? at;
    if (text[at] === '"') return at + 1;
  }
  return undefined;
}

/** What may follow a bracket, comma or colon; undefined where it may not stand. */
function afterSign(sign: string, wanted: Wanted, open: ("[" | "{")[]): Wanted | undefined {
  if (sign === "[" || sign === "{") {
    if (!wanted.startsWith("a value")) return undefined;
    open.push(sign);
    return sign === "[" ? "a value or ]" : 'a key in " or }';
  }
  if (sign === "]" || sign === "}") {
    if (!wanted.endsWith(` ${sign}`)) return undefined;
    open.pop();
    return afterValue(open);
  }
  if (sign === ":") return wanted === ":" ? "a value" : undefined;
  return wanted === ", or ]" ? "a value" : wanted === ", or }" ? 'a key in "' : undefined;
}

function afterText(isString: boolean, wanted: Wanted, open: readonly string[]): Wanted | undefined {
  if (wanted.startsWith("a key")) return isString ? ":" : undefined;
  return wanted.startsWith("a value") ? afterValue(open) : undefined;
}

function afterValue(open: readonly string[]): Wanted {
  const inside = open.at(-1);
  return inside === undefined ? "the end" : inside === "[" ? ", or ]" : ", or }";
}

function placed(text: string, at: number, wanted: Wanted): { line: number; message: string } {
  const before = text.slice(0, at).split("\n");
  const rest = text.slice(at, at + FOUND_LENGTH).split("\n", 1)[0];
  const found = rest === "" ? "the end" : quoted(rest);
  return {
    line: before.length,
    message: `no JSON: column ${before.at(-1)!.length + 1}: expected ${wanted}, found ${found}`,
  };
}
