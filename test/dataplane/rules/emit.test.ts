// Generated text: nothing of it comes from outside, and it stays the same for as long as the shapes do. Who hands in rules may
// have got past the types, so values here are whatever a program can make.

import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type CompiledRules, compileRules, RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { int } from "../../../src/dataplane/rules/emit-int.ts";
import { KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { RuleProgram } from "../../../src/dataplane/rules/program.ts";
import type { Constraint, Rule } from "../../../src/dataplane/rules/rule.ts";
import { anyRules } from "../../support/random-rules.ts";
import { sized } from "../../support/scale.ts";
import { ranksFor } from "./program-answers.ts";
import { rulesOf } from "./rules-of.ts";

const LONG_MS = 600_000;
const PAYLOAD = "0); globalThis.brokenOut = true; (0";
const WORDS = [
  ...[
    "use strict",
    "function",
    "const",
    "let",
    "return",
    "if",
    "else",
    "while",
    "true",
    "for",
    "switch",
    "case",
    "break",
    "new",
  ],
  ...[
    "Int32Array",
    "Math",
    "imul",
    "clz32",
    "find",
    "sift",
    "spares",
    "spare",
    "follow",
    "probe",
    "broad",
    "write",
    "before",
  ],
  ...["probeWide", "broadWide", "writeWide", "writeBroad", "writeBroadWide"],
  ...["matterPorts", "asked"],
  ...["look", "narrow", "narrowWide", "part", "pick", "group", "hit", "a", "b", "c", "f", "s"].map(
    (name) => `${name}[0-9]+`,
  ),
  ...[
    "tables",
    "hash",
    "set",
    "twin",
    "hashBroad",
    "setBroad",
    "twinBroad",
    "entrySize",
    "entryAnswer",
    "entryRanks",
    "broadAnswer",
    "broadRanks",
    "best",
    "alive",
    "left",
    "answer",
    "slots",
    "count",
    "continue",
  ],
  ...["shift", "tag", "sum", "set", "at", "K", "F", "S", "M", "N", "B", "T", "p", "t", "h", "i", "k", "s", "m", "w"],
];
const TOKENS = new RegExp(`^(?:(?:${WORDS.join("|")})\\b|[0-9]+\\b|[-+~!=<>&|^,;:.(){}[\\]"\\s])*$`);

const brokenOut = () => "brokenOut" in globalThis;

afterEach(() => {
  Reflect.deleteProperty(globalThis, "brokenOut");
});

/** Compiles what claims to be rules, and runs it; true where it was refused. */
function isRefused(claimed: unknown): boolean {
  let compiled: CompiledRules;
  try {
    compiled = compileRules(claimed as Rule[]);
  } catch {
    return true;
  }
  expect(compiled.source).toMatch(TOKENS);
  ranksFor(new RuleProgram(compiled.tables, compiled.source), new Int32Array(KEY_WORDS));
  return false;
}

describe("numbers", () => {
  test("32-bit integers become their digits", () => {
    expect([0, 1, -1, 2 ** 31 - 1, -(2 ** 31)].map(int)).toEqual(["0", "1", "-1", "2147483647", "-2147483648"]);
  });

  test("anything else is refused", () => {
    const text = { toString: () => PAYLOAD, valueOf: () => 1 };
    const boxed = Object(1);
    for (const value of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      0.5,
      -0,
      2 ** 31,
      2 ** 40,
      "1",
      PAYLOAD,
      1n,
      true,
      null,
    ]) {
      expect(() => int(value)).toThrow("no 32-bit integer");
    }
    for (const value of [undefined, text, boxed, [1], Symbol("1"), () => 1]) {
      expect(() => int(value)).toThrow("no 32-bit integer");
    }
  });
});

