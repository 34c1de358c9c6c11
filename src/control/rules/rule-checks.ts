// What a rule or a meter is refused for before the dataplane sees it, and how that is said: one line that names the rule, the word in it, and
// the nearest name there is. Pure; control thread.

import { RingyardError } from "../../core/errors.ts";
import { quoted, word } from "../../core/quote.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import { RuleLimitError } from "../../dataplane/rules/rule-limit.ts";
import { listed } from "../listed.ts";
import { suggest } from "../nearest.ts";
import { ruleText } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import type { RuleEntry } from "./rule-entry.ts";
import type { AbsentPorts } from "./rules-api.ts";

/** A rule's text goes over the control socket in one frame (control/frame.ts), with what is said of it. */
const RULE_TEXT_MAX = 15_000;

/** Ports of the switch by name. */
export type PortsByName = ReadonlyMap<string, number>;

/** Throws where the text is too long, or, with `absent` "refuse", a port is not there. */
export function checkRule({ rule, names }: RuleEntry, ports: PortsByName, absent: AbsentPorts): void {
  if (ruleText(rule).length > RULE_TEXT_MAX) throw ofRule(rule, tooLong);
  const port = names.ports.find((name) => !ports.has(name));
  if (port !== undefined && absent === "refuse") throw ofRule(rule, noPort(port, ports));
}

/** Throws where a meter that the rule names is none of `meters`, whose names are `known`. */
export function checkMeters(
  { rule, names }: RuleEntry,
  meters: readonly MeterSpec[],
  known: ReadonlySet<string> = namesOf(meters),
): void {
  const unknown = names.meters.find((name) => !known.has(name));
  if (unknown !== undefined) throw ofRule(rule, noMeter(unknown, meters));
}

export function namesOf(meters: readonly MeterSpec[]): ReadonlySet<string> {
  return new Set(meters.map(({ name }) => name));
}

/** The index of a port. Throws where it is not there. */
export function indexOf(name: string, ports: PortsByName): number {
  const index = ports.get(name);
  if (index === undefined) throw noPort(name, ports);
  return index;
}

function noPort(name: string, ports: PortsByName): RingyardError {
  return new RingyardError("NOT_FOUND", `no port ${word(name)}`, suggest(name, "ports:", ports.keys()));
}

export function noMeter(name: string, meters: readonly MeterSpec[]): RingyardError {
  return new RingyardError("NOT_FOUND", `no meter ${word(name)}`, suggest(name, "meters:", namesOf(meters)));
}

/** `users`: ids of the rules that name it, at least one. */
export function meterInUse(name: string, users: readonly number[]): RingyardError {
  const rules = users.length === 1 ? `rule ${users[0]}` : `rules ${listed(users)}`;
  return new RingyardError("BUSY", `meter ${word(name)} is used by ${rules}`, "delete what uses it first");
}

export function ruleExists(id: number): RingyardError {
  return new RingyardError("EXISTS", `rule ${id} exists`, "choose another id, or delete it first");
}

/**
 * What the dataplane said of `entries`, which were to take the place of `before`: of a rule that was just to come nobody has seen the id, so its
 * text stands there.
 */
export function namingTheRule(error: unknown, entries: readonly RuleEntry[], before: readonly RuleEntry[]): unknown {
  if (!(error instanceof RuleLimitError) || before.some(({ id }) => id === error.rule)) return error;
  const entry = entries.find(({ id }) => id === error.rule);
  return entry === undefined ? error : ofRule(entry.rule, new RingyardError(error.code, error.problem, error.next));
}

const tooLong = new RingyardError(
  "LIMIT",
  `longer than ${RULE_TEXT_MAX} characters`,
  "spread its lists over several rules",
);

/** Among many rules the one that is meant has to be there too. */
function ofRule(rule: NamedRule, error: RingyardError): RingyardError {
  return new RingyardError(error.code, `rule ${quoted(ruleText(rule))}: ${error.message}`, error.next);
}
