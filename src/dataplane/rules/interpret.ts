// What rules say of a frame, found the slow and obvious way: the reference for what the compiler makes of the same rules. Cold;
// control thread and tests.
//
//   rank 0  in vm1 mirror tap0             applies, goes on        a rule with no terminal action, or `continue`
//   rank 1  tcp dport 22 drop              does not apply
//   rank 2  ip dst 10.0.0.0/8 allow        applies, ends           -> [0, 2]

import { fieldsOf } from "./interpret-fields.ts";
import type { Action, Constraint, FieldValue, Rule } from "./rule.ts";

/** The ranks of the rules that apply to a frame that came in on `port`, in order. `rules` are in rank order. */
export function interpret(rules: readonly Rule[], port: number, frame: Uint8Array): number[] {
  const fields = fieldsOf(frame, port);
  const applying: number[] = [];
  for (const [rank, rule] of rules.entries()) {
    if (!rule.match.every((constraint) => holds(constraint, fields.get(constraint.field)))) continue;
    applying.push(rank);
    if (rule.actions.some(endsSearch)) break;
  }
  return applying;
}

/** Whether a field of this value, or an absent one, is what the constraint asks for. */
export function holds(constraint: Constraint, value: bigint | undefined): boolean {
  return value !== undefined && constraint.oneOf.some((wanted) => isOf(wanted, value));
}

function isOf(wanted: FieldValue, value: bigint): boolean {
  if ("mask" in wanted) return (value & wanted.mask) === wanted.value;
  return wanted.low <= value && value <= wanted.high;
}

function endsSearch(action: Action): boolean {
  return action.do === "allow" || action.do === "drop" || action.do === "forward" || action.do === "flood";
}
