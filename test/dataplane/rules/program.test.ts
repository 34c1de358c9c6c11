// A program through the rules it is given: what it takes, what it keeps from one set of rules to the next.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileRules, RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { RuleProgram } from "../../../src/dataplane/rules/program.ts";
import { byRank } from "../../../src/dataplane/rules/rule.ts";
import { anyFrame, anyPort } from "../../support/random-frames.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { keyOf } from "./parsed.ts";
import { programFor, programOf, ranksFor } from "./program-answers.ts";
import { rulesOf } from "./rules-of.ts";

const LONG_MS = 600_000;
const EMPTY_KEY = new Int32Array(KEY_WORDS);
const DROP = { do: "drop" } as const;

test("tables that are none are refused, and the rules before go on", () => {
  const { tables, source } = compileRules(rulesOf([5, {}, DROP]));
  expect(() => new RuleProgram(new Int32Array(64), source)).toThrow("no tables of rules");
  expect(() => new RuleProgram(new Int32Array(0), source)).toThrow("no tables of rules");
  const program = new RuleProgram(tables, source);
  expect(() => program.swap(tables.subarray(0, tables.length - 1), source)).toThrow("no tables of rules");
  expect(() => program.swap(compileRules([]).tables, "this is no program")).toThrow();
  expect(ranksFor(program, EMPTY_KEY)).toEqual([0]);
});

test("tables may lie in shared memory, with room behind them", () => {
  const { tables, source } = compileRules(rulesOf([5, { arp: 1 }], [5, {}, DROP]));
  const shared = new Int32Array(new SharedArrayBuffer(4 * tables.length + 400), 200, tables.length + 50);
  shared.fill(-1);
  shared.set(tables);
  expect(ranksFor(new RuleProgram(shared, source), EMPTY_KEY)).toEqual([1]);
});

test("functions of a source are made once, and found again after other sources", () => {
  const [a, b] = [compileRules(rulesOf([5, { arp: 1 }])), compileRules(rulesOf([5, { in: 1 }]))];
  const program = programOf(a);
  const { find } = program;
  program.swap(compileRules(rulesOf([7, { arp: 0 }, DROP], [6, { arp: 1 }])).tables, a.source);
  expect(program.find).toBe(find);
  program.swap(b.tables, b.source);
  expect(program.find).not.toBe(find);
  program.swap(a.tables, a.source);
  expect(program.find).toBe(find);
});

test("key, flows and seeds are the same arrays for good: machine code has them as constants", () => {
  const program = programFor(rulesOf([5, { arp: 1 }]));
  const { key, flows, seeds } = program;
  const next = compileRules(rulesOf(...Array.from({ length: 300 }, (_, i): [number, object] => [5, { in: i }])));
  program.swap(next.tables, next.source);
  expect([program.key === key, program.flows === flows, program.seeds === seeds]).toEqual([true, true, true]);
});

test(
  "a compiler that keeps what it knows makes the same as one that starts from scratch",
  () => {
    const compiler = new RuleCompiler();
    const step = fc.record({ added: anyRules(6), removed: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 5 }), (steps) => {
        let rules = steps.length > 0 ? steps[0].added : [];
        for (const { added, removed } of steps) {
          const kept = rules.filter((_, i) => i !== removed);
          rules = [...kept, ...added]
            .map((rule, i) => (kept.includes(rule) ? rule : { ...rule, id: 100 + i }))
            .sort(byRank);
          const [fresh, again] = [compileRules(rules), compiler.compile(rules)];
          expect(again.source).toBe(fresh.source);
          expect(again.tables).toEqual(fresh.tables);
        }
      }),
      { numRuns: sized(200, 5_000) },
    );
  },
  LONG_MS,
);

test("two programs on one thread do not meet", () => {
  const [a, b] = [programFor(rulesOf([5, { in: 1 }, DROP])), programFor(rulesOf([5, { in: 2 }, DROP]))];
  fc.assert(
    fc.property(anyFrame, anyPort, (frame, port) => {
      const key = keyOf(frame, port);
      expect(ranksFor(a, key)).toEqual(port === 1 ? [0] : []);
      expect(ranksFor(b, key)).toEqual(port === 2 ? [0] : []);
    }),
    { numRuns: 200 },
  );
});
