// Rules into tables and source text: tuple space search (Srinivasan, Suri, Varghese 1999), as in Open vSwitch's classifier,
// with the shapes of tuples compiled into JavaScript.
//
//   rules by rank --compile-match--> entries --compile-shape--> tuples --compile-tables--> tables     (values)
//                                                                     \--emit-----------> source     (shapes)
//
// A RuleCompiler keeps what a rule expands to and the tables that it made last. Where some of thousands of rules come or go, it changes
// those tables in place: 10,000 rules less one are compiled in a hundredth of the time. What that leaves behind goes with the next `renew`.
// The source stays the same for as long as shapes do, or new ones are few, so that workers keep their machine code.
// Cold; control thread.

import { RingyardError } from "../../core/errors.ts";
import { atOnce, eachInSteps, type Steps } from "../../core/turns.ts";
import { ENTRIES_MAX, RULES_MAX, SHAPES_MAX } from "./compile-layout.ts";
import { type Expansion, expand } from "./compile-match.ts";
import { type Plan, planOf, Shapes } from "./compile-shape.ts";
import { RuleTables, type Tuple, tuplesOf } from "./compile-tables.ts";
import { emit } from "./emit.ts";
import { emitSearch } from "./emit-search.ts";
import type { Rule } from "./rule.ts";
import { comparing, type RuleChange } from "./rule-change.ts";
import { RuleLimitError } from "./rule-limit.ts";

/** What workers need to run rules: plain data that may lie in shared memory, and the text of the functions that read it. */
export interface CompiledRules {
  /** Without addresses: may be copied to anywhere that is aligned to a word. Valid until the compiler compiles again. */
  tables: Int32Array;
  /** Depends on the shapes of matches in use, not on their values: unchanged text means that the JIT's code is used again. */
  source: string;
}

/** Shapes that no rule uses any more are kept up to here, which is cheaper than counting their users. */
const SHAPES_KEPT = 8 * SHAPES_MAX;

/** When tables are changed in place. */
interface Patching {
  /** Fewer rules are compiled anew in the same time. */
  readonly rulesMin: number;
  /** More changes, by the rules that there are, make more of a mess than new tables cost. */
  readonly partMax: number;
}

const PATCHING: Patching = { rulesMin: 256, partMax: 1 / 8 };

/** What a rule expands to. */
interface Known {
  /** With its ranges left to check. */
  readonly checked: Expansion;
  /** With one of them cut into prefixes: used from when such rules stood in a crowd. */
  cut?: Expansion;
}

interface Built {
  readonly plan: Plan;
  readonly tables: RuleTables;
  readonly search: string;
  source: string;
  /** What the source was made for. */
  asked: Int32Array;
}

/** Compiles again and again, and keeps what did not change. A Rule is known by identity: it must not change once it was given. */
export class RuleCompiler {
  #shapes = new Shapes();
  #known = new WeakMap<Rule, Known>();
  /** Those compiled last, and what is known of each. */
  #rules: readonly Rule[] = [];
  #all: readonly Known[] = [];
  /** Their tables; undefined where they were refused. */
  #built: Built | undefined;

  constructor(private readonly patching = PATCHING) {}

  /** Whether what changes left in the tables costs new flows some time, so that `renew` is worth its own. */
  get worn(): boolean {
    return this.#built?.tables.worn ?? false;
  }

  /** The next time all is compiled anew. */
  renew(): void {
    this.#built = undefined;
  }

  /** `rules` in the order of rank (`byRank`). Throws RingyardError LIMIT, or BAD_REQUEST for what is no rule. */
  compile(rules: readonly Rule[]): CompiledRules {
    return atOnce(this.compiling(rules));
  }

