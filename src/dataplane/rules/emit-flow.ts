// The flow cache's part of the generated functions: they compare and write exactly the bits of a key that rules look at.
//
//   probe(p)       where in F the answer for the key starts, or -1; leaves the key's hash in p.hash, and in p.twin the entry of a
//                  flow that has the same hash, or -1
//   write(at)      writes the key into the entry at `at`
//
// An entry does not repeat the key's words but has columns, into which what is asked of several words is packed: a tag's VLAN
// id and a destination port need 28 bits. Comparing them is most of what a known flow costs.
//
// Words 9-11 and 13-18 are 0 in a key that is neither IPv6 nor ARP (key.ts), and those class bits are among the asked ones
// whenever such words are. So IPv4 and plain Ethernet compare at most ten columns, in one cache line with the answer.
// Cold; control thread.

import { int } from "./emit-int.ts";
import {
  FLOW_ENTRIES,
  FLOW_ENTRY_WORDS_MAX,
  FLOW_SEED_GENERATION,
  FLOW_SETS,
  FLOW_TAG_BITS,
  FLOW_WAYS,
} from "./flow-cache.ts";
import { CLASS_ARP, CLASS_IP6, KEY_CLASS, KEY_IP_DST, KEY_IP_SRC, KEY_WORDS } from "./key.ts";

/** Of lowbias32 (Wellons 2018). */
const MIXER = 0x21f0aaad;
const LINE_WORDS = FLOW_ENTRY_WORDS_MAX / 2;
/** An answer of so many always fits. */
const RANKS_MIN = 6;

/** What a column has of a word. */
interface Part {
  readonly word: number;
  readonly mask: number;
  /** Left if positive, right if negative. */
  readonly shift: number;
}

interface Column {
  readonly parts: Part[];
  /** Bits in use, from the lowest on. */
  bits: number;
}

/** Where the parts of an entry lie. */
export interface FlowEntry {
  /** What any frame has. */
  readonly base: readonly Column[];
  /** What only IPv6 and ARP have. */
  readonly wide: readonly Column[];
  readonly wideClasses: number;
  readonly size: number;
  /** Offset of the count of ranks. */
  readonly answer: number;
  /** Most ranks that fit. */
  readonly ranks: number;
}

/** `asked` are all bits of a key that rules look at. */
export function flowEntry(asked: Int32Array): FlowEntry {
  const words = Array.from({ length: KEY_WORDS }, (_, word) => word).filter((word) => asked[word] !== 0);
  const isWide = (word: number) => word > KEY_IP_SRC && word !== KEY_IP_DST;
  const [base, wide] = [words.filter((word) => !isWide(word)), words.filter(isWide)].map((some) => pack(some, asked));
  const columns = base.length + wide.length;
  const size = columns + 1 + RANKS_MIN <= LINE_WORDS ? LINE_WORDS : FLOW_ENTRY_WORDS_MAX;
  const wideClasses = wide.length === 0 ? 0 : asked[KEY_CLASS] & (CLASS_IP6 | CLASS_ARP);
  return { base, wide, wideClasses, size, answer: base.length, ranks: size - columns - 1 };
}

/** The widest first, each into the first column that has room. */
function pack(words: readonly number[], asked: Int32Array): Column[] {
  const columns: Column[] = [];
  const spans = words.map((word) => {
    const low = 31 - Math.clz32(asked[word] & -asked[word]);
    return { word, low, bits: 32 - Math.clz32(asked[word]) - low };
  });
  for (const { word, low, bits } of spans.sort((a, b) => b.bits - a.bits || a.word - b.word)) {
    const roomy = columns.find((it) => it.bits + bits <= 32);
    const column = roomy ?? { parts: [], bits: 0 };
    if (roomy === undefined) columns.push(column);
    column.parts.push({ word, mask: asked[word], shift: column.bits - low });
    column.bits += bits;
  }
  return columns;
}

