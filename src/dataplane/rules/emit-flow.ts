// The generated functions of the two caches of flows (flow-cache.ts): they compare and write columns (emit-columns.ts).
//
//   probe(p)  broad(p)            where in F the answer for the key starts, or -1; then p.hash and so on say where it could go
//   write(at)  writeBroad(at)     write the key's columns into the entry at `at`
//
//   entry   | columns of any key | count | ranks … | columns of IPv6 and ARP |
//
// Cold; control thread.

import type { Plan } from "./compile-shape.ts";
import { type Column, type Columns, columnsOf, isWide, narrowWords } from "./emit-columns.ts";
import { int } from "./emit-int.ts";
import { emitNarrowLooks } from "./emit-look.ts";
import {
  BROAD_ENTRIES,
  BROAD_ENTRY_WORDS,
  BROAD_SETS,
  BROAD_TAGS,
  FLOW_ENTRIES,
  FLOW_ENTRY_WORDS,
  FLOW_MIXER,
  FLOW_SEED_GENERATION,
  FLOW_SETS,
  FLOW_TAG_BITS,
  FLOW_TAGS,
  FLOW_WAYS,
} from "./flow-cache.ts";
import { CLASS_ARP, CLASS_IP6, KEY_CLASS } from "./key.ts";

/** An answer of so many ranks always fits. */
const RANKS_MIN = 6;

interface Cache extends Columns {
  readonly probe: "probe" | "broad";
  readonly write: "write" | "writeBroad";
  /** Of the program's fields that say where a flow could go. */
  readonly suffix: "" | "Broad";
  /** What comes before the columns, and before those of IPv6 and ARP. */
  readonly first: readonly string[];
  readonly firstWide: readonly string[];
  readonly tags: number;
  readonly sets: number;
  readonly entries: number;
  /** Words of an entry. */
  readonly size: number;
}

export interface Flows {
  readonly text: string;
  /** Words of an entry of the flow cache, where an answer starts in entries of both, and how many ranks fit. */
  readonly sizes: Readonly<Record<"entrySize" | "entryAnswer" | "entryRanks" | "broadAnswer" | "broadRanks", number>>;
}

/** `asked` are all bits of a key that rules look at, `checked` those of them that checks do. */
export function emitFlows(plan: Plan, asked: Int32Array, checked: Int32Array): Flows {
  const wideClasses = asked[KEY_CLASS] & (CLASS_IP6 | CLASS_ARP);
  const exact = flowCache(columnsOf(asked, []));
  const narrow = narrowWords(plan, checked);
  const looks = emitNarrowLooks(
    "narrow",
    plan,
    narrow,
    narrow.filter((word) => !isWide(word)),
    checked,
  );
  const looksWide = emitNarrowLooks("narrowWide", plan, narrow, narrow.filter(isWide), checked);
  const broad = broadCache(columnsOf(asked, narrow), looks.calls, looksWide.calls);
  const none = ["function broad(p) {\n  return -1;\n}", "function writeBroad(at) {\n}"];
  const texts = [
    `const B = new Int32Array(${int(narrow.length)});`,
    looks.text,
    looksWide.text,
    emitCache(broad, wideClasses),
  ];
  return {
    text: [emitCache(exact, wideClasses), ...(narrow.length === 0 ? none : texts)].join("\n"),
    sizes: {
      entrySize: exact.size,
      entryAnswer: exact.base.length,
      entryRanks: ranksOf(exact),
      broadAnswer: broad.base.length,
      broadRanks: narrow.length === 0 ? -1 : ranksOf(broad),
    },
  };
}

/** An entry has one cache line if that is enough. */
function flowCache(columns: Columns): Cache {
  const line = FLOW_ENTRY_WORDS / 2;
  const isShort = columns.base.length + columns.wide.length + 1 + RANKS_MIN <= line;
  const names = { probe: "probe", write: "write", suffix: "" } as const;
  const place = { tags: FLOW_TAGS, sets: FLOW_SETS, entries: FLOW_ENTRIES, size: isShort ? line : FLOW_ENTRY_WORDS };
  return { ...columns, ...names, ...place, first: [], firstWide: [] };
}

function broadCache(columns: Columns, first: readonly string[], firstWide: readonly string[]): Cache {
  const names = { probe: "broad", write: "writeBroad", suffix: "Broad" } as const;
  const place = { tags: BROAD_TAGS, sets: BROAD_SETS, entries: BROAD_ENTRIES, size: BROAD_ENTRY_WORDS };
  const tables = "  const T = p.tables;";
  return { ...columns, ...names, ...place, first: [tables, ...first], firstWide: [tables, ...firstWide] };
}

