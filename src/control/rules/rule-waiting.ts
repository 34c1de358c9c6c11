// Rules that name ports which are not there (any more, or yet). They stay, and are resolved to what they can mean without them:
//
//   in vm1,vm2 drop        vm1 gone: in vm2        both gone: a port that no frame comes from
//   forward fw1,fw2        fw1 gone: forward fw2   both gone: forward to nothing, dropped as no_destination
//   mirror probe           gone: nothing is mirrored
//
// Nothing is taken from the rule itself, so that it means again what it did when a port of that name is there. Pure.

import type { Rule } from "../../dataplane/rules/rule.ts";
import { MAX_PORTS } from "../../dataplane/shared.ts";
import { listed } from "../listed.ts";
import type { NamedAction, NamedConstraint } from "./named-rule.ts";
import { type RuleLookup, resolveRule } from "./resolve.ts";
import type { TableRule } from "./rules-api.ts";

/** No port has this index, and so no frame comes from it. */
const NO_PORT = MAX_PORTS;

/** The rule as the dataplane runs it with the ports that there are. */
export function resolveWithoutAbsent({ id, rule }: TableRule, lookup: RuleLookup): Rule {
  const here = (name: string) => lookup.port(name) !== undefined;
  const match = rule.match.map((constraint) => matchHere(constraint, here));
  const actions = rule.actions.flatMap((action) => actionHere(action, here));
  const port = (name: string) => lookup.port(name) ?? NO_PORT;
  return resolveRule({ ...rule, id, match, actions }, { port, meter: (name) => lookup.meter(name) });
}

function matchHere(constraint: NamedConstraint, here: (name: string) => boolean): NamedConstraint {
  if (constraint.field !== "in") return constraint;
  const oneOf = constraint.oneOf.filter(here);
  // One name stays where none is there: a constraint has at least one value.
  return { ...constraint, oneOf: oneOf.length > 0 ? oneOf : constraint.oneOf.slice(0, 1) };
}

function actionHere(action: NamedAction, here: (name: string) => boolean): NamedAction[] {
  if (action.do === "forward") return [{ ...action, ports: action.ports.filter(here) }];
  return action.do === "mirror" && !here(action.port) ? [] : [action];
}

/** What of the ports that a rule names is missing, as `no port vm1, vm2`, the first of them; undefined where all are there. */
export function waitsFor({ names }: { names: { ports: readonly string[] } }, lookup: RuleLookup): string | undefined {
  const absent = names.ports.filter((name) => lookup.port(name) === undefined);
  return absent.length === 0 ? undefined : `no port ${listed(absent)}`;
}
