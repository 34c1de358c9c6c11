// The match of a rule, read from its words up to the first action: what grammar.ts says may stand there. Pure.
//
//   id 7 prio 100   in vm1,vm2   eth type arp   vlan 10 pcp 3   ip src 10.0.0.0/8 frag none   tcp dport 80 flags syn,!ack
//
// Words are read in any order, but a header's own words stand behind it: a header stays open until the next one.

import { quoted } from "../../core/quote.ts";
import { PRIORITY_MAX } from "../../dataplane/rules/rule.ts";
import { nearest } from "../nearest.ts";
import type { Draft } from "./draft.ts";
import {
  type FieldWord,
  HEADER_WORDS,
  HEADERS,
  type Header,
  type HeaderWord,
  isHeaderWord,
  MATCH_WORDS,
} from "./grammar.ts";
import { readPortNames } from "./names.ts";
import { ACTION_WORDS, isActionWord } from "./read-actions.ts";
import { numberSpelling, readValue } from "./spelling.ts";
import { type Word, WordProblem, type Words } from "./word.ts";

/** Ids are positive and below 2^31 (rule.ts). */
const NUMBERS = {
  id: numberSpelling({ what: "an id", example: "7", bits: 31, min: 1 }),
  prio: numberSpelling({ what: "a priority", example: "100", bits: 16, max: PRIORITY_MAX }),
};

/** Reads words up to an action or the end. Throws WordProblem. */
export function readMatch(words: Words, draft: Draft): void {
  let open: HeaderWord | undefined;
  for (let word = words.peek(); word !== undefined && !isActionWord(word.text); word = words.peek()) {
    words.skip();
    const { text } = word;
    const own = open === undefined ? undefined : wordOf(open, text);
    if (own !== undefined) readField(`${open} ${text}`, own, words, draft);
    else if (isHeaderWord(text)) {
      open = text;
      readHeader(text, word, words, draft);
    } else if (text === "pcp") {
      open = "vlan";
      draft.setPresence("vlan", true, word, "pcp");
      readField("vlan pcp", HEADERS.vlan.words.pcp, words, draft);
    } else if (text === "in") {
      const value = words.take("in", "PORT");
      draft.constrain({ field: "in", oneOf: readPortNames(value).sort() }, value, "in");
    } else if (text === "id" || text === "prio") {
      const { example } = NUMBERS[text];
      const value = words.take(text, example);
      draft.setNumber(text, Number(readValue(value, NUMBERS[text])), value);
    } else throw unknownWord(word, open);
  }
}

function readHeader(name: HeaderWord, word: Word, words: Words, draft: Draft): void {
  const { presence, ids } = headerOf(name);
  const next = words.peek();
  if (presence === undefined) {
    if (next !== undefined && wordOf(name, next.text) !== undefined) return;
    throw new WordProblem(word, `${name} alone says nothing`, `write one of ${wordsOf(name).join(", ")} behind it`);
  }
  if (next?.text === "none" || next?.text === "any") {
    words.skip();
    const phrase = next.text === "none" ? `${name} none` : name;
    draft.setPresence(presence, next.text === "any", word, phrase);
    return;
  }
  draft.setPresence(presence, true, word, name);
  if (ids !== undefined && (next === undefined || wordOf(name, next.text) === undefined)) {
    readField(name, ids, words, draft);
  }
}

function readField(phrase: string, { field, kind }: FieldWord, words: Words, draft: Draft): void {
  const value = words.take(phrase, kind.example);
  draft.constrain({ field, oneOf: kind.read(value) }, value, phrase);
}

function headerOf(name: HeaderWord): Header {
  return HEADERS[name];
}

function wordsOf(name: HeaderWord): string[] {
  return Object.keys(HEADERS[name].words);
}

function wordOf(name: HeaderWord, text: string): FieldWord | undefined {
  const { words } = headerOf(name);
  return Object.hasOwn(words, text) ? words[text] : undefined;
}

function unknownWord(word: Word, open: HeaderWord | undefined): WordProblem {
  const { text } = word;
  const owners = HEADER_WORDS.filter((name) => wordOf(name, text) !== undefined);
  if (owners.length > 0) {
    const message = `${quoted(text)} does not belong ${open === undefined ? "here" : `to ${open}`}`;
    return new WordProblem(
      word,
      message,
      `write it behind its header: ${owners.map((name) => `${name} ${text}`).join(", ")}`,
    );
  }
  const message = `unknown word ${quoted(text)}`;
  if (/^[\d:,]/.test(text)) return new WordProblem(word, message, "join the values of a list by commas: 80,443");
  const own = open === undefined ? [] : wordsOf(open);
  const near = nearest(text, [...own, ...MATCH_WORDS, ...ACTION_WORDS]);
  if (near !== undefined) return new WordProblem(word, message, `did you mean ${near}?`);
  const takes = open === undefined ? "" : `${open} takes ${own.join(", ")}; `;
  return new WordProblem(word, message, `${takes}known: ${MATCH_WORDS.join(", ")}, and actions`);
}
