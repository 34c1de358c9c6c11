// Compiled rules against the interpreter, on random rules and frames of all kinds: each frame is decided as a new flow, as a
// known one, among others, after a swap to rules that differ in one, and after the swap back. One program runs them all, so
// that whatever it keeps from one set of rules could show in the next.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { interpret } from "../../../src/dataplane/rules/interpret.ts";
import type { RuleProgram } from "../../../src/dataplane/rules/program.ts";
import { byRank, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { anyFrame, anyPort } from "../../support/random-frames.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { keyOf } from "./parsed.ts";
import { programFor, ranksFor } from "./program-answers.ts";

const RUNS = sized(1_500, 60_000);
const LONG_MS = 3_600_000;

interface Arrival {
  port: number;
  frame: Uint8Array;
}

const anyArrivals = fc.array(fc.record({ port: anyPort, frame: anyFrame }), { minLength: 1, maxLength: 12 });

/** Decides every frame twice, and then all of them once more; returns how many met a rule. */
function check(program: RuleProgram, rules: readonly Rule[], arrivals: readonly Arrival[]): number {
  const all = arrivals.map(({ port, frame }) => ({ key: keyOf(frame, port), expected: interpret(rules, port, frame) }));
  for (const { key, expected } of all) {
    expect(["new", ranksFor(program, key)]).toEqual(["new", expected]);
    expect(["known", ranksFor(program, key)]).toEqual(["known", expected]);
  }
  for (const { key, expected } of all.toReversed())
    expect(["among others", ranksFor(program, key)]).toEqual(["among others", expected]);
  return all.filter(({ expected }) => expected.length > 0).length;
}

/** One rule replaced by another, or taken out. */
function changed(rules: readonly Rule[], index: number, by: readonly Rule[]): Rule[] {
  const kept = rules.filter((_, i) => i !== index % Math.max(1, rules.length));
  return [...kept, ...by.map((rule) => ({ ...rule, id: 1000 }))].sort(byRank);
}

test(
  "the program decides every frame as the interpreter does",
  () => {
    const program = programFor([]);
    let [met, several] = [0, 0];
    fc.assert(
      fc.property(anyRules(14), anyRules(1), fc.nat(13), anyArrivals, (rules, other, index, arrivals) => {
        const compiler = new RuleCompiler();
        const first = compiler.compile(rules);
        program.swap(first.tables, first.source);
        met += check(program, rules, arrivals);
        const next = changed(rules, index, other);
        const second = compiler.compile(next);
        program.swap(second.tables, second.source);
        check(program, next, arrivals);
        program.swap(first.tables, first.source);
        check(program, rules, arrivals);
        if (arrivals.some(({ port, frame }) => interpret(rules, port, frame).length > 1)) several++;
      }),
      { numRuns: RUNS },
    );
    // Where no frame meets a rule, or never two, this would say little.
    expect(met).toBeGreaterThan(RUNS);
    expect(several).toBeGreaterThan(RUNS / 8);
  },
  LONG_MS,
);
