// Settings of policies as plain data, the same in TOML, in JSON and over the control socket: words by key, as a person would write
// them, and only those that differ from the default. Over the socket they go as a list, and long lists in pieces, since a single
// thing has to fit into one frame (control/parts.ts):
//
//   { vlan: 20, isolated: true, "source-guard": ["02:…", …] }
//   [ {key: "vlan", value: 20}, {key: "isolated", value: true}, {key: "source-guard", value: [100 of them]}, {key: "source-guard", … ]
//
// Pure.

import type { ConfigProblem } from "../config.ts";

export type PolicyValue = string | number | boolean | PolicyValue[] | { [key: string]: PolicyValue };

export type PolicyWords = Record<string, PolicyValue>;

/** One of them, or a piece of one. */
export interface PolicyWord {
  key: string;
  value: PolicyValue;
}

/** What was asked for, or what is wrong with it: paths begin at the key. */
export type PolicyRead<T> = { is: T } | { problems: ConfigProblem[] };

/** The longest element, a binding with some addresses, is far below a hundredth of a frame. */
const PIECE_LENGTH = 64;

export function wordPieces(words: PolicyWords): PolicyWord[] {
  return Object.entries(words).flatMap(([key, value]) => {
    if (!Array.isArray(value) || value.length <= PIECE_LENGTH) return [{ key, value }];
    const pieces: PolicyWord[] = [];
    for (let at = 0; at < value.length; at += PIECE_LENGTH) {
      pieces.push({ key, value: value.slice(at, at + PIECE_LENGTH) });
    }
    return pieces;
  });
}

export function joinPieces(pieces: readonly PolicyWord[]): PolicyWords {
  const words = new Map<string, PolicyValue>();
  for (const { key, value } of pieces) {
    const before = words.get(key);
    const grows = Array.isArray(before) && Array.isArray(value);
    words.set(key, grows ? [...before, ...value] : value);
  }
  return Object.fromEntries(words);
}

/** What somebody reads in a line. */
const SHOWN_LENGTH = 8;

/** A value for a person who looks at it, as it could be typed again if it is not long: `10,20-30`, `broadcast, unknown`, `110:10`. */
export function wordText(value: PolicyValue): string {
  if (typeof value !== "object") return String(value);
  const items = Array.isArray(value)
    ? value.map(wordText)
    : Object.entries(value).map(([key, inner]) => `${key}:${inner}`);
  const more = items.length - SHOWN_LENGTH;
  return `${items.slice(0, SHOWN_LENGTH).join(", ") || "none"}${more > 0 ? ` and ${more} more` : ""}`;
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
