// Settings of policies as plain data, the same in TOML, in JSON and over the control socket: words by key, as a person would write
// them, and only those that differ from the default. Over the socket they go as a list, and long lists in pieces, since a single
// thing has to fit into one frame (control/parts.ts):
//
//   { vlan: 20, isolated: true, "source-guard": ["02:…", …] }
//   [ {key: "vlan", value: 20}, {key: "isolated", value: true}, {key: "source-guard", value: [100 of them]}, {key: "source-guard", … ]
//
// Pure.

import type { ConfigProblem } from "../config.ts";
import { listed } from "../listed.ts";

export type PolicyValue = string | number | boolean | PolicyValue[] | { [key: string]: PolicyValue };

export type PolicyWords = Record<string, PolicyValue>;

/** One of them, or a piece of one. */
export interface PolicyWord {
  key: string;
  value: PolicyValue;
}

/** What was asked for, or what is wrong with it: paths begin at the key. */
export type PolicyRead<T> = { is: T } | { problems: ConfigProblem[] };

/** Characters of JSON: half a frame. The longest element, a binding with as many addresses as it may have, is shorter. */
export const PIECE_SIZE = 8_000;

/** A long table goes as the list that it can be written as, too: `110:10`. */
export function wordPieces(words: PolicyWords): PolicyWord[] {
  return Object.entries(words).flatMap(([key, said]) => {
    const isLongTable = typeof said === "object" && !Array.isArray(said) && sizeOf(said) > PIECE_SIZE;
    const value = isLongTable ? Object.entries(said).map(([inner, of]) => `${inner}:${of}`) : said;
    return (Array.isArray(value) ? cut(value) : [value]).map((piece) => ({ key, value: piece }));
  });
}

function cut(list: readonly PolicyValue[]): PolicyValue[][] {
  let last: PolicyValue[] = [];
  const pieces = [last];
  let size = 0;
  for (const item of list) {
    const more = sizeOf(item);
    if (last.length > 0 && size + more > PIECE_SIZE) {
      last = [];
      pieces.push(last);
      size = 0;
    }
    last.push(item);
    size += more;
  }
  return pieces;
}

function sizeOf(value: PolicyValue): number {
  return JSON.stringify(value).length + 1;
}

/** Pieces of a list follow one another to make it up; of all else the last word counts. */
export function joinPieces(pieces: readonly PolicyWord[]): PolicyWords {
  const words = new Map<string, PolicyValue>();
  for (const { key, value } of pieces) {
    const before = words.get(key);
    if (!Array.isArray(value)) words.set(key, value);
    // A list of our own: pieces are another's, and one is made only once, however many there are.
    else if (!Array.isArray(before)) words.set(key, value.slice());
    else for (const item of value) before.push(item);
  }
  return Object.fromEntries(words);
}

/** A value for a person who looks at it, as it could be typed again if it is not long: `10,20-30`, `broadcast, unknown`, `110:10`. */
export function wordText(value: PolicyValue): string {
  if (typeof value !== "object") return String(value);
  const items = Array.isArray(value)
    ? value.map(wordText)
    : Object.entries(value).map(([key, inner]) => `${key}:${inner}`);
  return listed(items) || "none";
}

/** A word of one of several things, by its name. */
export interface SaidWord extends PolicyWord {
  of: string;
}

export function saidWords(things: Iterable<readonly [string, PolicyWords]>): SaidWord[] {
  return [...things].flatMap(([of, words]) => wordPieces(words).map((piece) => ({ of, ...piece })));
}

/** The words by what they are of; those of which nothing is said are not there. */
export function joinSaid(said: readonly SaidWord[]): Map<string, PolicyWords> {
  const pieces = Map.groupBy(said, ({ of }) => of);
  return new Map([...pieces].map(([of, words]) => [of, joinPieces(words)]));
}
