// The broad cache: flows that differ in what no rule can tell apart are searched for once, those that a rule tells apart are not
// mixed up. How often rules were searched is counted, by the program's own search.

import { expect, test } from "bun:test";
import { compileRules } from "../../../src/dataplane/rules/compile.ts";
import { fullMask } from "../../../src/dataplane/rules/fields.ts";
import {
  BROAD_ENTRIES,
  BROAD_TAGS,
  FLOW_ENTRIES,
  FLOW_MULTIPLIERS,
  FLOW_SCRATCH,
  FLOW_SEED_GENERATION,
  FLOW_TAGS,
} from "../../../src/dataplane/rules/flow-cache.ts";
import {
  CLASS_IP4,
  CLASS_IP6,
  CLASS_UDP,
  type FieldName,
  KEY_CLASS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import { decide, type ProgramOptions, RuleProgram } from "../../../src/dataplane/rules/program.ts";
import type { Constraint, Rule } from "../../../src/dataplane/rules/rule.ts";
import { answerAt, ranksFor } from "./program-answers.ts";

const UDP4 = CLASS_IP4 | CLASS_UDP;

const is = (field: FieldName, value: number | bigint, mask: number | bigint = fullMask(field)): Constraint => {
  return { field, oneOf: [{ value: BigInt(value), mask: BigInt(mask) }] };
};
const drop = (...match: Constraint[]): Rule => ({ id: 1, priority: 1, match, actions: [{ do: "drop" }] });

/** Prefixes of twenty lengths of another network, for ports that no key here has: enough tuples for a broad cache to be there. */
const PADDING = Array.from({ length: 20 }, (_, i) => {
  return drop(is("ip4.src", 0xfc000000, (-1 << (31 - i)) >>> 0), is("udp.sport", 7), is("ip6", 0));
});

/** A program, and how often it has searched. */
function programWith(
  rules: readonly Rule[],
  options?: ProgramOptions,
): { program: RuleProgram; searches: () => number } {
  const { tables, source } = compileRules([...rules, ...PADDING]);
  const program = new RuleProgram(tables, source, options);
  const { find } = program;
  let count = 0;
  program.find = (p) => {
    count++;
    return find(p);
  };
  return { program, searches: () => count };
}

function key(words: Record<number, number>): Int32Array {
  const all = new Int32Array(KEY_WORDS);
  for (const [word, value] of Object.entries(words)) all[Number(word)] = value;
  return all;
}

const udp = (source: number, target: number, sport: number, dport: number) =>
  key({ [KEY_CLASS]: UDP4, [KEY_IP_SRC]: source, [KEY_IP_DST]: target, [KEY_PORTS]: (sport << 16) | dport });

test("sources and ports that no rule knows are all alike", () => {
  const { program, searches } = programWith([drop(is("ip4.dst", 0x0a000001), is("udp.dport", 53))]);
  for (let i = 0; i < 1000; i++) {
    expect(ranksFor(program, udp(0x0b000000 + i, 0x0a000001, 1024 + i, 53))).toEqual([0]);
  }
  // Now and then a port or an address finds the bits of another in the cells.
  expect(searches()).toBeLessThan(20);
  for (let i = 0; i < 1000; i++) expect(ranksFor(program, udp(i, 0x0a000001, 1024 + i, 9))).toEqual([]);
  expect(searches()).toBeLessThan(40);
});

test("in a network that a rule knows, hosts are alike; a host that a rule knows is not", () => {
  const { program, searches } = programWith([
    drop(is("ip4.src", 0x0a010105)),
    drop(is("ip4.src", 0x0a010100, 0xffffff00)),
    drop(is("ip4.src", 0x0a000000, 0xff000000)),
  ]);
  for (const [network, rank] of [
    [0x0a010100, 1],
    [0x0a020200, 2],
  ]) {
    const before = searches();
    for (let host = 6; host < 256; host++) expect(ranksFor(program, udp(network + host, 0, 0, 0))).toEqual([rank]);
    expect(searches() - before).toBeLessThan(25);
  }
  expect(ranksFor(program, udp(0x0a010105, 0, 0, 0))).toEqual([0]);
  expect(ranksFor(program, udp(0x0a010205, 0, 0, 0))).toEqual([2]);
});

test("what a range looks at is told apart", () => {
  const range: Constraint = { field: "udp.dport", oneOf: [{ low: 1000n, high: 1999n }] };
  const { program } = programWith([drop(is("ip4.dst", 1), range), drop(is("ip4.dst", 1), is("udp.dport", 3000))]);
  for (const [dport, ranks] of [
    [999, []],
    [1000, [0]],
    [1999, [0]],
    [2000, []],
    [3000, [1]],
    [3001, []],
  ] as [number, number[]][]) {
    for (let sport = 0; sport < 20; sport++)
      expect([dport, ranksFor(program, udp(0, 1, sport, dport))]).toEqual([dport, ranks]);
  }
});

test("IPv6 addresses are alike where no rule knows their network", () => {
  const { program, searches } = programWith([
    drop(is("ip6.src", 0xfd00n << 112n, 0xffffn << 112n)),
    drop(is("ip6.dst", 1)),
  ]);
  const from = (first: number, last: number) =>
    key({
      [KEY_CLASS]: CLASS_IP6,
      [KEY_IP_SRC]: first,
      [KEY_IP_SRC + 1]: last,
      [KEY_IP_SRC + 3]: last,
      [KEY_IP_DST + 3]: last,
    });
  for (let i = 2; i < 500; i++) expect(ranksFor(program, from(0xfd000000, i))).toEqual([0]);
  for (let i = 2; i < 500; i++) expect(ranksFor(program, from(0xfe000000, i))).toEqual([]);
  expect(searches()).toBeLessThan(40);
  expect(ranksFor(program, from(0xfe000000, 1))).toEqual([1]);
});

test("flows whose hashes are equal are told apart by their columns", () => {
  const rules = Array.from({ length: 8 }, (_, i) => drop(is("ip4.dst", i)));
  const { program } = programWith(rules, { seeds: new Int32Array(FLOW_MULTIPLIERS) });
  for (let i = 0; i < 200; i++) expect(ranksFor(program, udp(i, i % 9, i, i))).toEqual(i % 9 < 8 ? [i % 9] : []);
  const used = (from: number, to: number) => program.flows.subarray(from, to).filter((tag) => tag !== 0).length;
  expect([used(FLOW_TAGS, FLOW_ENTRIES), used(BROAD_TAGS, BROAD_ENTRIES)]).toEqual([1, 1]);
});

test("new rules forget these flows, too", () => {
  const { program } = programWith([drop(is("ip4.dst", 1))]);
  expect(ranksFor(program, udp(1, 1, 1, 1))).toEqual([0]);
  const next = compileRules([drop(is("ip4.dst", 2)), drop(is("ip4.dst", 1)), ...PADDING]);
  program.swap(next.tables, next.source);
  expect(ranksFor(program, udp(2, 1, 2, 1))).toEqual([1]);
});

test("they are forgotten when generations begin again", () => {
  const [old, other] = [0, 1].map((rank) =>
    compileRules([...[drop(is("ip4.dst", 7)), drop(is("ip4.dst", 1))].slice(rank), ...PADDING]),
  );
  const program = new RuleProgram(old.tables, old.source);
  expect(ranksFor(program, udp(1, 1, 1, 1))).toEqual([1]);
  const first = program.seeds[FLOW_SEED_GENERATION];
  do program.swap(other.tables, other.source);
  while (program.seeds[FLOW_SEED_GENERATION] !== first);
  expect(ranksFor(program, udp(1, 1, 1, 1))).toEqual([0]);
});

test("an answer of as many ranks as an entry has room for is kept, and one of more is not", () => {
  const rules = (count: number) =>
    Array.from({ length: count }, (): Rule => ({ ...drop(is("ip4.dst", 1)), actions: [] }));
  const most = programWith(rules(1)).program.functions.broadRanks;
  expect(most).toBeGreaterThan(30);
  for (const [count, kept] of [
    [most, true],
    [most + 1, false],
    [300, false],
  ] as const) {
    const { program } = programWith(rules(count));
    for (let i = 0; i < 3; i++) {
      program.key.set(udp(i, 1, i, i));
      const at = decide(program);
      expect([count, at !== FLOW_SCRATCH]).toEqual([count, kept]);
      expect(answerAt(program, at)).toEqual(Array.from({ length: count }, (_, k) => k));
    }
  }
});
