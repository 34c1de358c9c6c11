// What stands for the values of a field, read and written:
//
//   list  = item { ',' item }         item = VALUE | VALUE-VALUE | VALUE/MASK | ADDRESS/LENGTH         (VALUE: spelling.ts)
//   frag  = list of any, none, first, later
//   flags = [!]FLAG { ',' [!]FLAG }   here a comma is an "and": flags are no alternatives to one another
//
// Every FieldValue that fits its field can be written, and is read back as the same (a range of one value as that value). Pure.

import { prefixLength, prefixMask } from "../../core/ip.ts";
import { quoted } from "../../core/quote.ts";
import type { FieldValue } from "../../dataplane/rules/rule.ts";
import { FRAGMENTS, namesByNumber, TCP_FLAGS } from "./known-names.ts";
import { numberSpelling, readValue, type Spelling, writeValue } from "./spelling.ts";
import { itemsOf, type Word, WordProblem } from "./word.ts";

/** How the values of a field are written. */
export interface ValueKind {
  /** What to write, for messages. */
  readonly example: string;
  /** In ascending order, each once. Throws WordProblem. */
  read(word: Word): FieldValue[];
  /** The items; commas go between them. */
  write(values: readonly FieldValue[]): string[];
}

export function listOf(spelling: Spelling): ValueKind {
  return {
    example: spelling.example,
    read: (word) => readList(word, (item) => readItem(item, spelling)),
    write: (values) => values.map((value) => writeItem(value, spelling)),
  };
}

const fragmentBits: Spelling = {
  ...numberSpelling({ what: "", example: "none,first", bits: 2 }),
  what: "any, none, first or later",
};

export const fragments: ValueKind = {
  example: "none,first",
  read: (word) => readList(word, (item) => FRAGMENTS.get(item.text) ?? readItem(item, fragmentBits)),
  write: (values) =>
    values.map((value) => {
      const known = [...FRAGMENTS].find(([, fragment]) => compareValues(fragment, value) === 0);
      return known?.[0] ?? writeItem(value, fragmentBits);
    }),
};

const flagBits: Spelling = {
  ...numberSpelling({ what: "", example: "syn,!ack", bits: 12, hex: 3 }),
  what: "a number of 12 TCP flags",
};
/** By name only: a number would be several. */
const oneFlag: Spelling = { ...flagBits, what: "a TCP flag", names: TCP_FLAGS, parse: () => undefined };

const FLAG_NAMES = namesByNumber(TCP_FLAGS);

export const tcpFlags: ValueKind = {
  example: "syn,!ack",
  read: (word) => (/^\d/.test(word.text) ? readList(word, (item) => readItem(item, flagBits)) : [readFlags(word)]),
  write: (values) => flagWords(values) ?? values.map((value) => writeItem(value, flagBits)),
};

function readFlags(word: Word): FieldValue {
  let [value, mask] = [0n, 0n];
  for (const item of itemsOf(word)) {
    const clear = item.text.startsWith("!");
    const flag = readValue(clear ? { ...item, text: item.text.slice(1), at: item.at + 1 } : item, oneFlag);
    if ((mask & flag) !== 0n)
      throw new WordProblem(item, `${quoted(item.text)}: this flag was named already`, "name each flag once");
    mask |= flag;
    if (!clear) value |= flag;
  }
  return { value, mask };
}

/** By names, where that is one question about named flags. */
function flagWords(values: readonly FieldValue[]): string[] | undefined {
  const [first, ...others] = values;
  if (others.length > 0 || !("mask" in first) || first.mask === 0n) return undefined;
  const { value, mask } = first;
  const bits = Array.from({ length: 12 }, (_, bit) => 1n << BigInt(bit)).filter((bit) => (mask & bit) !== 0n);
  const named = (wanted: boolean) =>
    bits.filter((bit) => ((value & bit) !== 0n) === wanted).map((bit) => FLAG_NAMES.get(bit));
  const words = [...named(true), ...named(false).map((name) => name && `!${name}`)];
  return words.every((word) => word !== undefined) ? words : undefined;
}

