// Would a rule match a frame? One constraint after the other, with what the frame has in its place; nothing is added or compiled.
//
//   prio 100 in vm1 tcp dport 80 drop      in vm1       yes
//                                          tcp          yes
//                                          tcp dport 80 no: tcp dport 443
//
// The header is read by the workers' own parser. Control thread; pure.

import { fieldValue, fullMask } from "../../dataplane/rules/fields.ts";
import { HEADER_BYTES, KEY_WORDS } from "../../dataplane/rules/key.ts";
import { parseKey } from "../../dataplane/rules/parse.ts";
import { formatMatch, ruleText } from "./format-rule.ts";
import { fits } from "./layout.ts";
import type { NamedConstraint, NamedRule } from "./named-rule.ts";
import type { FrameSample, RuleTest } from "./rules-api.ts";

/** `port`: where the frame came in. */
export function testRule(rule: NamedRule, port: { name: string; index: number }, sample: FrameSample): RuleTest {
  const key = keyOf(port.index, sample);
  const constraints = rule.match.map((constraint) => {
    const found = foundIn(key, port.name, constraint);
    const holds = constraint.field === "in" ? constraint.oneOf.includes(port.name) : holdsOf(key, constraint);
    return { text: textOf(constraint), holds, ...(found === undefined ? {} : { found: textOf(found) }) };
  });
  return { text: ruleText(rule), matches: constraints.every(({ holds }) => holds), constraints };
}

function keyOf(port: number, { bytes, length = bytes.length }: FrameSample): Int32Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(bytes.subarray(0, HEADER_BYTES));
  const key = new Int32Array(KEY_WORDS);
  // What is cut off from a capture does not exist here either.
  parseKey(new DataView(header.buffer), 0, bytes.length < HEADER_BYTES ? bytes.length : length, port, key);
  return key;
}

function holdsOf(key: Int32Array, { field, oneOf }: Exclude<NamedConstraint, { field: "in" }>): boolean {
  const value = fieldValue(key, field);
  return value !== undefined && oneOf.some((asked) => fits(asked, value));
}

/** What the frame has in a constraint's place, as a constraint; undefined where its header is absent. */
function foundIn(key: Int32Array, port: string, constraint: NamedConstraint): NamedConstraint | undefined {
  const { field } = constraint;
  if (field === "in") return { field, oneOf: [port] };
  const value = fieldValue(key, field);
  return value === undefined ? undefined : { field, oneOf: [{ value, mask: fullMask(field) }] };
}

function textOf(constraint: NamedConstraint): string {
  return formatMatch({ priority: 0, match: [constraint], actions: [] });
}
