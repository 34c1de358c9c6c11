// TOML with places: the plain value of a text, and for each key the line where it stands, so that a mistake found later
// by a schema can name it. Pure.

import { type AST, getStaticTOMLValue, parseTOML } from "toml-eslint-parser";
import { quoted } from "../core/quote.ts";
import type { ConfigProblem } from "./config.ts";

/** The keys and indices that lead to a value. */
export type Place = (string | number)[];

export interface Toml {
  /** Empty where a key is `__proto__`. */
  value: Record<string, unknown>;
  problems: ConfigProblem[];
  /** The line of a key, or of the nearest thing around it that the text has. */
  lineOf(path: Place): number;
}

/** The same as data, which may go from one thread to another. */
export interface TomlData extends Omit<Toml, "lineOf"> {
  /** By key. */
  lines: ReadonlyMap<string, number>;
}

/** Where the text is no TOML at all. */
export interface TomlSyntaxError {
  line: number;
  message: string;
}

export function readToml(text: string): Toml | TomlSyntaxError {
  return tomlOf(readTomlData(text));
}

/** What was read as data, with its lines to be asked for. */
export function tomlOf(read: TomlData | TomlSyntaxError): Toml | TomlSyntaxError {
  if ("message" in read) return read;
  const { value, problems, lines } = read;
  return {
    ...{ value, problems },
    lineOf(path) {
      for (let length = path.length; length > 0; length--) {
        const line = lines.get(keyOf(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return 1;
    },
  };
}

/** Any thread. */
export function readTomlData(text: string): TomlData | TomlSyntaxError {
  let ast: AST.TOMLProgram;
  const lines = new Map<string, number>();
  const problems: ConfigProblem[] = [];
  try {
    ast = parseTOML(text);
    noteTable(ast.body[0].body, [], lines, problems);
  } catch (error) {
    if (error instanceof TooDeep) return { line: error.line, message: TOO_DEEP };
    if (error instanceof RangeError) return stackOverflow(text);
    return syntaxError(text, error as ParseError);
  }
  return {
    // The reader's value of a bad key would be written into every object's prototype.
    value: problems.some(({ path }) => path.includes("__proto__")) ? {} : (getStaticTOMLValue(ast) as Toml["value"]),
    ...{ problems, lines },
  };
}

/** No setting has half as many keys above it. What it costs to note a place grows with its depth. */
const LEVELS_MAX = 16;
const TOO_DEEP = `nested more than ${LEVELS_MAX} levels deep, where no setting is: take it out`;

class TooDeep extends Error {
  constructor(readonly line: number) {
    super(TOO_DEEP);
  }
}

/**
 * The parser's stack ran over. It has a call for each level, and hands the letters of a string over as arguments of one. Where
 * that was it does not say: the deepest line is where most brackets are open (a few in strings do not matter among thousands).
 */
function stackOverflow(text: string): TomlSyntaxError {
  let [depth, most, line, found] = [0, 0, 1, 1];
  for (const [sign] of text.matchAll(/[[\]{}\n]/g)) {
    if (sign === "\n") line++;
    else depth += sign === "[" || sign === "{" ? 1 : -1;
    if (depth > most) [most, found] = [depth, line];
  }
  if (most > LEVELS_MAX) return { line: found, message: TOO_DEEP };
  const lengths = text.split("\n").map(({ length }) => length);
  const longest = lengths.reduce((longest, length, index) => (length > lengths[longest] ? index : longest), 0);
  return { line: longest + 1, message: "a string or a number too long to be read: shorten it" };
}

interface ParseError {
  message: string;
  index: number;
  column: number;
}

/** The line, with its text: there is no key yet that could be named. */
function syntaxError(text: string, { message, index, column }: ParseError): TomlSyntaxError {
  let before = text.slice(0, index);
  // A value or a bracket that is missing at the end of a line is noticed at the start of the next one.
  const late = /[=[,]\s*$/.test(before) || /same line|unterminated|unspecified/i.test(message);
  if (column === 0 && late) before = before.trimEnd();
  const line = before.split("\n").length;
  const source = text.split("\n")[line - 1].trim();
  return { line, message: `${message.charAt(0).toLowerCase()}${message.slice(1)}, in ${quoted(source)}` };
}

type Entry = AST.TOMLKeyValue | AST.TOMLTable;

function noteTable(entries: Entry[], path: Place, lines: Map<string, number>, problems: ConfigProblem[]): void {
  const note = (place: Place, line: number) => {
    if (place.length > LEVELS_MAX) throw new TooDeep(line);
    // A plain object cannot hold this key, and no schema would see it. What a table around has in its name is told there.
    if (place.includes("__proto__", path.length))
      problems.push({ path: place, message: "not a name that can be used" });
    for (let length = path.length + 1; length <= place.length; length++) {
      const key = keyOf(place.slice(0, length));
      if (!lines.has(key)) lines.set(key, line);
    }
  };
  for (const entry of entries) {
    const line = entry.loc.start.line;
    if (entry.type === "TOMLTable") {
      note(entry.resolvedKey, line);
      noteTable(entry.body, entry.resolvedKey, lines, problems);
    } else {
      const keys = entry.key.keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
      const place = [...path, ...keys];
      note(place, line);
      noteInside(entry.value, place, lines, problems);
    }
  }
}

/** What has keys or elements of its own, and what no setting takes. */
function noteInside(
  value: AST.TOMLContentNode,
  place: Place,
  lines: Map<string, number>,
  problems: ConfigProblem[],
): void {
  if (value.type === "TOMLInlineTable") noteTable(value.body, place, lines, problems);
  // To JavaScript a date is an object without keys, as an empty table is: no schema is left to tell them apart.
  if (value.type === "TOMLValue" && value.value instanceof Date)
    problems.push({ path: place, message: "no setting takes a date or a time: write text in quotes" });
  if (value.type !== "TOMLArray") return;
  for (const [index, element] of value.elements.entries()) {
    const inside = [...place, index];
    if (inside.length > LEVELS_MAX) throw new TooDeep(element.loc.start.line);
    lines.set(keyOf(inside), element.loc.start.line);
    noteInside(element, inside, lines, problems);
  }
}

function keyOf(path: Place): string {
  return JSON.stringify(path.map(String));
}
