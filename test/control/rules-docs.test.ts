// What docs/RULES.md and README.md say that one can write is what the switch reads.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkNames, parseConfig } from "../../src/control/config.ts";
import { parseRule } from "../../src/control/rules/parse-rule.ts";
import { RuleSyntaxError } from "../../src/control/rules/syntax-error.ts";
import { kinds } from "../../src/control/wiring.ts";

const read = (path: string) => readFileSync(join(import.meta.dir, "../..", path), "utf8");
const RULES = read("docs/RULES.md");

/** The rule that is shown with its mistake. */
const WRONG = "in vm1 tcp dprot 80 drop";

test("rules on command lines", () => {
  const texts = [...`${RULES}${read("README.md")}`.matchAll(/ringyard rule (?:add|test) '([^']+)'/g)].map(
    ([, text]) => text,
  );
  expect(texts.length).toBeGreaterThan(4);
  for (const text of texts) {
    if (text === WRONG) expect(() => parseRule(text)).toThrow(RuleSyntaxError);
    else parseRule(text);
  }
});

test("configurations", () => {
  const blocks = [...RULES.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, block]) =>
    parseConfig(block, "RULES.md", kinds),
  );
  expect(blocks.map(({ rules, meters }) => [rules.length, meters.size])).toEqual([
    [3, 1],
    [2, 0],
  ]);
  checkNames(blocks[0], blocks[0].ports.keys(), blocks[0].meters.keys());
});

test("words of a match", () => {
  const examples = ["vlan 10,20-30 pcp 5", "vlan any", "vlan none", "pcp 5", "tcp none", "tcp flags syn,!ack"];
  for (const text of examples) parseRule(`${text} drop`);
  const table = RULES.slice(RULES.indexOf("## The words of a match"), RULES.indexOf("## Meters"));
  for (const [, header, words] of table.matchAll(/^\| `(\w+)`(?:, `\w+`)? \| ([^|]*) \|/gm)) {
    for (const [, own] of words.matchAll(/`(\w+)`/g)) {
      // A value is missing, but the word is known.
      expect(() => parseRule(`${header} ${own}`)).toThrow(/lacks its value/);
    }
  }
});
