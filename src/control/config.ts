// The configuration: what the switch shall be, from a TOML file, the command line and the control socket alike.
//
//   [switch]                          [ports]                        [ports.db]
//   cpus = "0-1"                      web = "tap:web?netns=blue"     uri = "vhost-user:/run/db.sock"
//   poll = "adaptive"                                                mtu = 1500
//   ageing = 300                                                     link = "down"
//   mac-limit = 65536                                                mac-limit = 16
//                                                                    vlan = 10                           (config-policy.ts)
//   [vlans.10]  ageing = 60          [mirrors.m]  to = "web"
//
//   rules = ["in web drop"]          (first: it is in no table)      [meters.m]  rate = "1 Mbit/s"      (config-rules.ts)
//
// A file with mistakes yields all of them, each as `FILE:LINE: KEY: what is wrong`. Control thread.

import { RingyardError } from "../core/errors.ts";
import { phrase, word } from "../core/quote.ts";
import { atOnce, type Steps, takingTurns } from "../core/turns.ts";
import type { VlanPolicy } from "../dataplane/bridge/policy.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";
import type { PortSpec } from "../ports/port.ts";
import type { SwitchSettings } from "./api.ts";
import { missingMirrorPorts } from "./config-policy.ts";
import { missingNames } from "./config-rules.ts";
import { checkConfig } from "./config-schema.ts";
import { type Place, readToml, type Toml, type TomlSyntaxError } from "./config-toml.ts";
import { readTomlAside } from "./config-toml-aside.ts";
import type { NamedMirror, PortSettings } from "./policy/named-policy.ts";
import { readText } from "./read-text.ts";
import { type KnownRules, NO_RULES } from "./rules/known-rules.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import type { Kinds } from "./uri.ts";

/** A port as it shall be. */
export interface PortConfig {
  spec: PortSpec;
  link: "up" | "down";
  /** At most so many learned addresses; absent: as many as the switch holds. */
  macLimit?: number;
  /** What it does beyond learning and flooding; absent: nothing. */
  policy?: PortSettings;
  /** Where it stands: `FILE:LINE: ports.vm1`; absent: on the command line, or in a request. */
  place?: string;
}

/** A mirror as it shall be. */
export interface MirrorConfig {
  mirror: NamedMirror;
  /** Where it stands: `FILE:LINE: mirrors.m`. */
  place?: string;
}

/** A rule as it shall be. */
export interface RuleConfig {
  rule: NamedRule;
  /** Where it stands: `FILE:LINE: rules.3`. */
  place?: string;
}

export interface Config {
  settings: SwitchSettings;
  /** Path of the control socket; absent: the default. */
  control?: string;
  /** By name, in the order of the file. */
  ports: Map<string, PortConfig>;
  /** In the order of the file: of one priority, the order in which they are tried. */
  rules: RuleConfig[];
  meters: Map<string, MeterSpec>;
  vlans: Map<number, VlanPolicy>;
  mirrors: Map<string, MirrorConfig>;
}

/** A mistake: the keys that lead to it, and what is wrong there. */
export interface ConfigProblem {
  path: Place;
  message: string;
}

/** What stands for an absent setting. */
export const DEFAULTS = { poll: "adaptive", ageingS: 300, macLimit: 65536 } as const;

/** A configuration with mistakes; `lines` has one line for each. */
export class ConfigError extends RingyardError {
  constructor(readonly lines: string[]) {
    super("BAD_CONFIG", lines[0]);
  }
}

export function emptyConfig(): Config {
  return { settings: {}, ports: new Map(), rules: [], meters: new Map(), vlans: new Map(), mirrors: new Map() };
}

/** Reads a file, in turns with others; throws ConfigError, or MISSING where there is none. */
export async function loadConfig(file: string, kinds: Kinds, known: KnownRules = NO_RULES): Promise<Config> {
  const text = await readText(file, "name a readable file");
  return takingTurns(configOf(await readTomlAside(text), file, kinds, known));
}

/** Reads the text of a file called `file`; throws ConfigError. */
export function parseConfig(text: string, file: string, kinds: Kinds): Config {
  return atOnce(configOf(readToml(text), file, kinds, NO_RULES));
}

function* configOf(toml: Toml | TomlSyntaxError, file: string, kinds: Kinds, known: KnownRules): Steps<Config> {
  const shown = phrase(file);
  if ("message" in toml) throw new ConfigError([`${shown}:${toml.line}: ${toml.message}`]);
  const config = emptyConfig();
  const problems = [
    ...toml.problems,
    ...withoutTold(yield* checkConfig(toml.value, kinds, config, known), toml.problems),
  ];
  const placeOf = (path: Place) => `${shown}:${toml.lineOf(path)}: ${path.map((key) => word(String(key))).join(".")}`;
  if (problems.length === 0) {
    for (const [index, rule] of config.rules.entries()) {
      rule.place = placeOf(["rules", index]);
      yield;
    }
    for (const [name, port] of config.ports) port.place = placeOf(["ports", name]);
    for (const [name, mirror] of config.mirrors) mirror.place = placeOf(["mirrors", name]);
    return config;
  }
  const placed = problems.map(({ path, message }) => ({ line: toml.lineOf(path), path, message }));
  placed.sort((a, b) => a.line - b.line);
  throw new ConfigError(placed.map(({ path, message }) => `${placeOf(path)}: ${message}`));
}

/** What schemas say of a value that is refused already, or of what it is in, is the same once more. */
function withoutTold(problems: ConfigProblem[], told: readonly ConfigProblem[]): ConfigProblem[] {
  const waysTo = (path: Place) => path.map((_, index) => JSON.stringify(path.slice(0, index + 1)));
  const refused = new Set(told.map(({ path }) => JSON.stringify(path)));
  const around = new Set(told.flatMap(({ path }) => waysTo(path)));
  return problems.filter(
    ({ path }) => !around.has(JSON.stringify(path)) && !waysTo(path).some((way) => refused.has(way)),
  );
}

/** Throws ConfigError where a rule or a mirror names a port or a meter that is not among these. */
export function checkNames(
  config: Pick<Config, "rules" | "mirrors">,
  ports: Iterable<string>,
  meters: Iterable<string>,
): void {
  atOnce(checkingNames(config, ports, meters));
}

/** The same in steps. */
export function* checkingNames(
  config: Pick<Config, "rules" | "mirrors">,
  ports: Iterable<string>,
  meters: Iterable<string>,
): Steps<void> {
  const known = new Set(ports);
  const lines = [...(yield* missingNames(config, known, new Set(meters))), ...missingMirrorPorts(config, known)];
  if (lines.length > 0) throw new ConfigError(lines);
}

/** The file's configuration with the command line's on top: its settings, and its ports by name. */
export function overlay(base: Config, over: Config): Config {
  return {
    ...base,
    settings: { ...base.settings, ...over.settings },
    control: over.control ?? base.control,
    ports: new Map([...base.ports, ...over.ports]),
  };
}