function readList(word: Word, read: (item: Word) => FieldValue): FieldValue[] {
  const found = itemsOf(word).map((item) => ({ item, value: read(item) }));
  found.sort((a, b) => compareValues(a.value, b.value));
  for (let index = 1; index < found.length; index++) {
    const [before, { item, value }] = [found[index - 1], found[index]];
    if (compareValues(before.value, value) === 0)
      throw new WordProblem(item, `${quoted(item.text)} is in the list twice`, "write it once");
  }
  return found.map(({ value }) => value);
}

/** A total order: one set of values has one form. */
function compareValues(a: FieldValue, b: FieldValue): number {
  const keys = (value: FieldValue) => ("mask" in value ? [value.value, value.mask, 0n] : [value.low, value.high, 1n]);
  const [left, right] = [keys(a), keys(b)];
  const at = left.findIndex((key, index) => key !== right[index]);
  return at < 0 ? 0 : left[at] < right[at] ? -1 : 1;
}

function readItem(item: Word, spelling: Spelling): FieldValue {
  const { text, at } = item;
  const slash = text.indexOf("/");
  if (slash > 0) return readMasked(item, slash, spelling);
  const dash = text.indexOf("-");
  // Names have dashes of their own, and are no ends of ranges.
  const named = Object.keys(spelling.names).length > 0 && !/^\d/.test(text);
  if (dash <= 0 || named) return { value: readValue(item, spelling), mask: prefixMask(spelling.bits, spelling.bits) };
  const low = readValue({ ...item, text: text.slice(0, dash) }, spelling);
  const high = readValue({ ...item, text: text.slice(dash + 1), at: at + dash + 1 }, spelling);
  if (low < high) return { low, high };
  if (low === high) return { value: low, mask: prefixMask(spelling.bits, spelling.bits) };
  const next = `write ${spelling.format(high)}-${spelling.format(low)}`;
  throw new WordProblem(item, `${quoted(text)} is an empty range`, next);
}

function readMasked(item: Word, slash: number, spelling: Spelling): FieldValue {
  const value = readValue({ ...item, text: item.text.slice(0, slash) }, spelling);
  const mask = readMask({ ...item, text: item.text.slice(slash + 1), at: item.at + slash + 1 }, spelling);
  if ((value & ~mask) === 0n) return { value, mask };
  const intended = writeItem({ value: value & mask, mask }, spelling);
  const next = `write ${intended}, or ${spelling.format(value)} for that one alone`;
  throw new WordProblem(item, `${quoted(item.text)} has bits set that its mask leaves out`, next);
}

function readMask(word: Word, { bits, hasPrefixes, parse, formatMask }: Spelling): bigint {
  const full = prefixMask(bits, bits);
  const example = `write for example ${hasPrefixes ? "/24" : `/${formatMask(full)}`}`;
  if (hasPrefixes && /^\d{1,3}$/.test(word.text)) {
    if (Number(word.text) <= bits) return prefixMask(bits, Number(word.text));
    throw new WordProblem(word, `${quoted(word.text)} is not a prefix length from 0 to ${bits}`, example);
  }
  const mask = parse(word.text);
  if (mask !== undefined && mask <= full) return mask;
  const what = hasPrefixes ? `a prefix length from 0 to ${bits} or a mask` : `a mask of ${bits} bits`;
  throw new WordProblem(word, `${quoted(word.text)} is not ${what}`, example);
}

function writeItem(value: FieldValue, spelling: Spelling): string {
  const { bits, hasPrefixes, format, formatMask } = spelling;
  if (!("mask" in value)) {
    return value.low === value.high ? writeValue(value.low, spelling) : `${format(value.low)}-${format(value.high)}`;
  }
  if (value.mask === prefixMask(bits, bits)) return writeValue(value.value, spelling);
  const length = hasPrefixes ? prefixLength(bits, value.mask) : null;
  return `${format(value.value)}/${length ?? formatMask(value.mask)}`;
}
