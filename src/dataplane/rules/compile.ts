// Rules into tables and source text: tuple space search (Srinivasan, Suri, Varghese 1999), as in Open vSwitch's classifier,
// with the shapes of tuples compiled into JavaScript.
//
//   rules by rank --compile-match--> entries --compile-shape--> tuples --compile-tables--> tables     (values)
//                                                                     \--emit-----------> source     (shapes)
//
// A RuleCompiler keeps what a rule expands to, so that a change of one rule among 10,000 costs the tables alone (6 ms against 25).
// The source stays the same for as long as there are the same shapes, so that workers keep their machine code.
// Cold; control thread.

import { RingyardError } from "../../core/errors.ts";
import { CHECK_LENGTH, ENTRIES_MAX, RULES_MAX, SHAPES_MAX } from "./compile-layout.ts";
import { type Expansion, expand } from "./compile-match.ts";
import { planOf, type Shape, Shapes } from "./compile-shape.ts";
import { buildTables, type Tuple, tuplesOf } from "./compile-tables.ts";
import { emit } from "./emit.ts";
import { KEY_CLASS, KEY_WORDS } from "./key.ts";
import type { Rule } from "./rule.ts";

/** What workers need to run rules: plain data that may lie in shared memory, and the text of the functions that read it. */
export interface CompiledRules {
  /** Without addresses: may be copied to anywhere that is aligned to a word. */
  tables: Int32Array;
  /** Depends on the shapes of matches in use, not on their values: unchanged text means that the JIT's code is used again. */
  source: string;
}

/** Shapes that no rule uses any more are kept up to here, which is cheaper than counting their users. */
const SHAPES_KEPT = 8 * SHAPES_MAX;

/** What a rule expands to: with its ranges left to check, and with one of them cut into prefixes. */
interface Known {
  readonly checked: Expansion;
  cut?: Expansion;
}

/** Compiles again and again, and keeps what did not change. A Rule is known by identity: it must not change once it was given. */
export class RuleCompiler {
  #shapes = new Shapes();
  #known = new WeakMap<Rule, Known>();

  /** `rules` in the order of rank (`byRank`). Throws RingyardError LIMIT, or BAD_REQUEST for what is no rule. */
  compile(rules: readonly Rule[]): CompiledRules {
    if (rules.length > RULES_MAX) throw tooMany(`${rules.length} rules`, RULES_MAX);
    if (this.#shapes.count > SHAPES_KEPT) {
      this.#shapes = new Shapes();
      this.#known = new WeakMap();
    }
    const expansions = this.#expand(rules);
    const tuples = tuplesOf(expansions);
    if (tuples.size > SHAPES_MAX)
      throw tooMany(`matches of ${tuples.size} shapes (fields and prefix lengths)`, SHAPES_MAX);
    const { compiled, crowded } = build(expansions, tuples);
    if (crowded.length === 0) return compiled;
    for (const rank of crowded) expansions[rank] = this.#cutOf(rules[rank]);
    const cut = tuplesOf(expansions);
    const entries = cut.values().reduce((sum, { count }) => sum + count, 0);
    return cut.size > SHAPES_MAX || entries > ENTRIES_MAX ? compiled : build(expansions, cut).compiled;
  }

  #expand(rules: readonly Rule[]): Expansion[] {
    let entries = 0;
    return rules.map((rule) => {
      const { checked } = this.#knownOf(rule);
      entries += checked.shapes.length;
      if (entries > ENTRIES_MAX)
        throw tooMany(`combinations of values in the rules' lists, at rule ${rule.id}`, ENTRIES_MAX);
      return checked;
    });
  }

  #knownOf(rule: Rule): Known {
    let known = this.#known.get(rule);
    if (known === undefined) {
      known = { checked: expand(rule, this.#shapes, false) };
      this.#known.set(rule, known);
    }
    return known;
  }

  #cutOf(rule: Rule): Expansion {
    const known = this.#knownOf(rule);
    known.cut ??= expand(rule, this.#shapes, true);
    return known.cut;
  }
}

/** Compiles from scratch. */
export function compileRules(rules: readonly Rule[]): CompiledRules {
  return new RuleCompiler().compile(rules);
}

function tooMany(what: string, most: number): RingyardError {
  return new RingyardError("LIMIT", `too many rules to compile: ${what}, at most ${most}`, "use fewer or broader ones");
}

function build(expansions: readonly Expansion[], tuples: ReadonlyMap<Shape, Tuple>) {
  const plan = planOf([...tuples.keys()]);
  const { words, crowded } = buildTables(expansions, plan, tuples);
  const checked = checkedBits(expansions);
  const asked = checked.slice();
  for (const { classMask } of plan.groups) asked[KEY_CLASS] |= classMask;
  for (const { word, mask } of plan.slices) asked[word] |= mask;
  return { compiled: { tables: words, source: emit(plan, asked, checked) }, crowded };
}

/** All bits of a key that any check looks at. */
function checkedBits(expansions: readonly Expansion[]): Int32Array {
  const checked = new Int32Array(KEY_WORDS);
  for (const { checks } of expansions) {
    for (const check of checks) {
      for (let at = 0; at < check.length; at += CHECK_LENGTH) checked[check[at]] |= check[at + 1];
    }
  }
  return checked;
}