  /** The same in steps; until the last of them the compiler is asked for nothing else. */
  *compiling(rules: readonly Rule[]): Steps<CompiledRules> {
    const built = this.#built;
    if (built !== undefined && (yield* this.#patch(built, rules))) return compiledOf(built);
    return yield* this.#compileAll(rules);
  }

  /** False where that cannot be done, or is not worth it. */
  *#patch(built: Built, rules: readonly Rule[]): Steps<boolean> {
    const { rulesMin, partMax } = this.patching;
    if (rules.length < rulesMin || rules.length > RULES_MAX) return false;
    if (this.#shapes.count > SHAPES_KEPT || built.tables.spent) return false;
    const change = yield* comparing(this.#rules, rules);
    if (change === undefined || change.added.length + change.removed.length > partMax * rules.length) return false;
    const known = yield* eachInSteps(change.added, (rank) => this.#expansionOf(rules[rank]));
    const all = knownAfter(this.#all, known, change);
    const { tables } = built;
    yield;
    // Until it is whole again.
    this.#built = undefined;
    for (const rank of change.removed) {
      tables.remove(expansionIn(this.#all[rank]), rank);
      yield;
    }
    tables.renumber(change.ranks);
    yield;
    for (const [i, rank] of change.added.entries()) {
      if (!tables.add(expansionIn(known[i]), rank)) return false;
      yield;
    }
    if (tables.entries > ENTRIES_MAX) return false;
    const isCrowded = tables.finish(rules.length).some((rank) => all[rank].cut === undefined);
    if (isCrowded) return false;
    if (tables.asked.some((mask, word) => mask !== built.asked[word])) {
      built.asked = tables.asked.slice();
      built.source = emit(built.plan, built.search, tables.asked, tables.checked);
    }
    this.#built = built;
    this.#rules = rules.slice();
    this.#all = all;
    return true;
  }

  *#compileAll(rules: readonly Rule[]): Steps<CompiledRules> {
    if (rules.length > RULES_MAX) throw tooMany(`${rules.length} rules`, RULES_MAX);
    if (this.#shapes.count > SHAPES_KEPT) {
      this.#shapes = new Shapes();
      this.#known = new WeakMap();
      this.#rules = [];
      this.#built = undefined;
    }
    const all = yield* this.#knownOf(rules);
    this.#built = undefined;
    this.#rules = rules.slice();
    this.#all = all;
    const expansions = all.map(expansionIn);
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
    yield;
    const { built, crowded } = yield* build(expansions, tuples);
    this.#built = (yield* this.#thinned(rules, expansions, crowded)) ?? built;
    return compiledOf(this.#built);
  }

  /** The same with the ranges of crowded rules cut; undefined where that is too much, or was done before. */
  *#thinned(rules: readonly Rule[], expansions: Expansion[], crowded: readonly number[]): Steps<Built | undefined> {
    const ranks = [...new Set(crowded)].filter((rank) => this.#all[rank].cut === undefined);
    if (ranks.length === 0) return undefined;
    for (const rank of ranks) {
      expansions[rank] = expand(rules[rank], this.#shapes, true);
      this.#all[rank].cut = expansions[rank];
      yield;
    }
    const tuples = tuplesOf(expansions, this.#shapes.count);
    if (excess(tuples) === undefined) return (yield* build(expansions, tuples)).built;
    for (const rank of ranks) this.#all[rank].cut = this.#all[rank].checked;
    return undefined;
  }

  /** A look-up costs more than the rest, and mostly rules are those of last time. */
  #knownOf(rules: readonly Rule[]): Steps<Known[]> {
    let last = 0;
    let entries = 0;
    return eachInSteps(rules, (rule) => {
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

function* build(
  expansions: readonly Expansion[],
  tuples: readonly Tuple[],
): Steps<{ built: Built; crowded: number[] }> {
  const plan = planOf(tuples.map(({ shape }) => shape));
  const tables = new RuleTables(plan, tuples);
  yield;
  for (const [rank, expansion] of expansions.entries()) {
    tables.add(expansion, rank);
    yield;
  }
  const crowded = tables.finish(expansions.length);
  yield;
  const asked = tables.asked.slice();
  const search = emitSearch(plan);
  return { built: { plan, tables, search, source: emit(plan, search, asked, tables.checked), asked }, crowded };
}

function expansionIn({ checked, cut }: Known): Expansion {
  return cut ?? checked;
}

function compiledOf({ tables, source }: Built): CompiledRules {
  return { tables: tables.tables, source };
}

/** By rank: those that stay, and `came` where rules were added. */
function knownAfter(before: readonly Known[], came: readonly Known[], { added, ranks }: RuleChange): Known[] {
  const all = new Array<Known>(ranks[before.length]);
  for (let rank = 0; rank < before.length; rank++) if (ranks[rank] >= 0) all[ranks[rank]] = before[rank];
  for (let i = 0; i < added.length; i++) all[added[i]] = came[i];
  return all;
}

/** What is too much, or undefined. */
function excess(tuples: readonly Tuple[]): RingyardError | undefined {
  if (tuples.length > SHAPES_MAX) {
    return tooMany(`matches of ${tuples.length} shapes (fields and prefix lengths)`, SHAPES_MAX);
  }
  const entries = tuples.reduce((sum, { count }) => sum + count, 0);
  return entries > ENTRIES_MAX ? tooMany("combinations of values", ENTRIES_MAX) : undefined;
}
