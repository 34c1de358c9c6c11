// The trees of prefixes in the tables: how much of an address matters is the longest prefix that it is in, whatever came in which order.
// Held against a list of all prefixes.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { TABLES_ENDS, TABLES_SOURCES } from "../../../src/dataplane/rules/compile-layout.ts";
import { Prefixes, writeEnds } from "../../../src/dataplane/rules/compile-prefixes.ts";
import { TableWords } from "../../../src/dataplane/rules/compile-words.ts";
import { prefixLength } from "../../../src/dataplane/rules/plain-columns.ts";
import { sized } from "../../support/scale.ts";

interface Prefix {
  address: number;
  length: number;
}

const maskOf = (length: number) => (length === 0 ? 0 : -1 << (32 - length));

function treeOf(prefixes: readonly Prefix[], most?: number) {
  const words = new TableWords(TABLES_ENDS + 33 * 16);
  writeEnds(words.all);
  const tree = new Prefixes(words, TABLES_SOURCES, most);
  for (const { address, length } of prefixes) tree.add(address & maskOf(length), maskOf(length));
  return {
    tree,
    words,
    lengthOf: (address: number) => prefixLength(words.all, words.all[TABLES_SOURCES], address),
  };
}

const isIn = (address: number, prefix: Prefix) => ((address ^ prefix.address) & maskOf(prefix.length)) === 0;

function longest(address: number, prefixes: readonly Prefix[]): number {
  return Math.max(0, ...prefixes.filter((prefix) => isIn(address, prefix)).map(({ length }) => length));
}

/** Near one another, so that prefixes lie within prefixes. */
const anyAddress = fc
  .tuple(fc.constantFrom(0x0a000000, 0x0a010000, 0xc6120000, 0xffffff00, 0), fc.integer({ min: 0, max: 0x1ffff }))
  .map(([network, host]) => (network ^ host) | 0);
const anyPrefix = fc.record({ address: anyAddress, length: fc.integer({ min: 1, max: 32 }) });

test("the longest prefix that an address is in says how much of it matters", () => {
  fc.assert(
    fc.property(fc.array(anyPrefix, { maxLength: 40 }), fc.array(anyAddress, { maxLength: 40 }), (prefixes, others) => {
      const { lengthOf } = treeOf(prefixes);
      for (const address of [...others, ...prefixes.map((prefix) => prefix.address)]) {
        expect([address, lengthOf(address)]).toEqual([address, longest(address, prefixes)]);
      }
    }),
    { numRuns: sized(500, 50_000) },
  );
});

test("no prefix: nothing matters, for the first and the last address too", () => {
  const { lengthOf } = treeOf([]);
  expect([0, -1, 0x7fffffff, -0x80000000].map(lengthOf)).toEqual([0, 0, 0, 0]);
});

test("prefixes are kept where the tables have to grow for them", () => {
  for (let networks = 1; networks < 40; networks++) {
    const first = Array.from({ length: networks }, (_, k) => ({ address: (k + 1) << 24, length: 16 }));
    const { lengthOf } = treeOf([...first, { address: 0x64000000, length: 8 }]);
    expect([networks, lengthOf(0x64010203), lengthOf(0x01000001)]).toEqual([networks, 8, 16]);
  }
});

test("a prefix that is there already takes no room", () => {
  const { tree, words } = treeOf([{ address: 0x0a000001, length: 32 }]);
  const { end } = words;
  tree.add(0x0a000001, -1);
  expect(words.end).toBe(end);
});

test("bits that are no prefix: as much matters as reaches their last, for any address", () => {
  const { tree, lengthOf } = treeOf([
    { address: 0x0a000000, length: 8 },
    { address: 0x0a000001, length: 32 },
  ]);
  tree.add(0x00120000, 0x00ff0000);
  expect([0x0a000001, 0x0a000002, 0x01020304].map(lengthOf)).toEqual([32, 16, 16]);
});

test("where a tree may not grow, all bits matter, and what was there stays as it was", () => {
  const first = Array.from({ length: 20 }, (_, i) => ({ address: 0x0a000000 + i * 4096, length: 20 }));
  const { words } = treeOf(first);
  const { lengthOf } = treeOf(
    [...first, { address: 0x0a000005, length: 32 }, { address: 0x14000000, length: 8 }],
    words.end - (TABLES_ENDS + 33 * 16),
  );
  expect([0x0a000005, 0x0a000006, 0x0a001006].map(lengthOf)).toEqual([32, 32, 20]);
  expect(lengthOf(0x14010203)).toBe(8);
});