export function emitFlow(entry: FlowEntry): string {
  const { base, wide, wideClasses } = entry;
  const isWide = `(K[${int(KEY_CLASS)}] & ${int(wideClasses)})`;
  const arguments_ = base.map((_, i) => `, c${int(i)}`).join("");
  return [
    "function probe(p) {",
    ...columns(base, 0),
    `  const sum = ${sum(base, 0, "0")};`,
    ...(wide.length === 0 ? [] : [`  if (${isWide} !== 0) return probeWide(p, sum${arguments_});`]),
    ...compare(entry, base.length),
    "}",
    ...(wide.length === 0 ? [] : emitWide(entry, arguments_)),
    "function write(at) {",
    ...columns(base, 0),
    ...stores(entry, 0, base.length),
    ...(wide.length === 0 ? [] : [`  if (${isWide} === 0) return;`, ...columns(wide, base.length)]),
    ...stores(entry, base.length, base.length + wide.length),
    "}",
  ].join("\n");
}

function emitWide(entry: FlowEntry, arguments_: string): string[] {
  const { base, wide } = entry;
  return [
    `function probeWide(p, b${arguments_}) {`,
    ...columns(wide, base.length),
    `  const sum = ${sum(wide, base.length, "b")};`,
    ...compare(entry, base.length + wide.length),
    "}",
  ];
}

/** Columns have numbers: those of `base` first, those of `wide` behind them. */
function columns(some: readonly Column[], first: number): string[] {
  return some.map(({ parts }, i) => `  const c${int(first + i)} = ${parts.map(partText).join(" | ")};`);
}

function partText({ word, mask, shift }: Part): string {
  const text = mask === -1 ? `K[${int(word)}]` : `(K[${int(word)}] & ${int(mask)})`;
  if (shift === 0) return text;
  return shift > 0 ? `${text} << ${int(shift)}` : `${text} >>> ${int(-shift)}`;
}

/**
 * A sum of products with random odd numbers. Upper halves are folded in first: two columns that differ in bit 31 alone would
 * cancel out under any of them. `compare` mixes it.
 */
function sum(some: readonly Column[], first: number, start: string): string {
  return some.reduce((before, { bits }, i) => {
    const column = `c${int(first + i)}`;
    const folded = bits > 16 ? `${column} ^ ${column} >>> 16` : column;
    return `(${before} + Math.imul(${folded}, S[${int(first + i)}]) | 0)`;
  }, start);
}

function offsetOf({ base, wide, size }: FlowEntry, column: number): number {
  return column < base.length ? column : size - wide.length + column - base.length;
}

function stores(entry: FlowEntry, first: number, end: number): string[] {
  return Array.from({ length: end - first }, (_, i) => {
    return `  F[at + ${int(offsetOf(entry, first + i))}] = c${int(first + i)};`;
  });
}

/**
 * A set's tags differ from one another, so at most one entry has to be looked at. The hash is mixed, as in fdb-find.ts: under
 * one seed in a hundred, sums of consecutive addresses leave half of the sets empty.
 */
function compare(entry: FlowEntry, count: number): string[] {
  const equal = Array.from({ length: count }, (_, i) => `F[at + ${int(offsetOf(entry, i))}] === c${int(i)}`);
  const others = Array.from({ length: FLOW_WAYS - 1 }, (_, i) => {
    return `if (F[set + ${int(i + 1)}] === tag) at = at + ${int((i + 1) * entry.size)} | 0;\n  else `;
  });
  return [
    `  const h = Math.imul(sum ^ sum >>> 15, ${int(MIXER)});`,
    `  const tag = h & ${int(FLOW_TAG_BITS)} | S[${int(FLOW_SEED_GENERATION)}];`,
    `  const set = ${setAt("h", FLOW_WAYS)};`,
    `  let at = ${setAt("h", FLOW_WAYS * entry.size)} + ${int(FLOW_ENTRIES)} | 0;`,
    `  if (F[set] !== tag) ${others.join("")}{\n  p.hash = h;\n  p.twin = -1;\n  return -1;\n  }`,
    `  if (${equal.join(" && ") || "true"}) return at + ${int(entry.answer)} | 0;`,
    "  p.hash = h;",
    `  p.twin = at - ${int(FLOW_ENTRIES)} >>> ${int(Math.log2(entry.size))};`,
    "  return -1;",
  ];
}

/** The hash's upper bits choose a set: `stride` words for each. */
function setAt(hash: string, stride: number): string {
  const shift = 32 - Math.log2(FLOW_SETS * stride);
  return `(${hash} >>> ${int(shift)} & ${int((FLOW_SETS - 1) * stride)})`;
}
