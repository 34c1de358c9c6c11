// Where JSON that a person wrote goes wrong: the same texts are refused as by the engine, at the right place.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { readJson } from "../../src/control/json-text.ts";
import { sized } from "../support/scale.ts";

function lineOf(text: string): string {
  const read = readJson(text);
  if ("value" in read) throw new Error("it was accepted");
  return `${read.line}: ${read.message.replace("no JSON: ", "")}`;
}

const MISTAKES: [string, string][] = [
  ["", "1: column 1: expected a value, found the end"],
  ["{", '1: column 2: expected a key in " or }, found the end'],
  ['[\n  "drop",\n]', '3: column 1: expected a value, found "]"'],
  ['["drop" "drop"]', '1: column 9: expected , or ], found "\\"drop\\"]"'],
  ["[drop]", '1: column 2: expected a value or ], found "drop]"'],
  ['{ "a": 1, }', '1: column 11: expected a key in ", found "}"'],
  ["{ a: 1 }", '1: column 3: expected a key in " or }, found "a: 1 }"'],
  ['{ "a" 1 }', '1: column 7: expected :, found "1 }"'],
  ['{ "a": 1 "b": 2 }', '1: column 10: expected , or }, found "\\"b\\": 2 }"'],
  ["[] []", '1: column 4: expected the end, found "[]"'],
  ["[1}", '1: column 3: expected , or ], found "}"'],
  ['["a\tb"]', '1: column 2: expected a value or ], found "\\"a\\tb\\"]"'],
  ["[01]", '1: column 3: expected , or ], found "1]"'],
  ["[,]", '1: column 2: expected a value or ], found ",]"'],
  ["[// no\n1]", '1: column 2: expected a value or ], found "// no"'],
];

test.each(MISTAKES)("%j", (text, line) => {
  expect(lineOf(text)).toBe(line);
});

test.each([["x"], ["\\n"], ["\u{1f600}"]])("a mistake behind a million times %j is found there", (letter) => {
  const string = `"${letter.repeat(1_000_000)}"`;
  expect(lineOf(`[${string}, drop]`)).toBe(`1: column ${string.length + 4}: expected a value, found "drop]"`);
  expect(lineOf(`[\n${string.slice(0, -1)}`)).toStartWith("2: column 1: expected a value or ], found ");
});

test("what the engine takes is taken, and what it refuses has a place where it says that it is wrong", () => {
  const pieces = fc.array(
    fc.constantFrom(..."[]{},:\n ", '"a"', '"\\u00e9\\n"', "-1.5e3", "true", "null", "nul", '"', "01", '"\u{1f600}"'),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        pieces.map((words) => words.join("")),
      ),
      (text) => {
        const read = readJson(text);
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect("value" in read).toBe(isJson);
        if ("value" in read) return;
        const [, column] = /^no JSON: column (\d+): expected /.exec(read.message) ?? [];
        const line = text.split("\n")[read.line - 1];
        expect(Number(column)).toBeLessThanOrEqual(line.length + 1);
        // What stands before can go on to be JSON, so it is no mistake: cut there, the mistake is the end.
        const before = text
          .split("\n")
          .slice(0, read.line - 1)
          .concat(line.slice(0, Number(column) - 1))
          .join("\n");
        const cut = readJson(before);
        if (!("value" in cut)) expect(cut.message).toEndWith("found the end");
      },
    ),
    { numRuns: sized(2_000, 100_000) },
  );
});
