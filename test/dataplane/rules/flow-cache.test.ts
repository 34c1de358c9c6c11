// The flow cache of a program: what it keeps, what it gives up, and that it never answers for another flow. How often rules
// were searched is counted, by the program's own search.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileRules } from "../../../src/dataplane/rules/compile.ts";
import { fullMask } from "../../../src/dataplane/rules/fields.ts";
import {
  FLOW_COUNT,
  FLOW_ENTRIES,
  FLOW_MULTIPLIERS,
  FLOW_SCRATCH,
  FLOW_SEED_GENERATION,
  FLOW_SETS,
  FLOW_TAGS,
  FLOW_WAYS,
} from "../../../src/dataplane/rules/flow-cache.ts";
import {
  CLASS_ARP,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_TCP,
  type FieldName,
  KEY_ARP_SHA,
  KEY_ARP_THA,
  KEY_CLASS,
  KEY_FLAGS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_TCI,
  KEY_TYPE,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import { decide, type RuleProgram } from "../../../src/dataplane/rules/program.ts";
import type { Rule } from "../../../src/dataplane/rules/rule.ts";
import { sized } from "../../support/scale.ts";
import { answerAt, programFor, programOf, ranksFor } from "./program-answers.ts";
import { rulesOf } from "./rules-of.ts";

const LONG_MS = 600_000;

/** One rule for each address from 0 on: the answer says which flow it is of. */
const byAddress = (count: number) => {
  return rulesOf(
    ...Array.from({ length: count }, (_, i): [number, object, { do: "drop" }] => [5, { "ip4.dst": i }, { do: "drop" }]),
  );
};

function keyTo(address: number, more: Record<number, number> = {}): Int32Array {
  const key = new Int32Array(KEY_WORDS);
  key[KEY_CLASS] = CLASS_IP4;
  key[KEY_IP_DST] = address;
  for (const [word, value] of Object.entries(more)) key[Number(word)] = value;
  return key;
}

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Of each word what the rules below ask for: the port, VLAN ids of both tags, EtherType, and all of the others. */
const ASKED = new Int32Array(KEY_WORDS).fill(-1);
ASKED[KEY_CLASS] = 0xffff;
ASKED[KEY_TYPE] = 0xffff0000 | 0;
ASKED[KEY_TCI] = 0x0fff0fff;
ASKED[KEY_FLAGS] = 0x0fffffff;

/** Counts searches from here on. */
function searches(program: RuleProgram): () => number {
  const find = program.find;
  let count = 0;
  program.find = (p) => {
    count++;
    return find(p);
  };
  return () => count;
}

/** Decides a key that is not known yet, and returns which set its hash chose. */
function setOf(program: RuleProgram, key: Int32Array): number {
  ranksFor(program, key);
  return program.hash >>> (32 - Math.log2(FLOW_SETS));
}

test("a flow is searched for once, and answered from its entry then", () => {
  const program = programFor(byAddress(8));
  const count = searches(program);
  for (let round = 0; round < 3; round++) {
    for (let address = 0; address < 10; address++) {
      expect(ranksFor(program, keyTo(address))).toEqual(address < 8 ? [address] : []);
    }
  }
  expect(count()).toBe(10);
});

test("what no rule asks for does not split flows", () => {
  const program = programFor(byAddress(8));
  const count = searches(program);
  for (let noise = 0; noise < 100; noise++) {
    const key = keyTo(3, {
      [KEY_PORTS]: noise,
      [KEY_TYPE]: noise,
      [KEY_IP_SRC]: -noise,
      [KEY_CLASS]: CLASS_IP4 | (noise & 7),
    });
    expect(ranksFor(program, key)).toEqual([3]);
  }
  expect(count()).toBe(1);
});

test("half as many flows as entries nearly all find room, and ten times as many are all answered right", () => {
  const program = programFor(byAddress(1000));
  const wrong = (flows: number) => {
    let count = 0;
    for (let i = 0; i < flows; i++) {
      const ranks = ranksFor(program, keyTo(i));
      if (ranks.length !== (i < 1000 ? 1 : 0) || (i < 1000 && ranks[0] !== i)) count++;
    }
    return count;
  };
  for (let round = 0; round < 20; round++) expect(wrong(FLOW_COUNT / 2)).toBe(0);
  const count = searches(program);
  expect(wrong(FLOW_COUNT / 2)).toBe(0);
  expect(count()).toBeLessThan(FLOW_COUNT / 20);
  for (let round = 0; round < 3; round++) expect(wrong(FLOW_COUNT * 10)).toBe(0);
  expect(count()).toBeGreaterThan(FLOW_COUNT * 20);
});

test("a flood of new flows leaves nearly all known ones known", () => {
  const program = programFor(byAddress(1000));
  const known = Array.from({ length: 1000 }, (_, i) => keyTo(i));
  for (let round = 0; round < 50; round++) for (const key of known) ranksFor(program, key);
  for (let i = 0; i < FLOW_COUNT; i++) ranksFor(program, keyTo(10_000 + i));
  const count = searches(program);
  for (const key of known) ranksFor(program, key);
  // If each new flow took a place, 630 would have lost theirs; as one in 16 does, it is 60.
  expect(count()).toBeLessThan(150);
});

test("new rules forget every flow, and so do old ones that come back", () => {
  const [old, other] = [compileRules(byAddress(8)), compileRules(byAddress(9).slice(1))];
  const program = programFor(byAddress(8));
  const count = searches(program);
  expect(ranksFor(program, keyTo(3))).toEqual([3]);
  program.swap(other.tables, other.source);
  expect(ranksFor(program, keyTo(3))).toEqual([2]);
  program.swap(old.tables, old.source);
  expect(ranksFor(program, keyTo(3))).toEqual([3]);
  expect(count()).toBe(1);
});

test("generations begin again after 65,535 of them, and forget as well", () => {
  const [old, other] = [compileRules(byAddress(8)), compileRules(byAddress(9).slice(1))];
  const program = programOf(old);
  const first = program.seeds[FLOW_SEED_GENERATION];
  expect(ranksFor(program, keyTo(3))).toEqual([3]);
  const seen = new Set([first]);
  for (let i = 1; i < 65_535; i++) {
    program.swap(other.tables, other.source);
    seen.add(program.seeds[FLOW_SEED_GENERATION]);
  }
  expect([seen.size, seen.has(0)]).toEqual([65_535, false]);
  program.swap(other.tables, other.source);
  expect(program.seeds[FLOW_SEED_GENERATION]).toBe(first);
  expect(ranksFor(program, keyTo(3))).toEqual([2]);
});

test("flows whose hashes are equal take turns, and are told apart", () => {
  // Without multipliers every hash is 0.
  const program = programFor(byAddress(8), { seeds: new Int32Array(FLOW_MULTIPLIERS) });
  const count = searches(program);
  for (let round = 1; round <= 5; round++) {
    for (let address = 0; address < 4; address++) {
      expect(ranksFor(program, keyTo(address))).toEqual([address]);
      expect(ranksFor(program, keyTo(address))).toEqual([address]);
    }
    expect(count()).toBe(4 * round);
  }
  expect(program.flows.subarray(FLOW_TAGS, FLOW_ENTRIES).filter((tag) => tag !== 0).length).toBe(1);
});

test("flows that share a set are told apart by their tags, and by their keys behind them", () => {
  const flows = 60_000;
  const compiled = compileRules(byAddress(flows));
  const program = programOf(compiled, { seeds: new Int32Array(FLOW_MULTIPLIERS).fill(1) });
  const addresses = Array.from({ length: flows }, (_, i) => i);
  const sets = Map.groupBy(addresses, (i) => setOf(program, keyTo(i)));
  const [set, crowd] = [...sets].sort(([, a], [, b]) => b.length - a.length)[0];
  expect(crowd.length).toBeGreaterThan(3 * FLOW_WAYS);
  program.swap(compiled.tables, compiled.source);
  for (let i = 0; i < 5_000; i++) {
    const address = crowd[i % crowd.length];
    expect(ranksFor(program, keyTo(address))).toEqual([address]);
  }
  const tags = program.flows.subarray(FLOW_TAGS + FLOW_WAYS * set, FLOW_TAGS + FLOW_WAYS * (set + 1));
  expect(new Set(tags.map((tag) => tag >>> 16)).size).toBe(1);
  expect(new Set(tags).size).toBe(FLOW_WAYS);
});

test("every bit that rules ask for is compared, where hashes do not tell flows apart", () => {
  const zero = (...names: FieldName[]): Rule["match"] => {
    return names.map((field) => ({ field, oneOf: [{ value: 0n, mask: fullMask(field) }] }));
  };
  const all = zero(
    "in",
    "eth.src",
    "eth.dst",
    "eth.type",
    "vlan.id",
    "inner.id",
    "tcp.sport",
    "tcp.dport",
    "tcp.flags",
  );
  const rules: Rule[] = [
    { id: 1, priority: 5, match: [...all, ...zero("ip4.src", "ip4.dst")], actions: [] },
    { id: 2, priority: 5, match: [...all, ...zero("ip6.src", "ip6.dst")], actions: [] },
    { id: 3, priority: 5, match: zero("arp.op", "arp.sha", "arp.tha"), actions: [] },
  ];
  const program = programFor(rules, { seeds: new Int32Array(FLOW_MULTIPLIERS) });
  const count = searches(program);
  const always = range(KEY_CLASS, KEY_IP_SRC).concat(KEY_IP_DST);
  const cases = [
    { kind: CLASS_IP4 | CLASS_TCP, words: always },
    { kind: CLASS_IP6 | CLASS_TCP, words: range(KEY_CLASS, KEY_IP_DST + 3) },
    { kind: CLASS_ARP, words: always.concat(range(KEY_ARP_SHA, KEY_ARP_THA)) },
  ];
  let bits = 0;
  for (const { kind, words } of cases) {
    for (const word of words) {
      for (let bit = 0; bit < 32; bit++) {
        // Only ARP has an operation, in the lower half.
        const asked = word === KEY_FLAGS && kind !== CLASS_ARP ? ASKED[word] & ~0xffff : ASKED[word];
        if (((asked >>> bit) & 1) === 0) continue;
        const key = keyTo(0, { [KEY_CLASS]: kind });
        ranksFor(program, key);
        const before = count();
        key[word] ^= 1 << bit;
        ranksFor(program, key);
        expect([kind, word, bit, count() - before]).toEqual([kind, word, bit, 1]);
        bits++;
      }
    }
  }
  expect(bits).toBeGreaterThan(900);
});

test("the hash depends on every bit that rules ask for, and on the seeds", () => {
  const rules = rulesOf([
    5,
    { "eth.src": 1, "ip4.src": 1, "ip4.dst": 1, "tcp.sport": 1, "tcp.dport": 1, in: 1 },
    { do: "drop" },
  ]);
  const programs = [programFor(rules), programFor(rules)];
  const hashOf = (program: RuleProgram, key: Int32Array) => {
    program.key.set(key);
    decide(program);
    return program.hash;
  };
  const base = keyTo(5, { [KEY_CLASS]: CLASS_IP4 | CLASS_TCP });
  const hashes = programs.map((program) => hashOf(program, base));
  expect(hashes[0]).not.toBe(hashes[1]);
  const words: [number, number][] = [
    [KEY_CLASS, 16],
    [KEY_IP_SRC, 32],
    [KEY_IP_DST, 32],
    [KEY_PORTS, 32],
    [2, 16],
    [3, 32],
  ];
  const bits = words.flatMap(([word, width]) => Array.from({ length: width }, (_, bit) => ({ word, bit })));
  const flipped = (...some: { word: number; bit: number }[]) => {
    const key = base.slice();
    for (const { word, bit } of some) key[word] ^= 1 << bit;
    return key;
  };
  for (const each of bits) expect(hashOf(programs[0], flipped(each))).not.toBe(hashes[0]);
  // Top bits of two words would cancel out in a plain sum of products, whatever the multipliers.
  const tops = bits.filter(({ bit, word }) => bit === 31 || (bit === 15 && word < 3));
  for (const a of tops)
    for (const b of tops) if (a.word !== b.word) expect(hashOf(programs[0], flipped(a, b))).not.toBe(hashes[0]);
});

// Two columns, the count: 13 words of a line are left.
test("an answer of too many ranks is right, and not kept", () => {
  const many = (count: number): Rule[] => [
    ...rulesOf(
      ...Array.from({ length: count }, (_, i): [number, object] => [9, i % 2 === 0 ? { "ip4.dst": 3 } : { ip4: 1 }]),
    ),
    { id: 9999, priority: 1, match: [], actions: [{ do: "drop" }] },
  ];
  const ranks = (count: number) => Array.from({ length: count + 1 }, (_, i) => i);
  for (const [count, kept] of [
    [5, true],
    [12, true],
    [13, false],
    [200, false],
    [5000, false],
  ] as const) {
    const program = programFor(many(count));
    program.key.set(keyTo(3));
    for (let i = 0; i < 3; i++) {
      const at = decide(program);
      expect([count, at !== FLOW_SCRATCH]).toEqual([count, kept]);
      expect(answerAt(program, at)).toEqual(ranks(count));
    }
    expect(ranksFor(program, keyTo(4)).length).toBe(Math.floor(count / 2) + 1);
  }
});

test("six ranks fit into every entry, the largest among them", () => {
  const wide = { "ip6.src": 1, "ip6.dst": 2 };
  const arp = { "arp.sha": 1, "arp.tha": 2 };
  const rules = [
    ...rulesOf([9, {}], [9, {}], [9, {}], [9, {}], [9, {}]),
    ...rulesOf([8, { ...wide, in: 1, "eth.src": 1, "eth.dst": 1, "vlan.id": 1, "tcp.sport": 1 }], [8, arp]),
    ...rulesOf([7, { "tcp.flags": 1, "eth.type": 1, "inner.id": 1 }], [1, {}, { do: "drop" }]),
  ];
  const program = programFor(rules.map((rule, i) => ({ ...rule, id: i + 1 })));
  const key = keyTo(2, { [KEY_CLASS]: CLASS_IP6, [KEY_IP_DST + 3]: 7 });
  program.key.set(key);
  expect(decide(program)).not.toBe(FLOW_SCRATCH);
  expect(ranksFor(program, key)).toEqual([0, 1, 2, 3, 4, 8]);
  expect(program.functions.entrySize).toBe(32);
});

test(
  "IPv6 and ARP flows that differ in one word alone are told apart",
  () => {
    const rules = rulesOf(
      [5, { "ip6.src": 1 }, { do: "drop" }],
      [5, { "arp.sha": 1, "arp.tha": 1 }, { do: "drop" }],
      [5, { "ip6.dst": 1 }, { do: "drop" }],
    );
    const program = programFor(rules, { seeds: new Int32Array(FLOW_MULTIPLIERS) });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(10), fc.nat(2)), { minLength: 2, maxLength: 40 }), (steps) => {
        for (const [isArp, word, value] of steps) {
          const at = isArp ? KEY_ARP_SHA + (word % 3) : KEY_IP_SRC + (word % 8);
          const key = keyTo(0, { [KEY_CLASS]: isArp ? CLASS_ARP : CLASS_IP6, [at]: value });
          const isSource = !isArp && at === KEY_IP_SRC + 3 && value === 1;
          const isTarget = !isArp && at === KEY_IP_DST + 3 && value === 1;
          expect(ranksFor(program, key)).toEqual(isSource ? [0] : isTarget ? [2] : []);
        }
      }),
      { numRuns: sized(300, 20_000) },
    );
  },
  LONG_MS,
);

test("sets are a power of two, since a hash's bits choose one", () => {
  expect(Math.log2(FLOW_SETS) % 1).toBe(0);
});
