// What a program says of a key or a frame, as a list of ranks, for tests of the compiler.

import { type CompiledRules, compileRules } from "../../../src/dataplane/rules/compile.ts";
import { decide, type ProgramOptions, RuleProgram } from "../../../src/dataplane/rules/program.ts";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";

/** The ranks that apply to a key, in order. */
export function ranksFor(program: RuleProgram, key: Int32Array): number[] {
  program.key.set(key);
  return answerAt(program, decide(program));
}

/** An answer that `decide` returned. */
export function answerAt(program: RuleProgram, at: number): number[] {
  return [...program.flows.subarray(at + 1, at + 1 + program.flows[at])];
}

export function programOf({ tables, source }: CompiledRules, options?: ProgramOptions): RuleProgram {
  return new RuleProgram(tables, source, options);
}

/** A program for rules in rank order. */
export function programFor(rules: readonly Rule[], options?: ProgramOptions): RuleProgram {
  return programOf(compileRules(rules), options);
}
