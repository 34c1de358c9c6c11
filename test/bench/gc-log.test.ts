// What is read from JavaScriptCore's log: collections of heaps that are shut down, before they are, and of no others.

import { expect, test } from "bun:test";
import { workerCollections } from "../../bench/gc-log.ts";

const MAIN = "[GC<0x1a0>: START M 900kb => EdenCollection, …]\nGC END!\n";
const WORKER = "[GC<0x2b0>: START C 22246kb => FullCollection, …]\n";
const END = "[GC<0x2b0>: START M 90kb => FullCollection]\n[GC<0x2b0>: shutdown: disabled collection]\n";

test("a worker's collections count", () => {
  expect(workerCollections(MAIN + WORKER + WORKER, MAIN + WORKER + WORKER + END)).toBe(2);
});

test("the main thread's do not, nor those of the end", () => {
  expect(workerCollections(MAIN, MAIN + END)).toBe(0);
});

test("a log in which no worker ends says nothing, and is refused", () => {
  expect(() => workerCollections(MAIN + WORKER, MAIN + WORKER)).toThrow("does not tell");
});
