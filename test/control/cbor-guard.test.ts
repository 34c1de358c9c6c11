// The guard lets through what the protocol says, and names what it refuses, without building or recursing.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cborProblem, DEPTH_MAX } from "../../src/control/cbor-guard.ts";
import { decodeItem, encodeItem } from "../../src/control/frame.ts";

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));
const nested = (depth: number, inner = "01") => bytes("81".repeat(depth) + inner);

describe("refused by name", () => {
  const cases: [string, string, string | null][] = [
    ["nothing", "", "truncated"],
    ["a head without its argument", "19 01", "truncated"],
    ["an array without its elements", "82 01", "too_long"],
    ["a map that lacks a value", "a1 61 61", "truncated"],
    ["a map whose last value is cut", "a1 61 61 19 01", "truncated"],
    ["a text that is cut", "63 61 62", "too_long"],
    ["2^32 - 1 elements", "9a ff ff ff ff", "too_long"],
    ["2^53 elements", "9b 00 20 00 00 00 00 00 00", "too_long"],
    ["2^64 - 1 entries", "bb ff ff ff ff ff ff ff ff", "too_long"],
    ["2^31 bytes", "5a 80 00 00 00", "too_long"],
    ["more entries than bytes", "a3 61 61 01", "too_long"],
    ["two items", "01 02", "trailing_bytes"],
    ["an open array", "9f 01 ff", "indefinite_length"],
    ["an open text", "7f 61 61 ff", "indefinite_length"],
    ["a break", "ff", "indefinite_length"],
    ["a date", "c1 00", "tag"],
    ["a record of the library", "d9 df ff 01", "tag"],
    ["a reserved head", "1c", "reserved"],
    ["a reserved simple value", "f0", "reserved"],
    ["a simple value of two bytes", "f8 20", "reserved"],
    ["a number as a key", "a1 01 02", "key_not_text"],
    ["a map as a key", "a1 a0 02", "key_not_text"],
    ["2^53", "1b 00 20 00 00 00 00 00 00", "number_too_big"],
    ["-2^32 - 1", "3b 00 00 00 01 00 00 00 00", "number_too_big"],
    ["half a surrogate pair", "63 ed a0 80", "text_not_utf8"],
    ["half a letter as a key", "a1 61 c3 01", "text_not_utf8"],
  ];
  test.each(cases)("%s", (_, hex, problem) => {
    expect(cborProblem(bytes(hex))).toBe(problem as never);
  });
});

describe("accepted", () => {
  const cases: [string, string, unknown][] = [
    ["2^53 - 1", "1b 00 1f ff ff ff ff ff ff", Number.MAX_SAFE_INTEGER],
    ["1 in eight bytes", "1b 00 00 00 00 00 00 00 01", 1],
    ["-2^32", "3a ff ff ff ff", -(2 ** 32)],
    ["an empty map", "a0", {}],
    ["undefined", "f7", undefined],
    ["a half float", "f9 3c 00", 1],
    ["a double", "fb 3f f0 00 00 00 00 00 00", 1],
    ["bytes that are no text", "42 ff 00", Buffer.from([255, 0])],
    ["a map in an array in a map", "a1 61 61 82 01 a1 61 62 f6", { a: [1, { b: null }] }],
  ];
  test.each(cases)("%s", (_, hex, value) => {
    expect(cborProblem(bytes(hex))).toBeNull();
    expect(decodeItem(bytes(hex))).toEqual(value);
  });
});

test("nesting ends at the limit", () => {
  expect(cborProblem(nested(DEPTH_MAX))).toBeNull();
  expect(cborProblem(nested(DEPTH_MAX + 1))).toBe("too_deep");
  expect(cborProblem(nested(16_000))).toBe("too_deep");
  // Maps count as arrays do.
  expect(cborProblem(bytes(`${"a16161".repeat(DEPTH_MAX + 1)}01`))).toBe("too_deep");
});

test("every refusal comes before anything is built: a bomb costs no memory", () => {
  // 2^24 elements would be 128 MiB, and no decoder refuses those by itself.
  const bomb = bytes("9a 01 00 00 00");
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 100; round++) expect(cborProblem(bomb)).toBe("too_long");
  expect(() => decodeItem(bomb)).toThrow("too long");
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
});

// Everything the protocol could carry: what the encoder makes, the guard accepts, and it decodes to the same.
const leaf = fc.oneof(
  fc.maxSafeInteger(),
  // The encoder makes an integer of -0.
  fc.double({ noNaN: true }).filter((number) => !Object.is(number, -0)),
  fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()),
  fc.boolean(),
  fc.constant(null),
);
const value = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: "small", maxDepth: DEPTH_MAX - 1 }, leaf, tie("array"), tie("map")),
  array: fc.array(tie("value"), { maxLength: 5 }),
  map: fc.dictionary(
    fc.string({ unit: "grapheme-ascii" }).filter((key) => key !== "__proto__"),
    tie("value"),
    {
      maxKeys: 5,
      noNullPrototype: true,
    },
  ),
})).value;

test("what we encode is accepted and decodes to the same", () => {
  fc.assert(
    fc.property(value, (thing) => {
      expect(decodeItem(encodeItem(thing))).toEqual(thing);
    }),
  );
});

test("a prefix of what we encode is refused", () => {
  fc.assert(
    fc.property(value, fc.nat(), (thing, cut) => {
      const item = encodeItem(thing);
      expect(cborProblem(item.subarray(0, cut % item.length))).not.toBeNull();
    }),
  );
});
