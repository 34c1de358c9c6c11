// The generated function for plain-broad.ts that says which bits of both ports matter for a frame of TCP or UDP in plain IPv4. Of its
// addresses the tables say it (compile-prefixes.ts).
//
//   matterPorts(T, k)    bits that checks look at | bits of those of the word's slices that some entry has
//
//   function part0(T, k) {
//     const f6 = T[36], s6 = T[37];
//     let m = 0, w = 0, b0 = 0;
//     m = Math.imul(k >>> 16, 668265263); w = T[f6 + (m >>> s6) | 0]; b0 |= Math.imul(w >>> m & w >>> (m >>> 5) & 1, -65536);
//     return b0;
//   }
//
// It is what narrow functions (emit-look.ts) say of a key. Cold; control thread.

import { TABLES_CHECKED, WORD_CELLS, WORD_SHIFT } from "./compile-layout.ts";
import { isOfPlain, type Plan, type Slice, wordAt } from "./compile-shape.ts";
import { int } from "./emit-int.ts";
import { chunks, IS_THERE, lookUp, SLICES_MAX } from "./emit-look.ts";
import { KEY_PORTS } from "./key.ts";

const WORD = int(KEY_PORTS);

/** What is `checked` now need not be looked for. */
export function emitMatter({ groups }: Plan, checked: Int32Array): string {
  const asking = groups.filter(isOfPlain).flatMap(({ shapes }) => shapes.flatMap(({ slices }) => slices));
  const slices = [...new Set(asking)].filter(({ word, mask }) => word === KEY_PORTS && (mask & ~checked[word]) !== 0);
  const parts = chunks(slices, SLICES_MAX);
  const calls = parts.map((_, i) => ` | part${int(i)}(T, k)`).join("");
  return [
    ...parts.map(emitPart),
    `function matterPorts(T, k) {\n  return T[${int(TABLES_CHECKED + KEY_PORTS)}]${calls};\n}`,
  ].join("\n");
}

function emitPart(slices: readonly Slice[], index: number): string {
  return [
    `function part${int(index)}(T, k) {`,
    `  const f${WORD} = T[${int(wordAt(KEY_PORTS) + WORD_CELLS)}], s${WORD} = T[${int(wordAt(KEY_PORTS) + WORD_SHIFT)}];`,
    "  let m = 0, w = 0, b0 = 0;",
    ...slices.flatMap((slice) => [...lookUp(slice, "k"), `  b0 |= Math.imul(${IS_THERE}, ${int(slice.mask)});`]),
    "  return b0;\n}",
  ].join("\n");
}
