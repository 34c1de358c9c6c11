// Whether a switch could start with a configuration, as far as that can be known without one: what reads well may still name ports that
// are not there, want ids that do not exist, or be more than a switch holds. Control thread of a command.

import { errorLine } from "../core/errors.ts";
import { RuleCompiler } from "../dataplane/rules/compile.ts";
import { byRank } from "../dataplane/rules/rule.ts";
import { METERS_MAX } from "../dataplane/rules/rule-memory.ts";
import { type Config, ConfigError, checkNames, DEFAULTS } from "./config.ts";
import { checkPortsFit } from "./ports-fit.ts";
import { lookupOf, RuleEntry } from "./rules/rule-entry.ts";
import { numberRules, RULE_ID_MAX } from "./rules/rule-numbers.ts";
import type { TableRule } from "./rules/rules-api.ts";
import { encode } from "./uri-text.ts";

/** Throws ConfigError; `config` with all that the command line adds. */
export function checkWhole(config: Config): void {
  const { meters, ports, settings } = config;
  if (meters.size > METERS_MAX)
    refuse(`meters: ${meters.size} are more than the ${METERS_MAX} that a switch has: share some`);
  checkNames(config, ports.keys(), meters.keys());
  // Without CPUs, a start may still be told some.
  checkTargets(ports);
  checkPortsFit(ports, { macLimit: settings.macLimit ?? DEFAULTS.macLimit, cpus: settings.cpus });
  compile(numbered(config), config);
}

/** A device, a NIC or a socket is one port's: the second would fail when the first is there. */
function checkTargets(ports: Config["ports"]): void {
  const owners = new Map<string, string>();
  const lines: string[] = [];
  for (const [name, { spec, place = `port ${name}` }] of ports) {
    const { kind, target, options } = spec;
    // Nothing is there to be had of `null:`; who connects to a socket does not have it.
    if (target === "" || options.mode === "client") continue;
    const wanted = JSON.stringify([kind, target, options.netns]);
    const owner = owners.get(wanted);
    if (owner === undefined) owners.set(wanted, name);
    else lines.push(`${place}: port ${owner} has ${kind}:${encode(target)} already: choose another`);
  }
  if (lines.length > 0) throw new ConfigError(lines);
}

function numbered({ rules }: Config): TableRule[] {
  try {
    return numberRules(
      rules.map(({ rule }) => rule),
      [],
      0,
    ).rules;
  } catch (error) {
    // The first that found no id behind the greatest one of its priority.
    const greatest = rules.reduce((most, { rule }) => Math.max(most, rule.id ?? 0), 0);
    const at = rules.findIndex(({ rule }) => rule.id === greatest);
    const behind = rules.slice(at + 1).filter(({ rule }) => rule.id === undefined);
    const first = behind.filter(({ rule }) => rule.priority === rules[at]?.rule.priority)[RULE_ID_MAX - greatest];
    return refuse(`${first?.place ?? "rules"}: ${errorLine(error)}`);
  }
}

/** As the switch would, before it starts: each rule alone may be well, and all of them too much. */
function compile(rules: readonly TableRule[], { ports, meters }: Config): void {
  const indices = new Map([...ports.keys()].map((name, index) => [name, index]));
  const lookup = lookupOf(indices, [...meters.values()]);
  try {
    new RuleCompiler().compile(rules.map(({ id, rule }) => new RuleEntry(id, rule).resolve(lookup)).toSorted(byRank));
  } catch (error) {
    refuse(`rules: ${errorLine(error)}`);
  }
}

function refuse(line: string): never {
  throw new ConfigError([line]);
}
