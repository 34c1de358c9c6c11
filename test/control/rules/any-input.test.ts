// No input crashes the reader of rules, makes it take long, or has it answer in more than one line.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatRule } from "../../../src/control/rules/format-rule.ts";
import { parseRule, RULE_LENGTH_MAX } from "../../../src/control/rules/parse-rule.ts";
import { ruleFromObject } from "../../../src/control/rules/rule-object.ts";
import { caretLines, RuleSyntaxError } from "../../../src/control/rules/syntax-error.ts";
import { RingyardError } from "../../../src/core/errors.ts";
import { anyNamedRule } from "../../support/random-named-rules.ts";
import { sized } from "../../support/scale.ts";

const runs = { numRuns: sized(1_000, 50_000) };
const TIMEOUT_MS = sized(30_000, 600_000);

/** Reads it, or is refused properly. */
function read(text: string): void {
  try {
    const rule = parseRule(text);
    const canonical = formatRule(rule);
    expect(parseRule(canonical)).toEqual(rule);
  } catch (error) {
    if (!(error instanceof RuleSyntaxError)) throw error;
    checkRefusal(error);
    expect(error.text).toBe(text);
    expect(error.at).toBeWithin(0, text.length + 1);
    expect(error.length).toBeGreaterThan(0);
    for (const line of caretLines(error)) expect(line).toMatch(/^[\x20-\x7e]{0,106}$/);
  }
}

function checkRefusal(error: RingyardError): void {
  expect(error.code).toBe("BAD_RULE");
  expect(error.next).toBeString();
  // One line, and nothing that a terminal obeys.
  expect(error.advice).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
  expect(error.advice.length).toBeLessThan(1000);
}

const WORDS = (
  "id prio in eth src dst type vlan none any pcp inner arp op spa tpa sha tha ip ip6 proto dscp frag tcp udp sctp sport dport flags icmp " +
  "icmp6 code allow drop forward flood continue mirror set strip meter count log 7 80,443 90-80 1/100 10.0.0.0/8 10.0.0.1/8 ::1 fe80::/10 " +
  "02:00:00:00:00:01 syn,!ack vm1 vm1,vm2 , - / ! x __proto__ constructor"
).split(" ");

describe("texts", () => {
  test(
    "of any characters",
    () => {
      fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), read), runs);
    },
    TIMEOUT_MS,
  );

  test(
    "of the language's words in any order",
    () => {
      const text = fc.array(fc.constantFrom(...WORDS), { maxLength: 20 }).map((words) => words.join(" "));
      fc.assert(fc.property(text, read), runs);
    },
    TIMEOUT_MS,
  );

  test(
    "that were rules until something was cut out, doubled or changed",
    () => {
      const piece = fc.oneof(
        fc.constantFrom(...WORDS),
        fc.string({ maxLength: 3 }),
        fc.constantFrom(",", "/", "-", "!", " ", "#"),
      );
      const damaged = fc
        .record({ rule: anyNamedRule, from: fc.double({ min: 0, max: 1, noNaN: true }), cut: fc.nat(12), piece })
        .map(({ rule, from, cut, piece }) => {
          const text = formatRule(rule);
          const at = Math.floor(from * text.length);
          return `${text.slice(0, at)}${piece}${text.slice(at + cut)}`;
        });
      fc.assert(fc.property(damaged, read), runs);
    },
    TIMEOUT_MS,
  );

  test("cut short anywhere", () => {
    const text =
      "id 7 prio 100 in vm1,vm2 eth src 02:00:00:00:00:01/ff:ff:ff:ff:ff:ff type ip vlan 10,20-30 pcp 3 inner any ip src 10.0.0.0/8 frag none " +
      "tcp dport 80,443 flags syn,!ack mirror span set vlan 5 set eth dst 02:00:00:00:00:02 set dscp ef meter web log 1/100 forward vm3,vm4";
    for (let length = 0; length <= text.length; length++) read(text.slice(0, length));
  });

  // A quadratic reader would take minutes for these, and the test has seconds.
  test("as long as they may be, and longer", () => {
    const filler = [
      "tcp ",
      "a",
      "1",
      ",",
      "1,",
      "1-",
      "!",
      "10.0.0.1,",
      "::,",
      ":",
      "1/",
      "\t",
      "é",
      "count ",
      "log 1/",
      "syn,",
      "in ",
      "\ud83d",
    ];
    const heads = [
      "",
      "tcp dport ",
      "ip src ",
      "ip6 src ",
      "eth src ",
      "in ",
      "tcp flags ",
      "log ",
      "log 1/",
      "forward ",
    ];
    for (const head of heads) {
      for (const part of filler) {
        for (const length of [RULE_LENGTH_MAX, RULE_LENGTH_MAX + 1, 1_000_000]) {
          read(`${head}${part.repeat(length / part.length)}`.slice(0, length));
        }
      }
    }
  }, 30_000);
});

describe("objects", () => {
  const readObject = (value: unknown) => {
    try {
      ruleFromObject(value);
    } catch (error) {
      if (!(error instanceof RingyardError)) throw error;
      expect(error.code).toBe("BAD_RULE");
      expect(error.advice).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
    }
  };

  test(
    "of any shape",
    () => {
      fc.assert(fc.property(fc.anything(), readObject), runs);
    },
    TIMEOUT_MS,
  );

  test(
    "with the language's keys and anything in them",
    () => {
      const key = fc.constantFrom(...WORDS, "actions", "rule");
      const value = fc.oneof(
        fc.constantFrom(...WORDS),
        fc.jsonValue(),
        fc.array(fc.constantFrom<string | number>(...WORDS, 7)),
      );
      const table = fc.dictionary(key, fc.oneof(value, fc.dictionary(key, value)));
      fc.assert(
        fc.property(table, (object) => readObject({ actions: ["drop"], ...object })),
        runs,
      );
    },
    TIMEOUT_MS,
  );

  test("with lists without end", () => {
    for (const dport of [new Array(1_000_000).fill(80), "80,".repeat(1_000_000), `80${" ".repeat(1_000_000)},80`]) {
      readObject({ tcp: { dport }, actions: ["drop"] });
    }
    readObject({ actions: new Array(1_000_000).fill("strip vlan") });
  });
});
