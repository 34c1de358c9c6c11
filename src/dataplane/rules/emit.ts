// Rules' shapes as JavaScript: the functions that a worker runs for a key. The text depends on which shapes there are and on
// nothing else; what rules ask for, and how important they are, is in the tables.
//
//   look0() … pick0() … group0() … find(p)           the search through all tuples (emit-search.ts)
//   probe(p), write(at), broad(p), writeBroad(at)    the caches of flows (emit-flow.ts)
//   matterPorts(T, k)                                what matters of the ports of a plain frame (emit-matter.ts)
//
// Names in the text, beside those functions: p the RuleProgram, K its key, F its caches, S the seeds of those, T the tables; M, N
// and B what was found of a key (emit-look.ts).
// K, F and S are arguments of the whole, since the JIT makes constants of what a closure sees and nobody assigns: a load from K is
// one instruction then, without a check of its type or its bounds.
//
// No text comes from outside: `int` (emit-int.ts) is the one way for a number into it, and only numbers vary.
// Cold; control thread.

import type { Plan } from "./compile-shape.ts";
import { emitFlows } from "./emit-flow.ts";
import { int } from "./emit-int.ts";
import { emitMatter } from "./emit-matter.ts";

/**
 * `search` is emitSearch of the plan, which is most of the text. `asked` are all bits of a key that rules look at, `checked` those of
 * them that checks do.
 */
export function emit(plan: Plan, search: string, asked: Int32Array, checked: Int32Array): string {
  const flows = emitFlows(plan, asked, checked);
  const sizes = Object.entries(flows.sizes).map(([name, size]) => `${name}: ${int(size)}`);
  return [
    '"use strict";',
    `const M = new Int32Array(${int(plan.slices.length + 1)}), N = new Int32Array(${int(plan.slices.length + 1)});`,
    search,
    flows.text,
    emitMatter(plan, checked),
    `return { find, probe, write, broad, writeBroad, matterPorts, asked: [${[...asked].map(int).join(", ")}], ${sizes.join(", ")} };`,
  ].join("\n");
}
