// Settings changed by words: `port set vm1 vlan=20 isolated=`. A word takes the place of the one that was there; an empty one, or `none`
// where that is no value, takes it away, and so back to the default. A port has one mode in VLANs: a word that says another one
// takes the old one away, with all that goes with it. Pure.

import { RingyardError } from "../../core/errors.ts";
import { word } from "../../core/quote.ts";
import { suggest } from "../nearest.ts";
import { MODE_KEYS, TRUNK_KEYS } from "./membership.ts";
import type { PolicyRead, PolicyValue, PolicyWords } from "./policy-words.ts";

/** Where `none` is something else than the default. */
const NONE_IS_A_VALUE = ["flood"];

/** These words, whatever they say; throws BAD_OPTION at the first whose key is none of `known`. */
export function knownWords(what: string, words: PolicyWords, known: readonly string[]): PolicyWords {
  const stray = Object.keys(words).find((key) => !known.includes(key));
  if (stray === undefined) return words;
  throw new RingyardError("BAD_OPTION", `${what}: ${word(stray)}: unknown key`, suggest(stray, "known:", known));
}

export function changeWords(before: PolicyWords, changes: PolicyWords): PolicyWords {
  const after = new Map(Object.entries(before));
  const isSaid = (key: string) => Object.hasOwn(changes, key) && !isNothing(key, changes[key]);
  if (MODE_KEYS.some(isSaid)) for (const mode of MODE_KEYS) after.delete(mode);
  for (const [key, value] of Object.entries(changes)) {
    if (isNothing(key, value)) after.delete(key);
    else after.set(key, value);
  }
  if (!after.has("trunk")) for (const key of TRUNK_KEYS) if (!isSaid(key)) after.delete(key);
  return Object.fromEntries(after);
}

function isNothing(key: string, value: PolicyValue): boolean {
  return value === "" || (value === "none" && !NONE_IS_A_VALUE.includes(key));
}

/** Throws RingyardError with the first mistake; `what` it is of. */
export function mustRead<T>(what: string, read: PolicyRead<T>): T {
  if ("is" in read) return read.is;
  const [{ path, message }] = read.problems;
  throw new RingyardError("BAD_OPTION", [what, ...path.map((key) => word(String(key))), message].join(": "));
}
