// A rule as a person writes it: the dataplane's rule (dataplane/rules/rule.ts) with ports and meters by their names, which may
// come and go while the rule stays. What texts and objects are read into, what is kept, compared and printed. Plain data; pure.
//
//   text   prio 100 in vm1 tcp dport 80,443 forward fw    <- parse-rule.ts, format-rule.ts ->    NamedRule
//   object { prio: 100, in: ["vm1"], tcp: {…}, … }        <- rule-object.ts ->                   NamedRule
//   NamedRule { priority: 100, match: [ in = vm1 ] [ tcp = 1 ] [ tcp.dport = 80 or 443 ], actions: [ forward fw ] }
//   NamedRule                                              - resolve.ts ->                       Rule
//
// Values are bigints as in Rule, so that nothing is parsed twice; what leaves the process is text or object, never this.
// Canonical, as every reader here gives it: constraints in the order of FIELD_NAMES, each field once; values in ascending order,
// each once; a range of one value is that value. Two rules that say the same with the same values are equal.

import type { FieldName } from "../../dataplane/rules/key.ts";
import type { Action, Constraint, FieldValue } from "../../dataplane/rules/rule.ts";

export interface NamedRule {
  /** Absent: the switch chooses one. */
  id?: number;
  priority: number;
  match: readonly NamedConstraint[];
  actions: readonly NamedAction[];
}

export type NamedConstraint = PortConstraint | FieldConstraint;

/** The frame came in on one of these ports. */
export interface PortConstraint {
  field: "in";
  oneOf: readonly string[];
}

export interface FieldConstraint extends Constraint {
  field: Exclude<FieldName, "in">;
  oneOf: readonly FieldValue[];
}

export type NamedAction =
  | Exclude<Action, { do: "forward" | "mirror" | "meter" }>
  | { do: "forward"; ports: readonly string[] }
  | { do: "mirror"; port: string }
  | { do: "meter"; meter: string };

/** What a rule that the switch holds has besides: its number. */
export type NumberedRule = NamedRule & { id: number };
