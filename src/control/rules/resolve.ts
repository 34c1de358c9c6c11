// From names to numbers: a NamedRule as the dataplane's Rule, where a table says which port and meter a name stands for. Pure.
//
//   in vm1,vm2 meter web forward fw     ->     in = 3 or 5    [ meter 0 ] [ forward [4] ]

import { RingyardError } from "../../core/errors.ts";
import { fullMask } from "../../dataplane/rules/fields.ts";
import type { Action, Constraint, Rule } from "../../dataplane/rules/rule.ts";
import type { NamedAction, NamedConstraint, NamedRule, NumberedRule } from "./named-rule.ts";

/** What names stand for; undefined where nothing has that name. */
export interface RuleLookup {
  port(name: string): number | undefined;
  meter(name: string): number | undefined;
}

/** NOT_FOUND: a rule names what is not there. */
export class UnknownNameError extends RingyardError {
  constructor(
    readonly kind: "port" | "meter",
    /** The name, as the rule has it. */
    readonly word: string,
    rule: number,
  ) {
    const next = kind === "port" ? `add it: ringyard port add ${word} URI` : `define it: [meters.${word}]`;
    super("NOT_FOUND", `rule ${rule}: no ${kind} is called ${word}`, next);
  }
}

/** Throws UnknownNameError for the first name without a number. Who wants to bear with such names asks namesIn before. */
export function resolveRule(rule: NumberedRule, lookup: RuleLookup): Rule {
  const find = (kind: "port" | "meter") => (name: string) => {
    const index = lookup[kind](name);
    if (index === undefined) throw new UnknownNameError(kind, name, rule.id);
    return index;
  };
  const [port, meter] = [find("port"), find("meter")];
  return {
    id: rule.id,
    priority: rule.priority,
    match: rule.match.map((constraint) => resolveConstraint(constraint, port)),
    actions: rule.actions.map((action) => resolveAction(action, port, meter)),
  };
}

type Find = (name: string) => number;

function resolveConstraint(constraint: NamedConstraint, port: Find): Constraint {
  if (constraint.field !== "in") return constraint;
  const mask = fullMask("in");
  return { field: "in", oneOf: constraint.oneOf.map((name) => ({ value: BigInt(port(name)), mask })) };
}

function resolveAction(action: NamedAction, port: Find, meter: Find): Action {
  switch (action.do) {
    case "forward":
      return { do: "forward", ports: action.ports.map(port) };
    case "mirror":
      return { do: "mirror", port: port(action.port) };
    case "meter":
      return { do: "meter", meter: meter(action.meter) };
    default:
      return action;
  }
}

/** The ports and meters that a rule names. */
export interface RuleNames {
  readonly ports: readonly string[];
  readonly meters: readonly string[];
}

/** Of most of thousands of rules. */
const NO_NAMES: RuleNames = { ports: [], meters: [] };
const NAMING = new Set<NamedAction["do"]>(["forward", "mirror", "meter"]);

/** Each once, in the order of its text. */
export function namesIn(rule: NamedRule): RuleNames {
  if (rule.match.every(({ field }) => field !== "in") && !rule.actions.some((action) => NAMING.has(action.do)))
    return NO_NAMES;
  const [ports, meters] = [new Set<string>(), new Set<string>()];
  for (const constraint of rule.match)
    if (constraint.field === "in") for (const name of constraint.oneOf) ports.add(name);
  for (const action of rule.actions) {
    if (action.do === "forward") for (const name of action.ports) ports.add(name);
    if (action.do === "mirror") ports.add(action.port);
    if (action.do === "meter") meters.add(action.meter);
  }
  return { ports: [...ports], meters: [...meters] };
}
