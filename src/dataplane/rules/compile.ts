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
import { ENTRIES_MAX, RULES_MAX, SHAPES_MAX } from "./compile-layout.ts";
import { type Expansion, expand } from "./compile-match.ts";
import { planOf, Shapes } from "./compile-shape.ts";
import { buildTables, type Tuple, tuplesOf } from "./compile-tables.ts";
import { emit } from "./emit.ts";
import { KEY_CLASS } from "./key.ts";
import type { Rule } from "./rule.ts";
import { RuleLimitError } from "./rule-limit.ts";

/** What workers need to run rules: plain data that may lie in shared memory, and the text of the functions that read it. */
export interface CompiledRules {
  /** Without addresses: may be copied to anywhere that is aligned to a word. */
  tables: Int32Array;
  /** Depends on the shapes of matches in use, not on their values: unchanged text means that the JIT's code is used again. */
  source: string;
}

/** Shapes that no rule uses any more are kept up to here, which is cheaper than counting their users. */
const SHAPES_KEPT = 8 * SHAPES_MAX;

/** What a rule expands to. */
interface Known {
  /** With its ranges left to check. */
  readonly checked: Expansion;
  /** With one of them cut into prefixes: used from when such rules stood in a crowd. */
  cut?: Expansion;
}

/** Compiles again and again, and keeps what did not change. A Rule is known by identity: it must not change once it was given. */
export class RuleCompiler {
  #shapes = new Shapes();
  #known = new WeakMap<Rule, Known>();
  /** Those compiled last, and what is known of each. */
  #rules: readonly Rule[] = [];
  #all: readonly Known[] = [];

  /** `rules` in the order of rank (`byRank`). Throws RingyardError LIMIT, or BAD_REQUEST for what is no rule. */
  compile(rules: readonly Rule[]): CompiledRules {
    if (rules.length > RULES_MAX) throw tooMany(`${rules.length} rules`, RULES_MAX);
    if (this.#shapes.count > SHAPES_KEPT) {
      this.#shapes = new Shapes();
      this.#known = new WeakMap();
      this.#rules = [];
    }
    const all = this.#knownOf(rules);
    this.#rules = [...rules];
    this.#all = all;
    const expansions = all.map(({ checked, cut }) => cut ?? checked);
    let tuples = tuplesOf(expansions, this.#shapes.count);
    if (excess(tuples) !== undefined) {
      // Without prefixes it may be less.
      all.forEach((known, rank) => {
        if (known.cut !== undefined) known.cut = known.checked;
        expansions[rank] = known.checked;
      });
      tuples = tuplesOf(expansions, this.#shapes.count);
      const refusal = excess(tuples);
      if (refusal !== undefined) throw refusal;
    }
    const { compiled, crowded } = build(expansions, tuples);
    return this.#thinned(rules, expansions, crowded) ?? compiled;
  }

  /** The same with the ranges of crowded rules cut; undefined where that is too much, or was done before. */
  #thinned(rules: readonly Rule[], expansions: Expansion[], crowded: readonly number[]): CompiledRules | undefined {
    const ranks = [...new Set(crowded)].filter((rank) => this.#all[rank].cut === undefined);
    if (ranks.length === 0) return undefined;
    for (const rank of ranks) {
      expansions[rank] = expand(rules[rank], this.#shapes, true);
      this.#all[rank].cut = expansions[rank];
    }
    const tuples = tuplesOf(expansions, this.#shapes.count);
    if (excess(tuples) === undefined) return build(expansions, tuples).compiled;
    for (const rank of ranks) this.#all[rank].cut = this.#all[rank].checked;
    return undefined;
  }

  /** A look-up costs more than the rest, and mostly all rules but one are those of last time. */
  #knownOf(rules: readonly Rule[]): Known[] {
    let last = 0;
    let entries = 0;
    return rules.map((rule) => {
      if (this.#rules[last] !== rule && this.#rules[last + 1] === rule) last++;
      const known = this.#rules[last] === rule ? this.#all[last++] : this.#expansionOf(rule);
      entries += known.checked.shapes.length;
      if (entries > ENTRIES_MAX) {
        const { message, next } = tooMany(
          `combinations of values in the rules' lists, at rule ${rule.id}`,
          ENTRIES_MAX,
        );
        const problem = `with it the lists of all rules make more than ${ENTRIES_MAX} combinations of values`;
        throw new RuleLimitError(rule.id, problem, next, message);
      }
      return known;
    });
  }

  #expansionOf(rule: Rule): Known {
    let known = this.#known.get(rule);
    if (known === undefined) {
      known = { checked: expand(rule, this.#shapes, false) };
      this.#known.set(rule, known);
    }
    return known;
  }
}

/** Compiles from scratch. */
export function compileRules(rules: readonly Rule[]): CompiledRules {
  return new RuleCompiler().compile(rules);
}

function tooMany(what: string, most: number): RingyardError {
  return new RingyardError("LIMIT", `too many rules to compile: ${what}, at most ${most}`, "use fewer or broader ones");
}

function build(expansions: readonly Expansion[], tuples: readonly Tuple[]) {
  const plan = planOf(tuples.map(({ shape }) => shape));
  const { words, checked, crowded } = buildTables(expansions, plan, tuples);
  const asked = checked.slice();
  for (const { classMask } of plan.groups) asked[KEY_CLASS] |= classMask;
  for (const { word, mask } of plan.slices) asked[word] |= mask;
  return { compiled: { tables: words, source: emit(plan, asked, checked) }, crowded };
}

/** What is too much, or undefined. */
function excess(tuples: readonly Tuple[]): RingyardError | undefined {
  if (tuples.length > SHAPES_MAX) {
    return tooMany(`matches of ${tuples.length} shapes (fields and prefix lengths)`, SHAPES_MAX);
  }
  const entries = tuples.reduce((sum, { count }) => sum + count, 0);
  return entries > ENTRIES_MAX ? tooMany("combinations of values", ENTRIES_MAX) : undefined;
}
