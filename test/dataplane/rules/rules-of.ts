// Rules for tests, shorter than in full: [priority, match, ...actions] by field names and numbers, ids counting from 1.
//
//   rulesOf([5, { "udp.dport": 53 }, { do: "drop" }])    -> one rule, id 1, udp.dport = 53

import type { FieldName } from "../../../src/dataplane/rules/key.ts";
import type { Action, Constraint, Rule } from "../../../src/dataplane/rules/rule.ts";

export type Match = { [field in FieldName]?: number | bigint };

/** All bits of any field; a field's own width is the compiler's business. */
const WIDTHS: Partial<Record<FieldName, number>> = {
  "eth.dst": 48,
  "eth.src": 48,
  "ip4.src": 32,
  "ip4.dst": 32,
  "ip6.src": 128,
  "ip6.dst": 128,
  "vlan.id": 12,
  "vlan.pcp": 3,
  "inner.id": 12,
  "ip4.proto": 8,
  "ip4.dscp": 6,
  "ip4.frag": 2,
  "tcp.flags": 12,
  arp: 1,
};
const PRESENT = /^[a-z0-9]+$/;

function widthOf(field: FieldName): number {
  return WIDTHS[field] ?? (field !== "in" && PRESENT.test(field) ? 1 : 16);
}

export function matchOf(match: Match): Constraint[] {
  return Object.entries(match).map(([name, value]) => {
    const field = name as FieldName;
    return { field, oneOf: [{ value: BigInt(value), mask: (1n << BigInt(widthOf(field))) - 1n }] };
  });
}

export function rulesOf(...rules: [priority: number, match: Match, ...actions: Action[]][]): Rule[] {
  return rules.map(([priority, match, ...actions], k) => ({ id: k + 1, priority, match: matchOf(match), actions }));
}

/** An address as eth.src and eth.dst have it. */
export function macNumber(address: readonly number[]): bigint {
  return address.reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}
