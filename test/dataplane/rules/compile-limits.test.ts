// What is too much to compile: one clear error each, just past the limit; and just within it, it works.

import { expect, test } from "bun:test";
import { RingyardError } from "../../../src/core/errors.ts";
import { type CompiledRules, compileRules, RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { ENTRIES_MAX, RULE_ENTRIES_MAX, RULES_MAX, SHAPES_MAX } from "../../../src/dataplane/rules/compile-layout.ts";
import { CLASS_IP4, CLASS_TCP, KEY_CLASS, KEY_IP_DST, KEY_PORTS, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import type { Constraint, FieldValue, Rule } from "../../../src/dataplane/rules/rule.ts";
import { programFor, programOf, ranksFor } from "./program-answers.ts";

const PORT = 0xffffn;
const ports = (count: number): FieldValue[] =>
  Array.from({ length: count }, (_, i) => ({ value: BigInt(i), mask: PORT }));
const drop = (id: number, match: Constraint[]): Rule => ({ id, priority: 0, match, actions: [{ do: "drop" }] });

function refusal(rules: readonly Rule[]): string {
  try {
    compileRules(rules);
  } catch (error) {
    if (error instanceof RingyardError && error.code === "LIMIT") return error.advice;
    throw error;
  }
  return "compiled";
}

test("rules", () => {
  const rules = Array.from({ length: RULES_MAX + 1 }, (_, i) => {
    return drop(i + 1, [{ field: "ip4.dst", oneOf: [{ value: BigInt(i), mask: 0xffffffffn }] }]);
  });
  expect(refusal(rules)).toBe("too many rules to compile: 65537 rules, at most 65536: use fewer or broader ones");
  const program = programFor(rules.slice(1));
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_IP4;
  for (const address of [1, 2, 40_000, RULES_MAX]) {
    key[KEY_IP_DST] = address;
    expect(ranksFor(program, key)).toEqual([address - 1]);
  }
  key[KEY_IP_DST] = 0;
  expect(ranksFor(program, key)).toEqual([]);
});

test("combinations of one rule's lists", () => {
  const withLists = (last: number) => [
    drop(12, [
      { field: "tcp.dport", oneOf: ports(64) },
      { field: "tcp.sport", oneOf: ports(last) },
    ]),
  ];
  expect(64 * 64).toBe(RULE_ENTRIES_MAX);
  expect(refusal(withLists(65))).toBe(
    "rule 12: its lists make more than 4096 combinations: split it into several rules",
  );
  const program = programFor(withLists(64));
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_TCP;
  key[KEY_PORTS] = (63 << 16) | 63;
  expect(ranksFor(program, key)).toEqual([0]);
  key[KEY_PORTS] = (64 << 16) | 63;
  expect(ranksFor(program, key)).toEqual([]);
});

test("combinations of all rules' lists", () => {
  const rules = Array.from({ length: ENTRIES_MAX / 4096 }, (_, i) => {
    return drop(i + 1, [
      { field: "vlan.id", oneOf: [{ value: BigInt(i), mask: 0xfffn }] },
      { field: "tcp.dport", oneOf: ports(4096) },
    ]);
  });
  expect(refusal(rules)).toBe("compiled");
  expect(refusal([...rules, drop(99, [])])).toBe(
    "too many rules to compile: combinations of values in the rules' lists, at rule 99, at most 262144: use fewer or broader ones",
  );
});

test("shapes", () => {
  // Masks of eleven bits: as many as anyone wants.
  const rules = Array.from({ length: SHAPES_MAX + 1 }, (_, i) => {
    const mask = BigInt(i + 1);
    return drop(i + 1, [{ field: "tcp.dport", oneOf: [{ value: mask, mask }] }]);
  });
  expect(refusal(rules)).toBe(
    "too many rules to compile: matches of 1025 shapes (fields and prefix lengths), at most 1024: use fewer or broader ones",
  );
  const program = programFor(rules.slice(0, -1));
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_TCP;
  for (const [port, rank] of [
    [0, -1],
    [1, 0],
    [2, 1],
    [0x400, 1023],
    [0xfc00, 1023],
    [0x800, -1],
    [0x600, 511],
  ]) {
    key[KEY_PORTS] = port;
    expect([port, ranksFor(program, key)]).toEqual([port, rank < 0 ? [] : [rank]]);
  }
});

test("a crowd of ranges whose prefixes are too many shapes stays as it is, or becomes what it was", () => {
  const masks = Array.from({ length: SHAPES_MAX - 1 }, (_, i) => {
    const mask = BigInt(i + 2) << 4n;
    return drop(i + 1, [{ field: "tcp.dport", oneOf: [{ value: mask, mask }] }]);
  });
  const ranges = Array.from({ length: 40 }, (_, i) => {
    return drop(2000 + i, [{ field: "tcp.sport", oneOf: [{ low: BigInt(100 * i + 1), high: BigInt(100 * i + 50) }] }]);
  });
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_TCP;
  key[KEY_PORTS] = 3925 << 16;
  expect(ranksFor(programFor([...masks, ...ranges]), key)).toEqual([masks.length + 39]);
  const compiler = new RuleCompiler();
  const shapes = ({ source }: CompiledRules) => source.match(/case /g)!.length;
  // Alone they are cut; among so many others they no longer can be.
  expect(shapes(compiler.compile(ranges))).toBeGreaterThan(5);
  const compiled = compiler.compile([...masks, ...ranges]);
  expect(shapes(compiled)).toBe(SHAPES_MAX);
  expect(ranksFor(programOf(compiled), key)).toEqual([masks.length + 39]);
  expect(shapes(compiler.compile(ranges))).toBe(1);
});
