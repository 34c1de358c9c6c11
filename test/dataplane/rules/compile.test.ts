// What the compiler makes of each feature of a match, one rule set after the other: keys written by hand, ranks expected.

import { describe, expect, test } from "bun:test";
import { compileRules, RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import {
  CLASS_FRAGMENT,
  CLASS_INNER,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_TCP,
  CLASS_VLAN,
  type FieldName,
  KEY_CLASS,
  KEY_DST_SRC,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_SRC,
  KEY_TCI,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import { type Action, byRank, type Constraint, type FieldValue, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { programFor, programOf, ranksFor } from "./program-answers.ts";

const DROP: Action = { do: "drop" };
const COUNT: Action = { do: "count" };
const CONTINUE: Action = { do: "continue" };
const TCP4 = CLASS_IP4 | CLASS_TCP;

const is = (value: number | bigint, mask: number | bigint = 0xffff): FieldValue => ({
  value: BigInt(value),
  mask: BigInt(mask),
});
const from = (low: number | bigint, high: number | bigint): FieldValue => ({ low: BigInt(low), high: BigInt(high) });
const of = (field: FieldName, ...oneOf: FieldValue[]): Constraint => ({ field, oneOf });

/** Rules of one priority in the order given, so that index and rank are the same. */
function inOrder(...rules: [match: Constraint[], ...actions: Action[]][]): Rule[] {
  return rules.map(([match, ...actions], i) => ({ id: i + 1, priority: 7, match, actions }));
}

/** A key from words: class first. */
function key(words: Record<number, number>): Int32Array {
  const all = new Int32Array(KEY_WORDS);
  for (const [word, value] of Object.entries(words)) all[Number(word)] = value;
  return all;
}

const tcpTo = (port: number, more: Record<number, number> = {}) =>
  key({ [KEY_CLASS]: TCP4, [KEY_PORTS]: port, ...more });

/** Ranks for each key, as a new flow and as a known one. */
function expectRanks(rules: readonly Rule[], ...cases: [key: Int32Array, ranks: number[]][]): void {
  const program = programFor(rules);
  for (const [each, ranks] of [...cases, ...cases]) expect(ranksFor(program, each)).toEqual(ranks);
}

describe("matches", () => {
  test("no rules match nothing", () => {
    expectRanks([], [key({}), []], [tcpTo(80), []]);
  });

  test("a match without constraints matches everything", () => {
    expectRanks(inOrder([[], DROP]), [key({}), [0]], [tcpTo(80), [0]]);
  });

  test("a constraint does not match what is absent, not even with a mask of nothing", () => {
    const rules = inOrder(
      [[of("tcp.dport", is(0))], DROP],
      [[of("ip6.src", is(0, 0))], DROP],
      [[of("vlan", is(0, 1))], DROP],
    );
    expectRanks(
      rules,
      [tcpTo(0), [0]],
      [key({ [KEY_CLASS]: CLASS_VLAN }), []],
      [key({ [KEY_CLASS]: CLASS_VLAN | CLASS_IP6 }), [1]],
      [key({}), [2]],
    );
  });

  test("prefixes of different lengths, and one word asked for in two tuples", () => {
    const rules = inOrder(
      [[of("ip4.dst", is(0x0a010203, 0xffffffff))], DROP],
      [[of("ip4.dst", is(0x0a010000, 0xffff0000)), of("tcp.dport", is(80))], DROP],
      [[of("ip4.dst", is(0x0a000000, 0xff000000))], DROP],
    );
    expectRanks(
      rules,
      [tcpTo(80, { [KEY_IP_DST]: 0x0a010203 }), [0]],
      [tcpTo(80, { [KEY_IP_DST]: 0x0a010204 }), [1]],
      [tcpTo(81, { [KEY_IP_DST]: 0x0a010204 }), [2]],
      [tcpTo(80, { [KEY_IP_DST]: 0x0b010204 }), []],
    );
  });

  test("addresses and masks with the top bit set", () => {
    const rules = inOrder(
      [[of("ip4.src", is(0xe0000000, 0xf0000000))], DROP],
      [[of("ip4.src", is(0x80000001, 0x80000001))], DROP],
    );
    expectRanks(
      rules,
      [key({ [KEY_CLASS]: CLASS_IP4, [KEY_IP_SRC]: 0xefffffff | 0 }), [0]],
      [key({ [KEY_CLASS]: CLASS_IP4, [KEY_IP_SRC]: 0x80000003 | 0 }), [1]],
      [key({ [KEY_CLASS]: CLASS_IP4, [KEY_IP_SRC]: 0x80000002 | 0 }), []],
    );
  });

  test("a field that spans two words", () => {
    const rules = inOrder([[of("eth.src", is(0x0200_0000_0007, 0xffff_ffff_ffff))], DROP]);
    expectRanks(
      rules,
      [key({ [KEY_DST_SRC]: 0xffff0200 | 0, [KEY_SRC]: 7 }), [0]],
      [key({ [KEY_DST_SRC]: 0x0201, [KEY_SRC]: 7 }), []],
    );
  });

  test("an IPv6 prefix that ends inside a word", () => {
    const rules = inOrder([[of("ip6.dst", is(0xfd00_0000_0000_1230n << 64n, 0xffff_ffff_ffff_fff0n << 64n))], DROP]);
    const to = (second: number) =>
      key({ [KEY_CLASS]: CLASS_IP6, [KEY_IP_DST]: 0xfd000000 | 0, [KEY_IP_DST + 1]: second, [KEY_IP_DST + 3]: 1 });
    expectRanks(rules, [to(0x123f), [0]], [to(0x1240), []]);
  });

  test("lists multiply", () => {
    const rules = inOrder([[of("vlan.id", is(5, 0xfff), is(6, 0xfff)), of("tcp.dport", is(80), is(443))], DROP]);
    const cases = [4, 5, 6].flatMap((id) => [80, 81, 443].map((port) => [id, port]));
    expectRanks(
      rules,
      ...cases.map(([id, port]): [Int32Array, number[]] => {
        const each = tcpTo(port, { [KEY_CLASS]: TCP4 | CLASS_VLAN, [KEY_TCI]: id << 16 });
        return [each, id !== 4 && port !== 81 ? [0] : []];
      }),
    );
  });

  test("constraints that contradict one another match nothing, those that agree match both", () => {
    const rules = inOrder(
      [[of("tcp.dport", is(80)), of("tcp.dport", is(443))], DROP],
      [[of("tcp", is(0, 1)), of("tcp.dport", is(80))], DROP],
      [[of("tcp.dport", is(0x50, 0xf0)), of("tcp.dport", is(0, 0x0f))], DROP],
    );
    expectRanks(rules, [tcpTo(0x50), [2]], [tcpTo(0x51), []], [tcpTo(443), []]);
  });

  test("a list of no values matches nothing", () => {
    expectRanks(inOrder([[of("tcp.dport")], DROP]), [tcpTo(80), []]);
  });
});

describe("ranges", () => {
  test("a range is checked, its ends included", () => {
    const rules = inOrder([[of("tcp.dport", from(1000, 1999))], DROP]);
    expectRanks(rules, [tcpTo(999), []], [tcpTo(1000), [0]], [tcpTo(1999), [0]], [tcpTo(2000), []]);
  });

  test("a range compares unsigned", () => {
    const rules = inOrder([[of("ip4.src", from(0x7fffffff, 0x80000001))], DROP]);
    const source = (address: number) => key({ [KEY_CLASS]: CLASS_IP4, [KEY_IP_SRC]: address | 0 });
    expectRanks(
      rules,
      [source(0x7ffffffe), []],
      [source(0x7fffffff), [0]],
      [source(0x80000001), [0]],
      [source(0x80000002), []],
      [source(0), []],
    );
  });

  test("a range in the upper half of a word leaves the lower half alone", () => {
    const rules = inOrder([[of("tcp.sport", from(0xfff0, 0xfffe))], DROP]);
    expectRanks(
      rules,
      [tcpTo(0xffff, { [KEY_PORTS]: 0xfffeffff | 0 }), [0]],
      [tcpTo(0, { [KEY_PORTS]: 0xffff0000 | 0 }), []],
    );
  });

  test("a range of class bits", () => {
    const rules = inOrder([[of("ip4.frag", from(1, 2))], DROP]);
    expectRanks(rules, [key({ [KEY_CLASS]: CLASS_IP4 | CLASS_FRAGMENT }), [0]], [key({ [KEY_CLASS]: CLASS_IP4 }), []]);
  });

  test("a range turned around is empty, and one of everything asks for presence alone", () => {
    expectRanks(
      inOrder([[of("tcp.dport", from(9, 8))], DROP], [[of("tcp.dport", from(0, 0xffff))], DROP]),
      [tcpTo(8), [1]],
      [key({ [KEY_CLASS]: CLASS_IP4 }), []],
    );
  });

  test("ranges of several fields all hold", () => {
    const rules = inOrder([
      [of("tcp.dport", from(10, 20)), of("tcp.sport", from(30, 40)), of("ip4.src", from(3, 9))],
      DROP,
    ]);
    const at = (sport: number, dport: number, source: number) =>
      key({ [KEY_CLASS]: TCP4, [KEY_PORTS]: (sport << 16) | dport, [KEY_IP_SRC]: source });
    expectRanks(rules, [at(30, 20, 3), [0]], [at(41, 20, 3), []], [at(30, 21, 3), []], [at(30, 20, 10), []]);
  });

  test("a range of a field that spans words is cut into prefixes", () => {
    const rules = inOrder([[of("eth.src", from(0x0200_ffff_fffe, 0x0201_0000_0001))], DROP]);
    const source = (high: number, low: number) => key({ [KEY_DST_SRC]: high, [KEY_SRC]: low | 0 });
    expectRanks(
      rules,
      [source(0x0200, 0xfffffffd), []],
      [source(0x0200, 0xfffffffe), [0]],
      [source(0x0201, 1), [0]],
      [source(0x0201, 2), []],
    );
  });

  test("rules stay cut when the crowd has gone, and mean the same", () => {
    const rules = inOrder(
      ...Array.from({ length: 60 }, (_, i): [Constraint[], Action] => [
        [of("tcp.dport", from(100 * i, 100 * i + 50))],
        DROP,
      ]),
    );
    const compiler = new RuleCompiler();
    const crowd = compiler.compile(rules);
    expect(compiler.compile(rules)).toEqual(crowd);
    const left = rules.slice(7, 9);
    const few = compiler.compile(left);
    expect(few.source).not.toBe(compileRules(left).source);
    const program = programOf(few);
    for (const [port, ranks] of [
      [699, []],
      [700, [0]],
      [750, [0]],
      [751, []],
      [850, [1]],
    ] as const) {
      expect([port, ...ranksFor(program, tcpTo(port))]).toEqual([port, ...ranks]);
    }
  });

  test("prefixes are as few as can be", () => {
    const shapes = (low: number, high: number) => {
      return compileRules(inOrder([[of("eth.src", from(low, high))], DROP])).source.match(/case/g)?.length;
    };
    expect([shapes(0x100, 0x1ff), shapes(0, 2 ** 48 - 1), shapes(1, 6), shapes(5, 5)]).toEqual([1, 1, 2, 1]);
  });

  test("ranges in a crowd are cut into prefixes, and mean the same", () => {
    const ranges = Array.from({ length: 200 }, (_, i) => from(1000 + 10 * i, 1006 + 10 * i));
    const crowd = inOrder(...ranges.map((range): [Constraint[], Action] => [[of("tcp.dport", range)], DROP]));
    const alone = inOrder([[of("tcp.dport", ranges[0])], DROP]);
    // Prefixes of a port are slices of its word: more than the one bit of class that a check needs.
    expect(compileRules(alone).source.match(/M\[\d+\] = m/g)).toBeNull();
    expect(compileRules(crowd).source.match(/M\[\d+\] = m/g)!.length).toBeGreaterThan(2);
    const cases = Array.from({ length: 2020 }, (_, i): [Int32Array, number[]] => {
      const port = 990 + i;
      const rank = Math.floor((port - 1000) / 10);
      return [tcpTo(port), rank >= 0 && rank < 200 && port % 10 <= 6 ? [rank] : []];
    });
    expectRanks(crowd, ...cases);
  });
});

describe("order", () => {
  test("the higher priority decides, then the lower id, whatever the tuples", () => {
    const rules: Rule[] = [
      { id: 9, priority: 5, match: [], actions: [DROP] },
      { id: 4, priority: 5, match: [of("tcp", is(1, 1))], actions: [DROP] },
      { id: 7, priority: 6, match: [of("tcp.dport", is(80))], actions: [DROP] },
    ];
    const ranked = rules.sort(byRank);
    expect(ranked.map(({ id }) => id)).toEqual([7, 4, 9]);
    expectRanks(ranked, [tcpTo(80), [0]], [tcpTo(81), [1]], [key({}), [2]]);
  });

  test("rules with the same match: the first that ends, and those that continue before it", () => {
    const match = [of("tcp.dport", is(80))];
    expectRanks(inOrder([match, COUNT], [match, CONTINUE], [match, DROP], [match, COUNT], [match, DROP]), [
      tcpTo(80),
      [0, 1, 2],
    ]);
    expectRanks(inOrder([match, DROP], [match, COUNT]), [tcpTo(80), [0]]);
    expectRanks(inOrder([match], [match]), [tcpTo(80), [0, 1]]);
  });

  test("a range behind and before a rule with the same words", () => {
    const [range, any] = [[of("tcp.dport", from(10, 20))], [of("tcp", is(1, 1))]];
    expectRanks(inOrder([range, COUNT], [any, DROP], [range, DROP]), [tcpTo(15), [0, 1]], [tcpTo(9), [1]]);
    expectRanks(inOrder([any, COUNT], [range, DROP], [any, DROP]), [tcpTo(15), [0, 1]], [tcpTo(9), [0, 2]]);
  });

  test("ranks that continue come in order from all tuples, and none behind the one that ends", () => {
    const rules = inOrder(
      [[of("ip4.dst", is(7, 0xffffffff))], COUNT],
      [[of("tcp.dport", is(80))], COUNT],
      [[of("in", is(3))], COUNT],
      [[of("ip4", is(1, 1))], DROP],
      [[of("tcp.dport", is(0, 0))], COUNT],
    );
    const all = tcpTo(80, { [KEY_CLASS]: TCP4 | 3, [KEY_IP_DST]: 7 });
    expectRanks(rules, [all, [0, 1, 2, 3]], [tcpTo(80), [1, 3]], [key({ [KEY_CLASS]: CLASS_INNER }), []]);
  });

  test("a rule that continues is met once, however many of its values hold", () => {
    const lists = [of("ip4.dst", is(0x0a000000, 0xff000000), is(0x0a010000, 0xffff0000), from(0x0a000001, 0x0a0fffff))];
    expectRanks(inOrder([lists, COUNT], [[], DROP]), [tcpTo(1, { [KEY_IP_DST]: 0x0a010001 }), [0, 1]]);
  });
});
