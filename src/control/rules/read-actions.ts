// The actions of a rule, read from its words. One table says for each action's first word how the rest is read. Pure.
//
//   mirror span   set vlan 10 pcp 3   strip vlan   set eth src MAC dst MAC   set dscp ef   meter web   count   log 1/100
//   at most one of these, last:   allow | drop | forward vm1,vm2 | flood | continue

import { quoted } from "../../core/quote.ts";
import { suggest } from "../nearest.ts";
import type { Draft } from "./draft.ts";
import { dscp, MATCH_WORDS, priorityCode, vlanId } from "./grammar.ts";
import type { NamedAction } from "./named-rule.ts";
import { readName, readPortNames } from "./names.ts";
import { macDigits, macSpelling, numberSpelling, readValue, type Spelling } from "./spelling.ts";
import { type Word, WordProblem, type Words } from "./word.ts";

/** Reads what follows the action's own word. */
type Reader = (words: Words, word: Word) => NamedAction;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["allow", () => ({ do: "allow" })],
  ["drop", () => ({ do: "drop" })],
  ["forward", (words) => ({ do: "forward", ports: readPortNames(words.take("forward", "PORT")) })],
  ["flood", () => ({ do: "flood" })],
  ["continue", () => ({ do: "continue" })],
  ["mirror", (words) => ({ do: "mirror", port: readName(words.take("mirror", "PORT"), "port") })],
  ["set", readSet],
  ["strip", readStrip],
  ["meter", (words) => ({ do: "meter", meter: readName(words.take("meter", "NAME"), "meter") })],
  ["count", () => ({ do: "count" })],
  ["log", readLog],
]);

export const ACTION_WORDS: readonly string[] = [...READERS.keys()];

export function isActionWord(text: string): boolean {
  return READERS.has(text);
}

/** Reads actions up to the end of the words. Throws WordProblem. */
export function readActions(words: Words, draft: Draft): void {
  for (let word = words.peek(); word !== undefined; word = words.peek()) {
    words.skip();
    const reader = READERS.get(word.text);
    if (reader === undefined) throw unknownAction(word);
    draft.act(reader(words, word), word);
  }
}

function readSet(words: Words): NamedAction {
  const what = words.take("set", "vlan 10");
  if (what.text === "vlan") {
    const id = readNumber(words, "set vlan", vlanId);
    return takeWord(words, "pcp")
      ? { do: "set-vlan", id, pcp: readNumber(words, "set vlan pcp", priorityCode) }
      : { do: "set-vlan", id };
  }
  if (what.text === "pcp") return { do: "set-vlan", pcp: readNumber(words, "set pcp", priorityCode) };
  if (what.text === "dscp") return { do: "set-dscp", dscp: readNumber(words, "set dscp", dscp) };
  if (what.text === "eth") return readSetMac(words);
  throw new WordProblem(
    what,
    `set cannot set ${quoted(what.text)}`,
    suggest(what.text, "set takes", ["vlan", "pcp", "eth", "dscp"]),
  );
}

function readSetMac(words: Words): NamedAction {
  const side = words.take("set eth", "src MAC, or dst MAC");
  if (side.text !== "src" && side.text !== "dst") {
    throw new WordProblem(side, `set eth cannot set ${quoted(side.text)}`, "write set eth src MAC, or set eth dst MAC");
  }
  const action: { do: "set-mac"; src?: string; dst?: string } = {
    do: "set-mac",
    [side.text]: readMac(words, side.text),
  };
  const other = side.text === "src" ? "dst" : "src";
  if (takeWord(words, other)) action[other] = readMac(words, other);
  return action;
}

function readMac(words: Words, side: "src" | "dst"): string {
  const word = words.take(`set eth ${side}`, macSpelling.example);
  const value = readValue(word, macSpelling);
  // IEEE 802: the lowest bit of the first octet. No switch accepts a frame from such a source, this one included.
  const isGroup = ((value >> 40n) & 1n) === 1n;
  if (side === "dst" || (!isGroup && value !== 0n)) return macDigits(value);
  throw new WordProblem(word, `${quoted(word.text)} cannot be a source`, "write a unicast MAC address");
}

function readStrip(words: Words): NamedAction {
  const what = words.take("strip", "vlan");
  if (what.text !== "vlan") throw new WordProblem(what, `strip cannot strip ${quoted(what.text)}`, "write strip vlan");
  return { do: "strip-vlan" };
}

const everyNth = numberSpelling({ what: "a number", example: "1/100", bits: 31, min: 1 });

function readLog(words: Words): NamedAction {
  const rate = words.peek();
  if (rate === undefined || !/^\d/.test(rate.text)) return { do: "log", every: 1 };
  words.skip();
  if (!rate.text.startsWith("1/"))
    throw new WordProblem(rate, `${quoted(rate.text)} is not 1/N`, "write log 1/100 for one in a hundred");
  return { do: "log", every: Number(readValue({ ...rate, text: rate.text.slice(2), at: rate.at + 2 }, everyNth)) };
}

function readNumber(words: Words, before: string, spelling: Spelling): number {
  return Number(readValue(words.take(before, spelling.example), spelling));
}

function takeWord(words: Words, text: string): boolean {
  const found = words.peek()?.text === text;
  if (found) words.skip();
  return found;
}

function unknownAction(word: Word): WordProblem {
  if (MATCH_WORDS.includes(word.text)) {
    return new WordProblem(
      word,
      `${quoted(word.text)} stands behind an action`,
      "write what shall match first, then the actions",
    );
  }
  return new WordProblem(word, `unknown action ${quoted(word.text)}`, suggest(word.text, "actions:", ACTION_WORDS));
}
