// A file of rules, as `rule replace -f FILE` takes it: one text form a line, blank lines, and comments from # to the line's end. Pure.
//
//   # what the web servers may do
//   id 7 prio 100 in web1,web2 tcp dport 80,443 allow
//   prio 1 in web1,web2 drop                              # and nothing else
//
// Mistakes are collected, each as FILE:LINE: column N: what is wrong.

import { word } from "../../core/quote.ts";
import { RULES_MAX } from "../../dataplane/rules/compile-layout.ts";
import { ConfigError } from "../config.ts";
import { formatRule } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import { parseRule } from "./parse-rule.ts";
import { RuleSyntaxError } from "./syntax-error.ts";

/** A file that is no file of rules has a mistake in every line; nobody reads more than these. */
const MISTAKES_SHOWN = 20;

/** Reads the text of a file called `file`; throws ConfigError with a line for each mistake. */
export function parseRuleFile(text: string, file: string): NamedRule[] {
  const rules: NamedRule[] = [];
  const mistakes: string[] = [];
  const idLines = new Map<number, number>();
  let count = 0;
  // A byte order mark is no part of the first line.
  for (const [index, line] of text
    .replace(/^\ufeff/, "")
    .split("\n")
    .entries()) {
    const source = line.split("#", 1)[0].trimEnd();
    if (source.trim() === "") continue;
    const place = `${word(file)}:${index + 1}`;
    if (++count > RULES_MAX) {
      mistakes.push(`${place}: more than ${RULES_MAX} rules: use lists and prefixes`);
      break;
    }
    try {
      const rule = parseRule(source);
      const before = rule.id === undefined ? undefined : idLines.get(rule.id);
      if (before !== undefined) mistakes.push(`${place}: id ${rule.id} stands in line ${before}, too: choose another`);
      if (rule.id !== undefined && before === undefined) idLines.set(rule.id, index + 1);
      rules.push(rule);
    } catch (error) {
      if (!(error instanceof RuleSyntaxError)) throw error;
      const { at, problem, next } = error;
      mistakes.push(`${place}: column ${at + 1}: ${problem}${next === undefined ? "" : `: ${next}`}`);
    }
  }
  if (mistakes.length === 0) return rules;
  throw new ConfigError(fewMistakes(mistakes, file));
}

/** As many as somebody reads. */
export function fewMistakes(mistakes: readonly string[], file: string): string[] {
  const shown = mistakes.slice(0, MISTAKES_SHOWN);
  const more = mistakes.length - shown.length;
  if (more === 0) return shown;
  return [...shown, `${word(file)}: and ${more === 1 ? "1 more mistake" : `${more} more mistakes`}`];
}

/** The same rules as a file. */
export function formatRuleFile(rules: readonly NamedRule[]): string {
  return rules.map((rule) => `${formatRule(rule)}\n`).join("");
}