/** Most ranks that fit into an entry. */
function ranksOf({ size, base, wide }: Cache): number {
  return size - base.length - wide.length - 1;
}

function emitCache(cache: Cache, wideClasses: number): string {
  const { probe, write, first, firstWide, base, wide } = cache;
  const hasWide = `(K[${int(KEY_CLASS)}] & ${int(wideClasses)}) !== 0`;
  const parameters = base.map((_, i) => `, c${int(i)}`).join("");
  const texts = [
    `function ${probe}(p) {`,
    ...first,
    ...columnTexts(base, 0),
    `  const sum = ${sum(base, 0, "0")};`,
    ...(wide.length === 0 ? [] : [`  if (${hasWide}) return ${probe}Wide(p, sum${parameters});`]),
    ...compare(cache, base.length),
    "}",
    `function ${write}(at) {`,
    ...columnTexts(base, 0),
    ...stores(cache, 0, base.length),
    ...(wide.length === 0 ? [] : [`  if (${hasWide}) ${write}Wide(at);`]),
    "}",
  ];
  if (wide.length === 0) return texts.join("\n");
  return [
    ...texts,
    `function ${probe}Wide(p, before${parameters}) {`,
    ...firstWide,
    ...columnTexts(wide, base.length),
    `  const sum = ${sum(wide, base.length, "before")};`,
    ...compare(cache, base.length + wide.length),
    "}",
    `function ${write}Wide(at) {`,
    ...columnTexts(wide, base.length),
    ...stores(cache, base.length, base.length + wide.length),
    "}",
  ].join("\n");
}

/** Columns have numbers: those of `base` first, those of `wide` behind them. */
function columnTexts(some: readonly Column[], first: number): string[] {
  return some.map(({ text }, i) => `  const c${int(first + i)} = ${text};`);
}

/**
 * A sum of products with random odd numbers. Upper halves are folded in first: two columns that differ in bit 31 alone would
 * cancel out under any of them. `compare` mixes it.
 */
function sum(some: readonly Column[], first: number, start: string): string {
  return some.reduce((before, { bits, isHashed }, i) => {
    if (!isHashed) return before;
    const column = `c${int(first + i)}`;
    const folded = bits > 16 ? `${column} ^ ${column} >>> 16` : column;
    return `(${before} + Math.imul(${folded}, S[${int(first + i)}]) | 0)`;
  }, start);
}

function offsetOf({ base, wide, size }: Cache, column: number): number {
  return column < base.length ? column : size - wide.length + column - base.length;
}

function stores(cache: Cache, first: number, end: number): string[] {
  return Array.from({ length: end - first }, (_, i) => {
    return `  F[at + ${int(offsetOf(cache, first + i))}] = c${int(first + i)};`;
  });
}

/**
 * A set's tags differ from one another, so at most one entry has to be looked at. The hash is mixed, as in fdb-find.ts: under
 * one seed in a hundred, sums of consecutive addresses leave half of the sets empty.
 */
function compare(cache: Cache, count: number): string[] {
  const { suffix, size, tags, entries, base } = cache;
  const equal = Array.from({ length: count }, (_, i) => `F[at + ${int(offsetOf(cache, i))}] === c${int(i)}`);
  const miss = (twin: string) => [
    `  p.hash${suffix} = h;`,
    `  p.set${suffix} = set;`,
    `  p.twin${suffix} = ${twin};`,
    "  return -1;",
  ];
  const others = Array.from({ length: FLOW_WAYS - 1 }, (_, i) => {
    return `if (F[set + ${int(i + 1)}] === tag) at = at + ${int((i + 1) * size)} | 0;\n  else `;
  });
  return [
    `  const h = Math.imul(sum ^ sum >>> 15, ${int(FLOW_MIXER)});`,
    `  const tag = h & ${int(FLOW_TAG_BITS)} | S[${int(FLOW_SEED_GENERATION)}];`,
    `  const set = ${setAt(cache, FLOW_WAYS)} + ${int(tags)} | 0;`,
    `  let at = ${setAt(cache, FLOW_WAYS * size)} + ${int(entries)} | 0;`,
    `  if (F[set] !== tag) ${others.join("")}{`,
    ...miss("-1"),
    "  }",
    `  if (${equal.join(" && ") || "true"}) return at + ${int(base.length)} | 0;`,
    ...miss(`(at - ${int(entries)} >>> ${int(Math.log2(size))}) + ${int(tags)} | 0`),
  ];
}

/** The hash's upper bits choose a set: `stride` words for each. */
function setAt({ sets }: Cache, stride: number): string {
  const shift = 32 - Math.log2(sets * stride);
  return `(h >>> ${int(shift)} & ${int((sets - 1) * stride)})`;
}
