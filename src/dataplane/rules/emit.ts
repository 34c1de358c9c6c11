// Rules' shapes as JavaScript: the functions that a worker runs for a key. The text depends on which shapes there are and on
// nothing else; what rules ask for, and how important they are, is in the tables.
//
//   look0() … pick0() … group0() … find(p)     the search through all tuples (emit-search.ts)
//   probe(p), write(at)                        the flow cache (emit-flow.ts)
//
// Names in the text, beside those functions: p the RuleProgram, K its key, F its flow cache, S the seeds of that, T the tables.
// K, F and S are arguments of the whole, since the JIT makes constants of what a closure sees and nobody assigns: a load from K is
// one instruction then, without a check of its type or its bounds.
//
// No text comes from outside: `int` (emit-int.ts) is the one way for a number into it, and only numbers vary.
// Cold; control thread.

import type { Plan } from "./compile-shape.ts";
import { emitFlow, flowEntry } from "./emit-flow.ts";
import { int } from "./emit-int.ts";
import { emitSearch } from "./emit-search.ts";

/** `asked` are all bits of a key that rules look at. */
export function emit(plan: Plan, asked: Int32Array): string {
  const entry = flowEntry(asked);
  const { size, answer, ranks } = entry;
  const sizes = `entrySize: ${int(size)}, entryAnswer: ${int(answer)}, entryRanks: ${int(ranks)}`;
  return ['"use strict";', emitSearch(plan), emitFlow(entry), `return { find, probe, write, ${sizes} };`].join("\n");
}
