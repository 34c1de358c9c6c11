// Generated functions that look at slices of a key, each once, whatever the number of tuples that ask for it: is there an entry
// with such a slice? Without a jump, since that would be mispredicted half of the time.
//
//   look0(T) …     all slices, for a search: the product in M, and in N 0 if some entry has the slice, else -1
//   narrow0(T) …   slices of some words, for the broad cache: into B which bits of those words matter (emit-flow.ts)
//
//   m = Math.imul(K[12] >>> 24, 668265263);       the slice's product: its upper bits choose a cell of the word,
//   w = T[f12 + (m >>> s12) | 0];                 its lowest five and the next five one bit each of that
//   M[3] = m;  N[3] = (w >>> m & w >>> (m >>> 5) & 1) - 1 | 0;
//   b1 |= Math.imul(w >>> m & w >>> (m >>> 5) & 1, -16777216);
//
// What checks look at matters anyhow. Which bits those are is in the tables: a rule that comes may check more of a word.
//
// Cold; control thread.

import { SECOND_BIT, TABLES_CHECKED, WORD_CELLS, WORD_SHIFT } from "./compile-layout.ts";
import { type Plan, type Slice, wordAt } from "./compile-shape.ts";
import { int } from "./emit-int.ts";
import { KEY_CLASS } from "./key.ts";

/** Slices in one function, so that the JIT's last tier takes it. */
export const SLICES_MAX = 32;

/** Functions, and the calls of them. */
export interface Looks {
  readonly text: string;
  readonly calls: readonly string[];
}

export function emitLooks(plan: Plan): Looks {
  return emitFunctions("look", slicesByTest(plan), () => ({
    before: "",
    each: (slice) => {
      const i = int(plan.slices.indexOf(slice));
      return [`  M[${i}] = m;`, `  N[${i}] = (${IS_THERE}) - 1 | 0;`];
    },
    after: "",
  }));
}

/**
 * What matters of `words` into B, where they have the places that `narrow` says. What is `checked` now need not be
 * looked for. `name` is that of the functions.
 */
export function emitNarrowLooks(
  name: "narrow" | "narrowWide",
  plan: Plan,
  narrow: readonly number[],
  words: readonly number[],
  checked: Int32Array,
): Looks {
  const slices = slicesByTest(plan).filter(({ slice: { word, mask } }) => {
    return words.includes(word) && (mask & ~checked[word]) !== 0;
  });
  const places = words.map((word) => ({ word, i: int(narrow.indexOf(word)) }));
  return emitFunctions(name, slices, (index) => ({
    before: places
      .map(({ word, i }) => `, b${i} = ${index === 0 ? `T[${int(TABLES_CHECKED + word)}]` : `B[${i}]`}`)
      .join(""),
    each: ({ word, mask }) => [`  b${int(narrow.indexOf(word))} |= Math.imul(${IS_THERE}, ${int(mask)});`],
    after: places.map(({ i }) => `  B[${i}] = b${i};\n`).join(""),
  }));
}

/** 1 if both bits of a cell are set, else 0. */
export const IS_THERE = `w >>> m & w >>> (m >>> ${int(SECOND_BIT)}) & 1`;

/** What a function has before its slices, for each of them, and behind them. */
interface Texts {
  readonly before: string;
  readonly each: (slice: Slice) => string[];
  readonly after: string;
}

function emitFunctions(name: string, all: readonly Tested[], textsOf: (index: number) => Texts): Looks {
  const functions = chunks(all, SLICES_MAX).map((some, index) => {
    const { before, each, after } = textsOf(index);
    const words = [...new Set(some.map(({ slice }) => slice.word))].map((word) => {
      const [cells, shift] = [wordAt(word) + WORD_CELLS, wordAt(word) + WORD_SHIFT];
      return `  const f${int(word)} = T[${int(cells)}], s${int(word)} = T[${int(shift)}];`;
    });
    const blocks = [...Map.groupBy(some, ({ test }) => test)].map(([test, alike]) => {
      const text = alike.flatMap(({ slice }) => [...lookUp(slice), ...each(slice)]).join("\n");
      return test === "" ? text : `  if (${test}) {\n${text}\n  }`;
    });
    return [
      `function ${name}${int(index)}(T) {`,
      ...words,
      `  let m = 0, w = 0${before};`,
      ...blocks,
      `${after}}`,
    ].join("\n");
  });
  return { text: functions.join("\n"), calls: functions.map((_, i) => `  ${name}${int(i)}(T);`) };
}

/** The product of a slice of `k`, which is the text for its word, and its cell. */
export function lookUp(slice: Slice, k?: string): string[] {
  const word = int(slice.word);
  return [
    `  m = Math.imul(${sliceText(slice, k)}, ${int(slice.multiplier)});`,
    `  w = T[f${word} + (m >>> s${word}) | 0];`,
  ];
}

/** The same as sliceOf in compile-shape.ts, of the text for the word; an AND that the shift does anyhow is left out. */
export function sliceText({ word, mask, shift }: Slice, k = `K[${int(word)}]`): string {
  if (mask === -1) return k;
  if (mask === -1 << shift) return `${k} >>> ${int(shift)}`;
  return shift === 0 ? `${k} & ${int(mask)}` : `(${k} & ${int(mask)}) >>> ${int(shift)}`;
}

/** A slice, and what a key's class must be for any tuple to ask for it: "" if that is anything. */
interface Tested {
  readonly slice: Slice;
  readonly test: string;
}

/** Those with the same test are neighbours. */
function slicesByTest({ slices, groups }: Plan): Tested[] {
  const all = slices.map((slice) => {
    const users = groups.filter(({ shapes }) => shapes.some((shape) => shape.slices.includes(slice)));
    return { slice, test: classTest(users.map(({ classValue }) => classValue)) };
  });
  return all.sort((a, b) => (a.test < b.test ? -1 : Number(a.test > b.test)));
}

/** The class bits that all ask for, or, if that is none, the highest of each: of transports rather than of what is below them. */
function classTest(classes: readonly number[]): string {
  const common = classes.reduce((bits, each) => bits & each, -1);
  if (common !== 0) return hasClass(common, common);
  if (classes.includes(0)) return "";
  const highest = classes.reduce((bits, each) => bits | (1 << (31 - Math.clz32(each))), 0);
  return `(K[${int(KEY_CLASS)}] & ${int(highest)}) !== 0`;
}

export function hasClass(mask: number, value: number): string {
  return `(K[${int(KEY_CLASS)}] & ${int(mask)}) === ${int(value)}`;
}

export function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}
