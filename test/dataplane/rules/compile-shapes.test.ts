// Rules of more shapes than one group, one function or one word of bits takes, against the rules read one after the other.
// Keys are made up in place of frames, so that thousands are looked up in a moment.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { compileRules } from "../../../src/dataplane/rules/compile.ts";
import { fieldValue } from "../../../src/dataplane/rules/fields.ts";
import { holds } from "../../../src/dataplane/rules/interpret.ts";
import {
  CLASS_IP4,
  CLASS_TCP,
  CLASS_UDP,
  type FieldName,
  KEY_CLASS,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_PORTS,
  KEY_WORDS,
} from "../../../src/dataplane/rules/key.ts";
import type { Constraint, FieldValue, Rule } from "../../../src/dataplane/rules/rule.ts";
import { sized } from "../../support/scale.ts";
import { programFor, ranksFor } from "./program-answers.ts";

const RUNS = sized(12, 400);
const LONG_MS = 1_200_000;

/** Few different bits, at both ends of each word, so that prefixes of all lengths hold now and then. */
const anyAddress = fc.integer({ min: 0, max: 0x3f }).map((bits) => ((bits & 7) << 29) | (bits >> 3));
const anyPort = fc.constantFrom(0, 1, 80, 443, 0x8000, 0xffff);
const ones = (bits: number) => (1n << BigInt(bits)) - 1n;

function prefix(value: number, bits: number, width: number): FieldValue {
  const mask = ones(width) ^ ones(width - bits);
  return { value: BigInt(value >>> 0) & mask, mask };
}

const anyMatch: fc.Arbitrary<Constraint[]> = fc
  .record({
    source: fc.tuple(anyAddress, fc.nat(32)),
    target: fc.tuple(anyAddress, fc.nat(32)),
    field: fc.constantFrom<FieldName | undefined>(undefined, "tcp.dport", "tcp.sport", "udp.dport", "in"),
    port: fc.tuple(anyPort, fc.nat(16)),
    range: fc.boolean(),
  })
  .map(({ source, target, field, port, range }) => {
    const match: Constraint[] = [
      { field: "ip4.src", oneOf: [prefix(...source, 32)] },
      { field: "ip4.dst", oneOf: [prefix(...target, 32)] },
    ];
    const high = BigInt(Math.min(0xffff, port[0] + 17));
    const value = range ? { low: BigInt(port[0]), high } : prefix(...port, 16);
    return field === undefined ? match : [...match, { field, oneOf: [value] }];
  });

const anyRules: fc.Arbitrary<Rule[]> = fc
  .array(fc.tuple(anyMatch, fc.nat(3)), { minLength: 300, maxLength: 900, size: "max" })
  .map((all) =>
    all.map(
      ([match, action], i): Rule => ({ id: i + 1, priority: 1, match, actions: action === 0 ? [] : [{ do: "drop" }] }),
    ),
  );

const anyKey = fc
  .tuple(fc.constantFrom(CLASS_TCP, CLASS_UDP, 0), fc.nat(2), anyAddress, anyAddress, anyPort, anyPort)
  .map(([transport, port, source, target, sport, dport]) => {
    const key = new Int32Array(KEY_WORDS);
    key[KEY_CLASS] = CLASS_IP4 | transport | port;
    key[KEY_IP_SRC] = source;
    key[KEY_IP_DST] = target;
    key[KEY_PORTS] = transport === 0 ? 0 : (sport << 16) | dport;
    return key;
  });

function reference(rules: readonly Rule[], key: Int32Array): number[] {
  const ranks: number[] = [];
  for (const [rank, { match, actions }] of rules.entries()) {
    if (!match.every((constraint) => holds(constraint, fieldValue(key, constraint.field)))) continue;
    ranks.push(rank);
    if (actions.length > 0) break;
  }
  return ranks;
}

test(
  "hundreds of shapes decide as the rules read one after the other",
  () => {
    const program = programFor([]);
    let shapes = 0;
    let met = 0;
    fc.assert(
      fc.property(anyRules, fc.array(anyKey, { minLength: 50, maxLength: 50 }), (rules, keys) => {
        const compiled = compileRules(rules);
        program.swap(compiled.tables, compiled.source);
        shapes = Math.max(shapes, compiled.source.match(/case \d+:/g)!.length);
        for (const key of keys) {
          const expected = reference(rules, key);
          expect(ranksFor(program, key)).toEqual(expected);
          if (expected.length > 0) met++;
        }
      }),
      { numRuns: RUNS },
    );
    expect(shapes).toBeGreaterThan(400);
    expect(met).toBeGreaterThan(RUNS * 10);
  },
  LONG_MS,
);
