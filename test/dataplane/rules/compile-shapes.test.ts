// Rules of more shapes than one group, one function or one word of bits takes, against the rules read one after the other. Keys
// are made up in place of frames, so that thousands are looked up in a moment; from each come others that differ in a few bits
// of ports and addresses, since what the broad cache must tell apart is just that.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileRules } from "../../../src/dataplane/rules/compile.ts";
import { fieldValue, fullMask } from "../../../src/dataplane/rules/fields.ts";
import { holds } from "../../../src/dataplane/rules/interpret.ts";
import {
  CLASS_ARP,
  CLASS_IP4,
  CLASS_IP6,
  CLASS_TCP,
  CLASS_UDP,
  type FieldName,
  KEY_CLASS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import type { RuleProgram } from "../../../src/dataplane/rules/program.ts";
import type { Constraint, FieldValue, Rule } from "../../../src/dataplane/rules/rule.ts";
import { sized } from "../../support/scale.ts";
import { programFor, ranksFor } from "./program-answers.ts";

const RUNS = sized(12, 400);
const LONG_MS = 1_200_000;

/** Few different bits, at both ends of each word, so that prefixes of all lengths hold now and then. */
const anyWord = fc.integer({ min: 0, max: 0x3f }).map((bits) => ((bits & 7) << 29) | (bits >> 3));
const anyPort = fc.constantFrom(0, 1, 80, 443, 0x8000, 0xffff);
const unsigned = (word: number) => BigInt(word >>> 0);

function prefix(field: FieldName, value: bigint, bits: number): FieldValue {
  const all = fullMask(field);
  const width = all.toString(2).length;
  const mask = all ^ ((1n << BigInt(Math.max(0, width - bits))) - 1n);
  return { value: value & mask, mask };
}

/** An address is four words, or one of them. */
function addresses(version: "ip4" | "ip6") {
  const [length, bits] = version === "ip4" ? [1, 32] : [4, 128];
  const value = fc
    .array(anyWord, { minLength: length, maxLength: length })
    .map((words) => words.reduce((all, word) => (all << 32n) | unsigned(word), 0n));
  return fc.tuple(value, fc.nat(bits));
}

const anyService = fc.record({
  field: fc.constantFrom<FieldName | undefined>(undefined, "tcp.dport", "tcp.sport", "udp.dport", "udp.sport", "in"),
  port: fc.tuple(anyPort, fc.nat(16)),
  isRange: fc.boolean(),
});

function anyMatch(version: "ip4" | "ip6"): fc.Arbitrary<Constraint[]> {
  const [src, dst] = [`${version}.src`, `${version}.dst`] as const;
  return fc
    .record({ source: addresses(version), target: addresses(version), service: anyService })
    .map(({ source, target, service: { field, port, isRange } }) => {
      const match: Constraint[] = [
        { field: src, oneOf: [prefix(src, ...source)] },
        { field: dst, oneOf: [prefix(dst, ...target)] },
      ];
      if (field === undefined) return match;
      const range = { low: BigInt(port[0]), high: BigInt(Math.min(0xffff, port[0] + 17)) };
      return [...match, { field, oneOf: [isRange ? range : prefix(field, BigInt(port[0]), port[1])] }];
    });
}

/** Ranges of one service: few, so that they are not cut, or a crowd. */
const anyRules: fc.Arbitrary<Rule[]> = fc
  .array(fc.tuple(fc.oneof({ arbitrary: anyMatch("ip4"), weight: 4 }, anyMatch("ip6")), fc.nat(3)), {
    minLength: 300,
    maxLength: 900,
    size: "max",
  })
  .map((all) =>
    all.map(
      ([match, kind], i): Rule => ({ id: i + 1, priority: 1, match, actions: kind === 0 ? [] : [{ do: "drop" }] }),
    ),
  );

const anyKey = fc
  .record({
    version: fc.constantFrom(CLASS_IP4, CLASS_IP4, CLASS_IP6, CLASS_ARP),
    transport: fc.constantFrom(CLASS_TCP, CLASS_UDP, 0),
    port: fc.nat(2),
    words: fc.array(anyWord, { minLength: 8, maxLength: 8 }),
    ports: fc.tuple(anyPort, anyPort),
  })
  .map(({ version, transport, port, words, ports: [sport, dport] }) => {
    const key = new Int32Array(KEY_WORDS);
    key[KEY_CLASS] = version | (version === CLASS_ARP ? 0 : transport) | port;
    words.forEach((word, i) => {
      if (version === CLASS_IP6 || i % 4 === 0) key[KEY_IP_SRC + i] = word;
    });
    if (transport !== 0 && version !== CLASS_ARP) key[KEY_PORTS] = (sport << 16) | dport;
    return key;
  });

const anyFlips = fc.array(
  fc.record({
    word: fc.constantFrom(KEY_PORTS, KEY_IP_SRC, KEY_IP_SRC + 1, KEY_IP_DST, KEY_IP_DST + 2),
    bit: fc.nat(31),
  }),
  { minLength: 1, maxLength: 2 },
);

/** Bits of what the key has; what is absent stays 0. */
function flipped(key: Int32Array, flips: readonly { word: number; bit: number }[]): Int32Array {
  const other = key.slice();
  for (const { word, bit } of flips) {
    const isThere = word === KEY_PORTS ? (key[KEY_CLASS] & (CLASS_TCP | CLASS_UDP)) !== 0 : (word & 3) === 0;
    if (isThere || ((key[KEY_CLASS] & CLASS_IP6) !== 0 && word !== KEY_PORTS)) other[word] ^= 1 << bit;
  }
  return other;
}

function reference(rules: readonly Rule[], key: Int32Array): number[] {
  const ranks: number[] = [];
  for (const [rank, { match, actions }] of rules.entries()) {
    if (!match.every((constraint) => holds(constraint, fieldValue(key, constraint.field)))) continue;
    ranks.push(rank);
    if (actions.length > 0) break;
  }
  return ranks;
}

/** Counts answers of the broad cache. */
function broadAnswers(program: RuleProgram): () => number {
  const { broad } = program;
  let count = 0;
  program.broad = (p) => {
    const at = broad(p);
    if (at >= 0) count++;
    return at;
  };
  return () => count;
}

test(
  "hundreds of shapes decide as the rules read one after the other",
  () => {
    const program = programFor([]);
    let [shapes, met, broad] = [0, 0, 0];
    const anyKeys = fc.array(fc.tuple(anyKey, fc.array(anyFlips, { minLength: 8, maxLength: 8 })), {
      minLength: 20,
      maxLength: 20,
    });
    fc.assert(
      fc.property(anyRules, anyKeys, (rules, keys) => {
        const compiled = compileRules(rules);
        program.swap(compiled.tables, compiled.source);
        shapes = Math.max(shapes, compiled.source.match(/case \d+:/g)!.length);
        const count = broadAnswers(program);
        for (const key of keys.flatMap(([base, flips]) => [base, ...flips.map((some) => flipped(base, some))])) {
          const expected = reference(rules, key);
          expect(ranksFor(program, key)).toEqual(expected);
          if (expected.length > 0) met++;
        }
        broad += count();
      }),
      { numRuns: RUNS },
    );
    expect(shapes).toBeGreaterThan(400);
    expect(met).toBeGreaterThan(RUNS * 20);
    // Mostly 25 to 30.
    expect(broad).toBeGreaterThan(RUNS * 10);
  },
  LONG_MS,
);
