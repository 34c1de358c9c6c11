// The search through all tuples, as generated functions: staged, so that most tuples cost a bit in a word and no more.
//
//   look0(T) …         once for all tuples: each slice of the key, its product in M, and in N 0 if some entry has it, else -1
//                        m = Math.imul(K[12] >>> 24, 668265263); M[3] = m;
//                        s = m >>> T[11]; N[3] = (T[T[10] + (s >>> 5)] >>> s & 1) - 1 | 0;
//   pick0(p, T, best)  for each group whose class the key is of: tuples all of whose slices some entry has
//                        alive = -536870912 & ~(N[3] & -1073741824 | N[5] & -2147483648);
//   sift(T, at, alive) of those, the tuples whose filter says that an entry has these slices together
//   group0(p, T, best, alive) …         looks into the tables of what is left, a few in a hundred
//   hit2(p, T, t, h, best, a0, a1) …    goes through a tuple's slots for two slices, three slices, …
//   find(p)            the best rank of all, RANK_NONE without one; ranks that continue are noted by `follow` (program.ts)
//
// Only loops and jumps that few keys take are loops and jumps here: a branch that depends on the key is mispredicted half of the
// time and then costs as much as three slices. Measured with 10,000 rules of 67 shapes and flows that are all new: 73 ns, against
// 87 with a jump for each tuple and 190 with a filter for each stage of each tuple (as Open vSwitch has them); with 240 shapes
// 58 against 159.
//
// Functions have at most so many parts that the JIT's last tier takes them. Cold; control thread.

import {
  FILTER_SLICES,
  GROUP_BEST,
  RANK_NONE,
  SLICE_FILTER,
  SLICE_SHIFT,
  SLOT_EMPTY,
  TUPLE_BEST,
  TUPLE_FILTER,
  TUPLE_FILTER_SHIFT,
  TUPLE_SHIFT,
  TUPLE_SLICES,
  TUPLE_SLOTS,
  TUPLE_WORDS,
} from "./compile-layout.ts";
import { type Group, type Plan, type Shape, type Slice, sliceAt, tupleAt, tupleBit } from "./compile-shape.ts";
import { int } from "./emit-int.ts";
import { KEY_CLASS } from "./key.ts";

/** Slices in one look function. */
const LOOK_SLICES = 32;
/** Terms in one pick function, some 14 bytes of bytecode each: the JIT's last tier takes 20,000. */
const PICK_TERMS = 512;

export function emitSearch(plan: Plan): string {
  const { slices, groups } = plan;
  const indexes = new Map(slices.map((slice, index) => [slice, index]));
  const lengths = new Set(groups.flatMap(({ shapes }) => shapes.map((shape) => shape.slices.length)));
  lengths.delete(0);
  const looks = chunks(looksOf(plan), LOOK_SLICES);
  const picks = picksOf(plan);
  return [
    `const M = new Int32Array(${int(slices.length + 1)}), N = new Int32Array(${int(slices.length + 1)});`,
    ...looks.map(emitLook),
    ...picks.map(emitPick),
    SIFT,
    ...groups.map((group, i) => emitGroup(group, i, indexes)),
    ...[...lengths].sort((a, b) => a - b).map(emitHit),
    "function find(p) {",
    "  const T = p.tables;",
    ...looks.map((_, i) => `  look${int(i)}(T);`),
    `  let best = ${int(RANK_NONE)};`,
    ...picks.map((_, i) => `  best = pick${int(i)}(p, T, best);`),
    "  return best;",
    "}",
  ].join("\n");
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}

/** A slice's part of a look function, and the class bits without which no tuple asks for it. */
interface Look {
  readonly text: string;
  readonly needs: number;
}

/** Those with the same needs are neighbours. */
function looksOf({ slices, groups }: Plan): Look[] {
  const shapes = groups.flatMap((group) => group.shapes);
  const looks = slices.map((slice, i) => {
    const users = shapes.filter((shape) => shape.slices.includes(slice));
    const needs = users.reduce((bits, { classValue }) => bits & classValue, -1);
    const at = sliceAt(i);
    const text = `  m = Math.imul(${sliceText(slice)}, ${int(slice.multiplier)});
  M[${int(i)}] = m;
  s = m >>> T[${int(at + SLICE_SHIFT)}];
  N[${int(i)}] = (T[T[${int(at + SLICE_FILTER)}] + (s >>> 5)] >>> s & 1) - 1 | 0;`;
    return { text, needs };
  });
  return looks.sort((a, b) => a.needs - b.needs);
}

function emitLook(looks: readonly Look[], index: number): string {
  const blocks = [...Map.groupBy(looks, ({ needs }) => needs)].map(([needs, alike]) => {
    const text = alike.map((look) => look.text).join("\n");
    return needs === 0 ? text : `  if (${hasClass(needs, needs)}) {\n${text}\n  }`;
  });
  return `function look${int(index)}(T) {
  let m = 0, s = 0;
${blocks.join("\n")}
}`;
}

