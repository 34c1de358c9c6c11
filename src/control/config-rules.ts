// The rules and meters of a configuration, read, and held against the names that there are.
//
//   rules = ["prio 100 in vm1 tcp dport 80 drop", { prio = 10, … }]     or [[rules]] tables
//   [meters.web]
//   rate = "100 Mbit/s"
//
// A rule may name ports of the file, of the command line and of `port add`, so names are looked at when all are known. Pure.

import type { ZodError } from "zod";
import { quoted, word } from "../core/quote.ts";
import type { Steps } from "../core/turns.ts";
import type { Config, ConfigProblem } from "./config.ts";
import type { Place } from "./config-toml.ts";
import { suggest } from "./nearest.ts";
import { nameAdvice, portName } from "./options.ts";
import { isPlainTable } from "./plain-table.ts";
import { type KnownRules, keepSource } from "./rules/known-rules.ts";
import { meterSchema } from "./rules/meter-spec.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import { namesIn } from "./rules/resolve.ts";
import { ruleSchema } from "./rules/rule-object.ts";

/** Fills `config` from the value of `rules`; those that are known need not be read. */
export function* readRules(value: unknown, config: Config, problems: ConfigProblem[], known: KnownRules): Steps<void> {
  if (!Array.isArray(value)) {
    problems.push({ path: ["rules"], message: `expected a list of rules, found ${quoted(value)}` });
    return;
  }
  const ids = new Set<number>();
  for (const [index, element] of value.entries()) {
    yield;
    const path: Place = ["rules", index];
    const rule = readElement(element, path, problems, known);
    if (rule === undefined) continue;
    if (rule.id !== undefined && ids.has(rule.id)) {
      problems.push({ path, message: `id ${rule.id} is given twice: give each rule its own, or none` });
    }
    if (rule.id !== undefined) ids.add(rule.id);
    config.rules.push({ rule });
  }
}

/** Undefined where it is no rule; then `problems` says why. */
function readElement(
  element: unknown,
  path: Place,
  problems: ConfigProblem[],
  known: KnownRules,
): NamedRule | undefined {
  const before = typeof element === "string" ? known.get(element) : undefined;
  if (before !== undefined) return before;
  const { success, data, error } = ruleSchema.safeParse(element);
  if (!success) {
    problems.push(problemOf(error, path));
    return undefined;
  }
  if (typeof element === "string") keepSource(data, element);
  return data;
}

/** Fills `config` from the value of `meters`. */
export function readMeters(value: unknown, config: Config, problems: ConfigProblem[]): void {
  if (!isPlainTable(value)) {
    problems.push({ path: ["meters"], message: `expected a table of meters, found ${quoted(value)}` });
    return;
  }
  for (const [name, meter] of Object.entries(value)) {
    const path: Place = ["meters", name];
    const parsed = meterSchema.safeParse(meter);
    if (!portName.safeParse(name).success) {
      problems.push({ path, message: `not the name of a meter: ${nameAdvice(name)}` });
    } else if (!parsed.success) problems.push(problemOf(parsed.error, path));
    else config.meters.set(name, { name, ...parsed.data });
  }
}

/** The first mistake: others of the same rule often follow from it. */
function problemOf({ issues: [issue] }: ZodError, path: Place): ConfigProblem {
  const inside = [...path, ...issue.path.map((key) => (typeof key === "number" ? key : String(key)))];
  if (issue.code !== "unrecognized_keys") return { path: inside, message: issue.message };
  return { path: [...inside, issue.keys[0]], message: "unknown key" };
}

/** A line for each rule that names a port or a meter which is not among these. */
export function* missingNames(
  config: Pick<Config, "rules">,
  ports: ReadonlySet<string>,
  meters: ReadonlySet<string>,
): Steps<string[]> {
  const lines: string[] = [];
  for (const { rule, place } of config.rules) {
    const names = namesIn(rule);
    const noPorts = names.ports.filter((name) => !ports.has(name)).map((name) => unknownName("port", name, ports));
    const noMeters = names.meters.filter((name) => !meters.has(name)).map((name) => unknownName("meter", name, meters));
    for (const message of [...noPorts, ...noMeters]) lines.push(place === undefined ? message : `${place}: ${message}`);
    yield;
  }
  return lines;
}

function unknownName(kind: "port" | "meter", name: string, known: Iterable<string>): string {
  return `no ${kind} ${word(name)}: ${suggest(name, `${kind}s:`, known)}`;
}
