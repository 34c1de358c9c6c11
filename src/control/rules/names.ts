// Names in rules: of ports and of meters. Whether something has that name is not looked at here (resolve.ts). Pure.

import { quoted } from "../../core/quote.ts";
import { nameAdvice, portName } from "../options.ts";
import { itemsOf, type Word, WordProblem } from "./word.ts";

/** Meters are called as ports are: safe in a shell, and as a key of TOML. */
const isName = (text: string) => portName.safeParse(text).success;

/** A list of ports in the order given, each once. */
export function readPortNames(word: Word): string[] {
  const names = new Set<string>();
  for (const item of itemsOf(word)) {
    const name = readName(item, "port");
    if (names.has(name)) throw new WordProblem(item, `port ${name} is in the list twice`, "write it once");
    names.add(name);
  }
  return [...names];
}

export function readName(word: Word, kind: "port" | "meter"): string {
  if (isName(word.text)) return word.text;
  throw new WordProblem(word, `${quoted(word.text)} is not the name of a ${kind}`, nameAdvice(word.text));
}