function hasClass(mask: number, value: number): string {
  return `(K[${int(KEY_CLASS)}] & ${int(mask)}) === ${int(value)}`;
}

/** The same as sliceOf in compile-shape.ts; an AND that the shift does anyhow is left out. */
function sliceText({ word, mask, shift }: Slice): string {
  const k = `K[${int(word)}]`;
  if (mask === -1) return k;
  if (mask === -1 << shift) return `${k} >>> ${int(shift)}`;
  return shift === 0 ? `${k} & ${int(mask)}` : `(${k} & ${int(mask)}) >>> ${int(shift)}`;
}

/** The groups' parts of the pick functions. */
function picksOf({ slices, groups }: Plan): string[][] {
  const functions: string[][] = [];
  let room = 0;
  groups.forEach(({ classMask, classValue, shapes, at }, index) => {
    const missing = slices.flatMap((slice, i) => {
      const users = tupleBits(shapes, (shape) => shape.slices.includes(slice));
      return users === 0 ? [] : [`N[${int(i)}] & ${int(users)}`];
    });
    const isOfClass = classMask === 0 ? "" : `${hasClass(classMask, classValue)} && `;
    if (functions.length === 0 || room < missing.length) {
      functions.push([]);
      room = PICK_TERMS;
    }
    room -= missing.length;
    functions.at(-1)!.push(`  if (${isOfClass}T[${int(at + GROUP_BEST)}] < best) {
    alive = ${int(tupleBits(shapes, () => true))} & ~(${missing.join(" | ") || "0"});
    if (alive !== 0) best = group${int(index)}(p, T, best, alive);
  }`);
  });
  return functions;
}

function tupleBits(shapes: readonly Shape[], of: (shape: Shape) => boolean): number {
  return shapes.reduce((bits, shape, i) => (of(shape) ? bits | tupleBit(i) : bits), 0);
}

function emitPick(picks: readonly string[], index: number): string {
  return `function pick${int(index)}(p, T, best) {
  let alive = 0;
${picks.join("\n")}
  return best;
}`;
}

/** What is not there has the index of a product that is always 0. */
const FILTER_HASH = Array.from({ length: FILTER_SLICES }, (_, i) => `M[T[t + ${int(TUPLE_SLICES + i)}]]`);

const SIFT = `function sift(T, at, alive) {
  let left = 0;
  while (alive !== 0) {
    const i = Math.clz32(alive), t = at + Math.imul(i, ${int(TUPLE_WORDS)});
    const s = ${sum(FILTER_HASH)} >>> T[t + ${int(TUPLE_FILTER_SHIFT)}];
    left |= (T[T[t + ${int(TUPLE_FILTER)}] + (s >>> 5)] >>> s & 1) << (31 - i);
    alive &= 2147483647 >>> i;
  }
  return left;
}`;

/** Cut to 32 bits at each step: the JIT does not see by itself that those further inside would be. */
function sum(terms: readonly string[]): string {
  return terms.reduce((before, term) => `(${before} + ${term} | 0)`);
}

function emitGroup(group: Group, index: number, indexes: ReadonlyMap<Slice, number>): string {
  const cases = group.shapes.map(({ slices }, i) => {
    const at = tupleAt(group, i);
    const hash = slices.map((slice) => `M[${int(indexes.get(slice))}]`);
    const found =
      slices.length === 0
        ? `follow(p, T[${int(at + TUPLE_SLOTS)}], best)`
        : `hit${int(slices.length)}(p, T, ${int(at)}, ${sum(hash)}, best, ${slices.map(sliceText).join(", ")})`;
    return `    case ${int(i)}: best = ${found}; break;`;
  });
  return `function group${int(index)}(p, T, best, alive) {
  alive = sift(T, ${int(tupleAt(group, 0))}, alive);
  while (alive !== 0) {
    const i = Math.clz32(alive);
    switch (i) {
${cases.join("\n")}
    }
    alive &= 2147483647 >>> i;
  }
  return best;
}`;
}

function emitHit(length: number): string {
  const names = Array.from({ length }, (_, i) => `a${int(i)}`);
  const equal = names.map((name, i) => `T[s + ${int(i + 1)}] === ${name}`);
  return `function hit${int(length)}(p, T, t, h, best, ${names.join(", ")}) {
  if (T[t + ${int(TUPLE_BEST)}] >= best) return best;
  const slots = T[t + ${int(TUPLE_SLOTS)}], shift = T[t + ${int(TUPLE_SHIFT)}];
  let i = h >>> shift;
  for (;;) {
    const s = slots + Math.imul(i, ${int(length + 1)}), answer = T[s];
    if (answer === ${int(SLOT_EMPTY)}) return best;
    if (${equal.join(" && ")}) return follow(p, answer, best);
    i = i + 1 & -1 >>> shift;
  }
}`;
}
