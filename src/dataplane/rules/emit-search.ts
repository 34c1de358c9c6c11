// The search through all tuples, as generated functions. It is staged, so that most tuples cost a bit in a word and no more.
//
//   look0(T) …         which slices of the key some entry has: N (emit-look.ts)
//   pick0(p, T, best)  for each group whose class the key is of: tuples all of whose slices some entry has
//                        alive = -536870912 & ~(N[3] & -1073741824 | N[5] & -2147483648);
//   sift(T, at, alive) of those, the tuples whose filter says that an entry has these slices together
//   group0(p, T, best, alive) …         looks into the tables of what is left, a few in a hundred
//   hit2(p, T, t, h, best, a0, a1) …    goes through a tuple's slots for two slices, three slices, …
//   spares(p, T, best) tuples of shapes that came since the text was made, one after the other: their masks are in the tables
//   find(p)            the best rank of all, RANK_NONE without one; ranks that continue are noted by `follow` (program.ts)
//
// Only loops and jumps that few keys take are loops and jumps here: a branch that depends on the key is mispredicted half of the
// time and then costs as much as three slices. Measured with 10,000 rules of 67 shapes and flows that are all new: 73 ns, against
// 87 with a jump for each tuple and 190 with a filter for each stage of each tuple (as Open vSwitch has them); with 240 shapes
// 58 against 159. Cold; control thread.

import {
  FILTER_SLICES,
  GROUP_BEST,
  RANK_NONE,
  SLOT_EMPTY,
  SPARE_CLASS_MASK,
  SPARE_CLASS_VALUE,
  SPARE_COUNT,
  SPARE_NEXT,
  SPARE_SLICE_LENGTH,
  SPARE_SLICES,
  TABLES_AT_SPARES,
  TUPLE_BEST,
  TUPLE_FILTER,
  TUPLE_FILTER_SHIFT,
  TUPLE_LENGTH,
  TUPLE_SHIFT,
  TUPLE_SLICES,
  TUPLE_SLOTS,
} from "./compile-layout.ts";
import { type Group, type Plan, type Shape, type Slice, tupleAt, tupleBit } from "./compile-shape.ts";
import { int } from "./emit-int.ts";
import { emitLooks, hasClass, sliceText } from "./emit-look.ts";
import { KEY_CLASS } from "./key.ts";

/** Terms in one pick function, some 14 bytes of bytecode each: the JIT's last tier takes 20,000. */
const PICK_TERMS = 512;

export function emitSearch(plan: Plan): string {
  const { slices, groups } = plan;
  const indexes = new Map(slices.map((slice, index) => [slice, index]));
  const lengths = new Set(groups.flatMap(({ shapes }) => shapes.map((shape) => shape.slices.length)));
  lengths.delete(0);
  const looks = emitLooks(plan);
  const picks = picksOf(plan);
  return [
    looks.text,
    ...picks.map(emitPick),
    SIFT,
    ...groups.map((group, i) => emitGroup(group, i, indexes)),
    ...[...lengths].sort((a, b) => a - b).map(emitHit),
    SPARES,
    "function find(p) {",
    "  const T = p.tables;",
    ...looks.calls,
    `  let best = ${int(RANK_NONE)};`,
    ...picks.map((_, i) => `  best = pick${int(i)}(p, T, best);`),
    `  if (T[${int(TABLES_AT_SPARES)}] !== 0) best = spares(p, T, best);`,
    "  return best;",
    "}",
  ].join("\n");
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
    const i = Math.clz32(alive), t = at + Math.imul(i, ${int(TUPLE_LENGTH)});
    const s = ${sum(FILTER_HASH)} >>> T[t + ${int(TUPLE_FILTER_SHIFT)}];
    left |= (T[T[t + ${int(TUPLE_FILTER)}] + (s >>> 5)] >>> s & 1) << (31 - i);
    alive &= 2147483647 >>> i;
  }
  return left;
}`;

const SPARES = `function spares(p, T, best) {
  for (let t = T[${int(TABLES_AT_SPARES)}]; t !== 0; t = T[t + ${int(SPARE_NEXT)}]) {
    if (T[t + ${int(TUPLE_BEST)}] >= best) continue;
    if ((K[${int(KEY_CLASS)}] & T[t + ${int(SPARE_CLASS_MASK)}]) === T[t + ${int(SPARE_CLASS_VALUE)}]) best = spare(p, T, t, best);
  }
  return best;
}
function spare(p, T, t, best) {
  const slots = T[t + ${int(TUPLE_SLOTS)}], shift = T[t + ${int(TUPLE_SHIFT)}], count = T[t + ${int(SPARE_COUNT)}];
  if (count === 0) return follow(p, slots, best);
  let h = 0;
  for (let i = 0; i < count; i++) {
    const m = t + ${int(SPARE_SLICES)} + Math.imul(i, ${int(SPARE_SLICE_LENGTH)});
    h = h + Math.imul((K[T[m]] & T[m + 1]) >>> T[m + 2], T[m + 3]) | 0;
  }
  for (let i = h >>> shift; ; i = i + 1 & -1 >>> shift) {
    const s = slots + Math.imul(i, count + 1);
    if (T[s] === ${int(SLOT_EMPTY)}) return best;
    let left = count;
    while (left !== 0) {
      const m = t + ${int(SPARE_SLICES - SPARE_SLICE_LENGTH)} + Math.imul(left, ${int(SPARE_SLICE_LENGTH)});
      if (T[s + left] !== ((K[T[m]] & T[m + 1]) >>> T[m + 2] | 0)) break;
      left--;
    }
    if (left === 0) return follow(p, T[s], best);
  }
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
        : `hit${int(slices.length)}(p, T, ${int(at)}, ${sum(hash)}, best, ${slices.map((slice) => sliceText(slice)).join(", ")})`;
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
