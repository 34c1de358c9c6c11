// Files of rules: what is skipped, and one line for each mistake.

import { expect, test } from "bun:test";
import { ConfigError } from "../../../src/control/config.ts";
import { parseRule } from "../../../src/control/rules/parse-rule.ts";
import { formatRuleFile, parseRuleFile } from "../../../src/control/rules/rule-file.ts";

function mistakesIn(text: string): string[] {
  try {
    parseRuleFile(text, "web.rules");
  } catch (error) {
    if (error instanceof ConfigError) return error.lines;
    throw error;
  }
  throw new Error("accepted");
}

test("one rule a line; comments and blank lines are skipped", () => {
  const text = "\ufeff# web servers\r\n\r\n  id 7 tcp dport 80 allow   # http\r\n\t\n#id 8 drop\nprio 1 drop#all else";
  const rules = [parseRule("id 7 tcp dport 80 allow"), parseRule("prio 1 drop")];
  expect(parseRuleFile(text, "web.rules")).toEqual(rules);
  expect(parseRuleFile(formatRuleFile(rules), "web.rules")).toEqual(rules);
  expect(formatRuleFile(rules)).toBe("id 7 prio 1000 tcp dport 80 allow\nprio 1 drop\n");
});

test("a file without rules has none", () => {
  expect(parseRuleFile("", "web.rules")).toEqual([]);
  expect(parseRuleFile("# nothing yet\n", "web.rules")).toEqual([]);
  expect(formatRuleFile([])).toBe("");
});

test("each mistake is a line with its place", () => {
  const text = "tcp drop\n\n  tcp dprot 80 drop\nudp # and then?\nid 5 drop\nid 6 drop\nid 5 allow\nid 5 drop\n";
  expect(mistakesIn(text)).toEqual([
    'web.rules:3: column 7: unknown word "dprot": did you mean dport?',
    "web.rules:4: column 4: the rule lacks an action: end it with allow, drop or another",
    "web.rules:7: id 5 stands in line 5, too: choose another",
    "web.rules:8: id 5 stands in line 5, too: choose another",
  ]);
});

test("a file of something else is not answered line by line", () => {
  const lines = mistakesIn("\x7fELF\n".repeat(1000));
  expect(lines).toHaveLength(21);
  expect(lines[0]).toBe(
    'web.rules:1: column 1: unknown word "\\u007fELF": known: id, prio, in, pcp, eth, vlan, inner, arp, ip, ip6, tcp, udp, sctp, icmp, icmp6, and actions',
  );
  expect(lines[20]).toBe("web.rules: and 980 more mistakes");
});

test("more rules than a switch can hold", () => {
  expect(parseRuleFile("drop\n".repeat(65_536), "web.rules")).toHaveLength(65_536);
  expect(mistakesIn("drop\n".repeat(65_537))).toEqual([
    "web.rules:65537: more than 65536 rules: use lists and prefixes",
  ]);
});
