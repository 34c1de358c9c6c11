// How much a rule may be: in how many prefixes its ranges are counted, and how soon.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { prefixesIn } from "../../../src/control/rules/limits.ts";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";

/** From the low end, always the largest prefix that begins there and fits. */
function cut(low: bigint, high: bigint): number {
  let count = 0;
  for (; low <= high; count++) {
    let size = 1n;
    while (low % (2n * size) === 0n && low + 2n * size - 1n <= high) size *= 2n;
    low += size;
  }
  return count;
}

test("a range counts as the prefixes that it is cut into", () => {
  for (let low = 0n; low < 32n; low++) {
    for (let high = low; high < 32n; high++) expect(prefixesIn({ low, high })).toBe(cut(low, high));
  }
  const address = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n });
  fc.assert(
    fc.property(address, address, (a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      expect(prefixesIn({ low, high })).toBe(cut(low, high));
    }),
  );
  expect(prefixesIn({ low: 0n, high: 2n ** 128n - 1n })).toBe(1);
  expect(prefixesIn({ value: 0n, mask: 5n })).toBe(1);
});

// By cutting each range into its prefixes: minutes.
test("tens of thousands of ranges of the most prefixes are counted", () => {
  const range = (index: number) => `::${index.toString(16)}-${"ffff:".repeat(7)}${(0xffff - index).toString(16)}`;
  const ranges = Array.from({ length: 16 }, (_, index) => range(index + 1)).join();
  for (let priority = 1; priority <= 2500; priority++) parseRule(`prio ${priority} ip6 src ${ranges} drop`);
});
