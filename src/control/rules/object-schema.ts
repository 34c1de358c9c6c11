// What may stand where in a rule's object, as schemas; what the words mean is their readers' business (read-match.ts). Pure.

import { z } from "zod";
import { quoted } from "../../core/quote.ts";
import { suggest } from "../nearest.ts";
import { isPlainTable } from "../plain-table.ts";
import { HEADERS, type Header, type HeaderWord } from "./grammar.ts";
import { type Path, WordProblem } from "./word.ts";

const someWords = { error: "expected a word, a number or a list of them" };
const word = z.union([z.string().min(1, someWords), z.number()], someWords);
const words = z.union([word, z.array(word).min(1, someWords)], someWords);
const someActions = { error: 'expected a list of actions such as ["drop"]' };
const action = z.string().min(1, someActions);
const actions = z.union([action, z.array(action)], someActions);

/** What a list may be written as. */
export type LooseWords = z.output<typeof words>;

const anything = z.unknown().optional();

/** A rule by its words. Headers are looked at one by one. */
export const ruleTable = z.strictObject(
  {
    id: word.optional(),
    prio: word.optional(),
    in: words.optional(),
    pcp: words.optional(),
    eth: anything,
    vlan: anything,
    inner: anything,
    arp: anything,
    ip: anything,
    ip6: anything,
    tcp: anything,
    udp: anything,
    sctp: anything,
    icmp: anything,
    icmp6: anything,
    actions: actions.optional(),
  } satisfies Record<HeaderWord, z.ZodType> & Record<string, z.ZodType>,
  { error: "expected a table, or the text of a rule" },
);

/** One header by its words; a tag's ids are `id` there. */
export const headerTables = Object.fromEntries(
  Object.entries<Header>(HEADERS).map(([name, { presence, ids, words: own }]) => {
    const keys = [...(ids === undefined ? [] : ["id"]), ...Object.keys(own)];
    const others = presence === undefined ? "" : `"any", "none"${ids === undefined ? "" : ", VLAN ids"} or `;
    const shape = Object.fromEntries(keys.map((key) => [key, words.optional()]));
    return [name, z.strictObject(shape, { error: `expected ${others}a table of ${keys.join(", ")}` })];
  }),
) as Record<HeaderWord, z.ZodObject<Record<string, z.ZodOptional<typeof words>>, z.core.$strict>>;

/** The value as its schema has it; throws WordProblem at the first thing that is not. */
export function shaped<S extends z.ZodObject>(schema: S, value: unknown, path: Path): z.output<S> {
  // A schema takes a date for a table without keys: what is no table is held against it as nothing.
  const parsed = schema.safeParse(isPlainTable(value) ? value : null);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = [...path, ...issue.path.map((key) => (typeof key === "number" ? key : String(key)))];
  if (issue.code === "unrecognized_keys") {
    const [key] = issue.keys;
    const next = suggest(key, "known:", Object.keys(schema.shape));
    throw new WordProblem(wordAt([...place, key]), `unknown key ${quoted(key)}`, next);
  }
  const found = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
  throw new WordProblem(wordAt(place), `${issue.message}, found ${quoted(found)}`);
}

/** What stands for a place of an object where there is no word. */
export function wordAt(path: Path) {
  return { text: "", at: 0, path };
}
