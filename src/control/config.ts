// The configuration: what the switch shall be, from a TOML file, the command line and the control socket alike.
//
//   [switch]                          [ports]                        [ports.db]
//   cpus = "0-1"                      web = "tap:web?netns=blue"     uri = "vhost-user:/run/db.sock"
//   poll = "adaptive"                                                mtu = 1500
//   ageing = 300                                                     link = "down"
//   mac-limit = 65536                                                mac-limit = 16
//
//   rules = ["in web drop"]          (first: it is in no table)      [meters.m]  rate = "1 Mbit/s"      (config-rules.ts)
//
// A file with mistakes yields all of them, each as `FILE:LINE: KEY: what is wrong`. Control thread.

import { RingyardError } from "../core/errors.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";
import type { PortSpec } from "../ports/port.ts";
import type { SwitchSettings } from "./api.ts";
import { missingNames } from "./config-rules.ts";
import { checkConfig } from "./config-schema.ts";
import { type Place, readToml } from "./config-toml.ts";
import { word } from "./quote.ts";
import type { NamedRule } from "./rules/named-rule.ts";
import type { Kinds } from "./uri.ts";

/** A port as it shall be. */
export interface PortConfig {
  spec: PortSpec;
  link: "up" | "down";
  /** At most so many learned addresses; absent: as many as the switch holds. */
  macLimit?: number;
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
  return { settings: {}, ports: new Map(), rules: [], meters: new Map() };
}

/** Reads a file; throws ConfigError, or MISSING where there is none. */
export async function loadConfig(file: string, kinds: Kinds): Promise<Config> {
  let text: string;
  try {
    text = await Bun.file(file).text();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new RingyardError("MISSING", `cannot read ${file}: ${code ?? String(error)}`, "name a readable file with -c");
  }
  return parseConfig(text, file, kinds);
}

/** Reads the text of a file called `file`; throws ConfigError. */
export function parseConfig(text: string, file: string, kinds: Kinds): Config {
  const toml = readToml(text);
  if ("message" in toml) throw new ConfigError([`${file}:${toml.line}: ${toml.message}`]);
  const config = emptyConfig();
  const problems = [...toml.problems, ...checkConfig(toml.value, kinds, config)];
  const placeOf = (path: Place) => `${file}:${toml.lineOf(path)}: ${path.map((key) => word(String(key))).join(".")}`;
  if (problems.length === 0) {
    for (const [index, rule] of config.rules.entries()) rule.place = placeOf(["rules", index]);
    return config;
  }
  const placed = problems.map(({ path, message }) => ({ line: toml.lineOf(path), path, message }));
  placed.sort((a, b) => a.line - b.line);
  throw new ConfigError(placed.map(({ path, message }) => `${placeOf(path)}: ${message}`));
}

/** Throws ConfigError where a rule names a port or a meter that is not among these. */
export function checkNames(config: Pick<Config, "rules">, ports: Iterable<string>, meters: Iterable<string>): void {
  const lines = missingNames(config, new Set(ports), new Set(meters));
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