describe("breaking out", () => {
  const hostile: unknown[] = [
    ...[PAYLOAD, "80", 80, Number.NaN, 0.5, 2 ** 40, -1n, 1n << 200n, null, undefined, true, [80n]],
    { toString: () => PAYLOAD, valueOf: () => 80n },
    { [Symbol.toPrimitive]: () => PAYLOAD },
    Object(80n),
  ];
  const value = (it: object) => [
    { id: 1, priority: 1, match: [{ field: "tcp.dport", oneOf: [it] }], actions: [{ do: "drop" }] },
  ];

  test("values, masks and ends of ranges that are none are refused", () => {
    for (const it of hostile) {
      expect(isRefused(value({ value: it, mask: 0xffffn }))).toBe(true);
      expect(isRefused(value({ value: 80n, mask: it }))).toBe(true);
      expect(isRefused(value({ low: it, high: 90n }))).toBe(true);
      expect(isRefused(value({ low: 80n, high: it }))).toBe(true);
    }
    expect(isRefused(value({ value: 80n, mask: 0xffffn }))).toBe(false);
    expect(brokenOut()).toBe(false);
  });

  test("values too big for their field are refused", () => {
    for (const it of [
      { value: 0x10000n, mask: 0xffffn },
      { value: 1n, mask: 0x1ffffn },
      { low: 1n, high: 0x10000n },
    ]) {
      expect(isRefused(value(it))).toBe(true);
    }
  });

  test("fields that are none are refused, what every object has among them", () => {
    const names = [
      PAYLOAD,
      "tcp.dport;",
      "__proto__",
      "constructor",
      "toString",
      "hasOwnProperty",
      "",
      0,
      null,
      ["in"],
    ];
    for (const field of names) {
      expect(
        isRefused([{ id: 1, priority: 1, match: [{ field, oneOf: [{ value: 1n, mask: 1n }] }], actions: [] }]),
      ).toBe(true);
    }
    expect(brokenOut()).toBe(false);
  });

  test("ids, priorities and actions do not get near the text", () => {
    const plain = compileRules(value({ value: 80n, mask: 0xffffn }) as Rule[]);
    for (const it of hostile) {
      const match = [{ field: "tcp.dport", oneOf: [{ value: 80n, mask: 0xffffn }] }];
      const actions = [{ do: "mirror", port: it }, { do: "log", every: it }, { do: it }, { do: "drop" }];
      const claimed = [{ id: it, priority: it, match, actions, [PAYLOAD]: PAYLOAD }];
      expect(compileRules(claimed as unknown as Rule[]).source).toBe(plain.source);
    }
    expect(brokenOut()).toBe(false);
  });

  test(
    "whatever else claims to be rules is refused or becomes text of known tokens",
    () => {
      const anyValue = fc.oneof(fc.bigInt(), fc.anything(), fc.constantFrom(...hostile), fc.constantFrom(0n, 1n, 80n));
      const anyClaim = fc.oneof(
        fc.record({ value: anyValue, mask: anyValue }),
        fc.record({ low: anyValue, high: anyValue }),
        fc.anything(),
      );
      const anyField = fc.oneof(
        { arbitrary: fc.constantFrom("tcp.dport", "ip6.src", "eth.src", "vlan", "in"), weight: 9 },
        fc.anything(),
      );
      const anyMatch = fc.array(fc.record({ field: anyField, oneOf: fc.oneof(fc.array(anyClaim), fc.anything()) }));
      const anyRule = fc.record({
        id: fc.anything(),
        priority: fc.anything(),
        match: anyMatch,
        actions: fc.constant([]),
      });
      let compiled = 0;
      fc.assert(
        fc.property(fc.array(anyRule), (claimed) => {
          if (!isRefused(claimed)) compiled++;
          expect(brokenOut()).toBe(false);
        }),
        { numRuns: sized(1_000, 50_000) },
      );
      expect(compiled).toBeGreaterThan(20);
    },
    LONG_MS,
  );

  test(
    "real rules become text of known tokens",
    () => {
      fc.assert(
        fc.property(anyRules(20), (rules) => {
          expect(compileRules(rules).source).toMatch(TOKENS);
        }),
        { numRuns: sized(200, 5_000) },
      );
    },
    LONG_MS,
  );

  test("the tokens would let no payload through", () => {
    for (const bad of [
      PAYLOAD,
      "globalThis",
      "`a0`",
      "'",
      "this.x",
      "// x",
      "p['x']",
      "constructor",
      "x => x",
      "0x7f",
      "é",
    ]) {
      expect(`find(${bad})`).not.toMatch(TOKENS);
    }
  });
});

describe("the same text", () => {
  const web = (port: number, net: number) =>
    rulesOf([5, { "ip4.dst": net, "tcp.dport": port }, { do: "drop" }])[0].match;
  const rule = (id: number, match: readonly Constraint[], priority = 5): Rule => ({
    id,
    priority,
    match,
    actions: [{ do: "drop" }],
  });

  test("for other values, priorities, actions, and another number of rules", () => {
    const first = compileRules([rule(1, web(80, 7)), rule(2, rulesOf([5, { "eth.src": 9 }])[0].match)]);
    const second = compileRules([
      rule(8, rulesOf([5, { "eth.src": 0xffffffffffff }])[0].match, 9),
      ...Array.from({ length: 100 }, (_, i) => ({ ...rule(10 + i, web(i, 0xffffff00 + i)), actions: [] })),
    ]);
    expect(second.source).toBe(first.source);
    expect(second.tables).not.toEqual(first.tables);
  });

  test("for a compiler that had other rules in between", () => {
    const compiler = new RuleCompiler();
    const rules = [rule(1, web(80, 7))];
    const { source } = compiler.compile(rules);
    expect(compiler.compile([...rules, rule(2, rulesOf([5, { arp: 1 }])[0].match)]).source).not.toBe(source);
    expect(compiler.compile(rules).source).toBe(source);
    expect(compileRules(rules).source).toBe(source);
  });
});
