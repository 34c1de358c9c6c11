// `KEY=VALUE` words of a command line, as the switch takes them. What values mean is the switch's to say. Pure.

import { suggest } from "../control/nearest.ts";
import { PIECE_SIZE, type PolicyWord, wordPieces } from "../control/policy/policy-words.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";

/**
 * Throws BAD_OPTION for what is none of `known`, stands twice, or has no value. An empty value is one. A long one is a list, as with its commas in a
 * short one, and comes in pieces.
 */
export function readSettingWords(words: readonly string[], known: readonly string[]): PolicyWord[] {
  const settings = new Map<string, string>();
  for (const word of words) {
    const equals = word.indexOf("=");
    const key = equals < 0 ? word : word.slice(0, equals);
    if (!known.includes(key))
      throw new RingyardError("BAD_OPTION", `unknown setting ${quoted(key)}`, suggest(key, "known:", known));
    if (equals < 0) throw new RingyardError("BAD_OPTION", `setting ${key} has no value`, `write ${key}=VALUE`);
    if (settings.has(key)) throw new RingyardError("BAD_OPTION", `setting ${key} is given twice`, "leave one out");
    settings.set(key, word.slice(equals + 1));
  }
  return [...settings].flatMap(([key, value]) => wordPieces({ [key]: isLong(value) ? itemsOf(key, value) : value }));
}

function isLong(text: string): boolean {
  return Buffer.byteLength(text) > PIECE_SIZE;
}

function itemsOf(key: string, text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  const long = items.find(isLong);
  if (long === undefined) return items;
  const size = Buffer.byteLength(long);
  const next = `write ${PIECE_SIZE} at most, or commas between the items of a list`;
  throw new RingyardError("BAD_OPTION", `setting ${key} has an item of ${size} bytes: ${quoted(long)}`, next);
}
