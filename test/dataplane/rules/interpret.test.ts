// The reference interpreter by example: order, continue, what absent fields mean. Fields themselves: parse.test.ts.

import { describe, expect, test } from "bun:test";
import { interpret } from "../../../src/dataplane/rules/interpret.ts";
import type { FieldName } from "../../../src/dataplane/rules/key.ts";
import { type Action, byRank, type FieldValue, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { hex } from "./parsed.ts";

const DROP: Action = { do: "drop" };
const ANY: FieldValue = { value: 0n, mask: 0n };
const PORT = 3;
const MACS = "02000000000a 02000000000b";
const UDP = "0035 1388 0008 0000";
const PLAIN = hex(MACS, "0800 45b9 001c 0001 4000 4011 0000 0a000001 c0a80102", UDP);
const LATER = hex(MACS, "0800 45b9 001c 0001 2001 4011 0000 0a000001 c0a80102", UDP);
const FIRST = hex(MACS, "0800 45b9 001c 0001 2000 4011 0000 0a000001 c0a80102", UDP);
const TAGGED = hex(MACS, "8100 6000 0800 45b9 001c 0001 4000 4011 0000 0a000001 c0a80102", UDP);

function is(field: FieldName, ...values: bigint[]) {
  return { field, oneOf: values.map((value) => ({ value, mask: (1n << 128n) - 1n })) };
}

function rule(match: Rule["match"], actions: Action[] = [DROP], id = 1, priority = 1000): Rule {
  return { id, priority, match, actions };
}

/** Whether a rule with this match applies to a frame. */
function applies(frame: Uint8Array, ...match: Rule["match"]): boolean {
  return interpret([rule(match)], PORT, frame).length === 1;
}

describe("order", () => {
  test("by priority, then by id", () => {
    const rules = [rule([], [], 7, 5), rule([], [], 9, 10), rule([], [], 2, 5), rule([], [], 8, 10)].sort(byRank);
    expect(rules.map(({ id }) => id)).toEqual([8, 9, 2, 7]);
    expect(interpret(rules, PORT, PLAIN)).toEqual([0, 1, 2, 3]);
  });

  test.each<[string, Action]>([
    ["allow", { do: "allow" }],
    ["drop", DROP],
    ["flood", { do: "flood" }],
    ["forward", { do: "forward", ports: [1] }],
  ])("the first that applies decides: %s", (_, terminal) => {
    const rules = [rule([is("tcp", 1n)], [terminal]), rule([], [{ do: "count" }, terminal]), rule([], [DROP])];
    expect(interpret(rules, PORT, PLAIN)).toEqual([1]);
  });

  test("unless it says continue, or nothing about the end", () => {
    const rules = [
      rule([], [{ do: "mirror", port: 1 }, { do: "continue" }]),
      rule([], [{ do: "set-dscp", dscp: 0 }]),
      rule([], []),
      rule([is("ip4.dscp", 46n)], [DROP]),
      rule([], [DROP]),
    ];
    expect(interpret(rules, PORT, PLAIN)).toEqual([0, 1, 2, 3]);
  });

  test("none", () => {
    expect(interpret([], PORT, PLAIN)).toEqual([]);
    expect(interpret([rule([is("in", 4n)])], PORT, PLAIN)).toEqual([]);
  });
});

describe("a match", () => {
  test("needs all its constraints, and of each any value", () => {
    expect(applies(PLAIN, is("in", 3n), is("udp.dport", 80n, 5000n))).toBe(true);
    expect(applies(PLAIN, is("in", 4n), is("udp.dport", 80n, 5000n))).toBe(false);
    expect(applies(PLAIN, is("in", 3n), is("udp.dport", 80n, 5001n))).toBe(false);
  });

  test("by mask", () => {
    const masked = (value: bigint, mask: bigint) => ({ field: "ip4.src" as const, oneOf: [{ value, mask }] });
    expect(applies(PLAIN, masked(0x0a000000n, 0xff000000n))).toBe(true);
    expect(applies(PLAIN, masked(0x0b000000n, 0xff000000n))).toBe(false);
    expect(applies(PLAIN, masked(1n, 1n))).toBe(true);
  });

  test("by range, both ends included", () => {
    const range = (low: bigint, high: bigint) => ({ field: "udp.dport" as const, oneOf: [{ low, high }] });
    for (const [low, high, expected] of [
      [5000n, 5000n, true],
      [1n, 5000n, true],
      [5000n, 65535n, true],
      [0n, 4999n, false],
      [5001n, 65535n, false],
    ] as const) {
      expect([low, high, applies(PLAIN, range(low, high))]).toEqual([low, high, expected]);
    }
  });

  test("never of a field that is absent, not even of any value", () => {
    expect(applies(PLAIN, { field: "udp.sport", oneOf: [ANY] })).toBe(true);
    for (const field of ["tcp.sport", "ip6.src", "arp.op", "vlan.id", "icmp.type"] as const) {
      expect([field, applies(PLAIN, { field, oneOf: [ANY] })]).toEqual([field, false]);
      expect([field, applies(PLAIN, { field, oneOf: [{ low: 0n, high: 65535n }] })]).toEqual([field, false]);
    }
  });

  test("vlan none, and a priority tag, which is one with VLAN 0", () => {
    expect([applies(PLAIN, is("vlan", 0n)), applies(TAGGED, is("vlan", 0n))]).toEqual([true, false]);
    expect([applies(PLAIN, is("vlan.id", 0n)), applies(TAGGED, is("vlan.id", 0n))]).toEqual([false, true]);
  });

  test("fragments: first, later, any, none", () => {
    const fragment = (value: bigint, mask: bigint) => ({ field: "ip4.frag" as const, oneOf: [{ value, mask }] });
    const of = (value: bigint, mask: bigint) =>
      [PLAIN, FIRST, LATER].map((frame) => applies(frame, fragment(value, mask)));
    expect(of(0n, 1n)).toEqual([true, false, false]);
    expect(of(1n, 1n)).toEqual([false, true, true]);
    expect(of(1n, 3n)).toEqual([false, true, false]);
    expect(of(2n, 2n)).toEqual([false, false, true]);
    expect([PLAIN, FIRST, LATER].map((frame) => applies(frame, is("udp.sport", 53n)))).toEqual([true, true, false]);
  });
});
