// A rule as an object: the words of its text as keys, for TOML and JSON. Pure.
//
//   { prio: 100, in: ["vm1"], vlan: "any", ip: { dst: ["10.0.0.0/8"] }, tcp: { dport: [80, "8000-8100"] }, actions: ["drop"] }
//   "prio 100 in vm1 vlan any ip dst 10.0.0.0/8 tcp dport 80,8000-8100 drop"             or { rule: "…" }: the text
//
// The first is canonical, and what is printed. Read is also: a list of one as that one, or a list as a string with commas; true and
// false for "any" and "none"; `pcp` beside `vlan`. The words are read by what reads texts (read-match.ts, read-actions.ts), so that
// both forms mean the same and refuse the same; schemas say only what may stand where (object-schema.ts).

import { z } from "zod";
import { RingyardError } from "../../core/errors.ts";
import { quoted } from "../../core/quote.ts";
import { Draft } from "./draft.ts";
import { formatAction } from "./format-rule.ts";
import { HEADERS, type HeaderWord, isHeaderWord } from "./grammar.ts";
import { headerTexts, portsOf } from "./header-text.ts";
import type { NamedRule } from "./named-rule.ts";
import { headerTables, type LooseWords, ruleTable, shaped, wordAt } from "./object-schema.ts";
import { parseRule } from "./parse-rule.ts";
import { readActions } from "./read-actions.ts";
import { readMatch } from "./read-match.ts";
import { RuleSyntaxError } from "./syntax-error.ts";
import { type Path, splitWords, type Word, WordProblem, Words } from "./word.ts";

/** The canonical object; plain data. */
export type RuleObject = {
  id?: number;
  prio: number;
  in?: string[];
  actions: string[];
} & { [H in HeaderWord]?: HeaderObject };

export type HeaderObject = "any" | "none" | Items | Record<string, Items>;
/** Plain numbers as such. */
type Items = (string | number)[];

/** What is wrong with an object, and the keys that lead there. */
export class RuleObjectError extends RingyardError {
  constructor(
    /** What is wrong, without the place. */
    readonly problem: string,
    next: string | undefined,
    readonly path: Path,
  ) {
    super("BAD_RULE", `rule: ${path.length === 0 ? "" : `${path.join(".")}: `}${problem}`, next);
  }
}

/** A rule in a larger schema; issues have the path, and one line without it. */
export const ruleSchema = z.unknown().transform((value, context): NamedRule => {
  try {
    return ruleFromObject(value);
  } catch (error) {
    if (!(error instanceof RuleObjectError || error instanceof RuleSyntaxError)) throw error;
    const inText = error instanceof RuleSyntaxError;
    const problem = inText ? `column ${error.at + 1}: ${error.problem}` : error.problem;
    const path = inText ? (typeof value === "string" ? [] : ["rule"]) : [...error.path];
    const message = error.next === undefined ? problem : `${problem}: ${error.next}`;
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  }
});

/** Throws RuleObjectError, or RuleSyntaxError where it has a text. */
export function ruleFromObject(value: unknown): NamedRule {
  if (typeof value === "string") return parseRule(value);
  if (typeof value === "object" && value !== null && "rule" in value) return parseRule(textOf(value));
  try {
    return readTable(value);
  } catch (error) {
    if (!(error instanceof WordProblem)) throw error;
    throw new RuleObjectError(error.message, error.next, error.word.path ?? []);
  }
}

function textOf({ rule, ...others }: { rule: unknown }): string {
  const [other] = Object.keys(others);
  if (other !== undefined) {
    throw new RuleObjectError(`${quoted(other)} stands beside the text of the rule`, "write it into the text", [other]);
  }
  if (typeof rule === "string") return rule;
  throw new RuleObjectError(`expected the text of a rule, found ${quoted(rule)}`, undefined, ["rule"]);
}

function readTable(value: unknown): NamedRule {
  const { actions = [], ...match } = shaped(ruleTable, value, []);
  const draft = new Draft();
  for (const [key, given] of Object.entries(match)) {
    if (given !== undefined) readMatch(wordsOfKey(key, given), draft);
  }
  for (const [index, action] of (typeof actions === "string" ? [actions] : actions).entries()) {
    readActions(splitWords(action, typeof actions === "string" ? ["actions"] : ["actions", index]), draft);
  }
  return draft.finish(wordAt(["actions"]));
}

/** `tcp: { dport: [80, 443] }` as the words `tcp dport 80,443`. */
function wordsOfKey(key: string, value: unknown): Words {
  const own = { text: key, at: 0, path: [key] };
  const words = isHeaderWord(key) ? headerWords(key, value) : [valueWord(value as LooseWords, [key])];
  return new Words([own, ...words], wordAt([key]));
}

function headerWords(header: HeaderWord, value: unknown): Word[] {
  const only = value === true ? "any" : value === false ? "none" : value;
  if (only === "any" || only === "none") return [{ text: only, at: 0, path: [header] }];
  const isIds = HEADERS[header].ids !== undefined && (typeof value !== "object" || Array.isArray(value));
  const table = shaped(headerTables[header], isIds ? { id: value } : value, [header]);
  const words = Object.entries(table).flatMap(([key, given]) => {
    if (given === undefined) return [];
    const path = isIds ? [header] : [header, key];
    return [...(key === "id" ? [] : [{ text: key, at: 0, path }]), valueWord(given, path)];
  });
  return words.length > 0 ? words : [{ text: "any", at: 0, path: [header] }];
}

function valueWord(value: LooseWords, path: Path): Word {
  if (!Array.isArray(value)) return { text: withoutSpaces(value), at: 0, path };
  const parts = value.map((item, index) => ({ text: withoutSpaces(item), at: 0, path: [...path, index] }));
  return { text: parts.map(({ text }) => text).join(","), at: 0, path, parts };
}

/** In an object nothing ends at a space: `"80, 443"` is a list. */
function withoutSpaces(value: string | number): string {
  return String(value)
    .split(",")
    .map((item) => item.trim())
    .join(",");
}

export function ruleToObject(rule: NamedRule): RuleObject {
  const headers: { [H in HeaderWord]?: HeaderObject } = {};
  for (const { header, only, ids, words } of headerTexts(rule)) {
    const table = Object.fromEntries([...words].map(([word, items]) => [word, itemsAsData(items)]));
    if (ids === undefined) headers[header] = only ?? table;
    else headers[header] = words.size === 0 ? itemsAsData(ids) : { id: itemsAsData(ids), ...table };
  }
  const ports = portsOf(rule);
  return {
    ...(rule.id === undefined ? {} : { id: rule.id }),
    prio: rule.priority,
    ...(ports === undefined ? {} : { in: [...ports] }),
    ...headers,
    actions: rule.actions.map(formatAction),
  };
}

function itemsAsData(items: readonly string[]): Items {
  return items.map((item) => (/^\d+$/.test(item) ? Number(item) : item));
}
