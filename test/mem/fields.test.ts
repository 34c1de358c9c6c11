// Fields of records: the same memory, each one word further.

import { expect, test } from "bun:test";
import { fieldViews } from "../../src/mem/fields.ts";

test("field k of a record is its word k, up to the last record", () => {
  const buffer = new ArrayBuffer(4 * 16);
  const words = new Int32Array(buffer, 4, 12);
  for (let at = 0; at < words.length; at++) words[at] = at;
  const fields = fieldViews(words, 3);
  expect(fields.map((field) => [...field.filter((_, at) => at % 3 === 0)])).toEqual([
    [0, 3, 6, 9],
    [1, 4, 7, 10],
    [2, 5, 8, 11],
  ]);
  fields[2][3] = 77;
  expect(words[5]).toBe(77);
  expect(new Set(fields.map(({ length }) => length))).toEqual(new Set([10]));
});
