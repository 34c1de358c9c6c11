// The rules of `ringyard rule replace -f FILE`, as the switch takes them. By the file's name:
//
//   *.toml    `rules` and `[meters.NAME]` of a configuration; its other tables are checked, too, and not looked at further
//   *.json    a list of rules, or { rules, meters }; a rule is a text, an object, or what `rule list --json` printed
//   others    one rule to a line, with comments
//   -         the standard input: JSON, or lines; no rule begins with a bracket
//
// Main thread of a command.

import { ConfigError, type ConfigProblem, emptyConfig, parseConfig } from "../control/config.ts";
import { readMeters, readRules as readRuleList } from "../control/config-rules.ts";
import type { MeterArgs } from "../control/protocol.ts";
import { word } from "../control/quote.ts";
import { formatRule } from "../control/rules/format-rule.ts";
import { meterToObject } from "../control/rules/meter-spec.ts";
import type { NamedRule } from "../control/rules/named-rule.ts";
import { parseRuleFile } from "../control/rules/rule-file.ts";
import { kinds } from "../control/wiring.ts";
import { RingyardError } from "../core/errors.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";

interface Read {
  rules: NamedRule[];
  meters: Iterable<MeterSpec>;
}

/** Throws ConfigError with a line for each mistake, or MISSING. */
export async function readRules(file: string): Promise<{ rules: string[]; meters: MeterArgs[] }> {
  const { rules, meters } = parse(file, await textOf(file));
  return {
    rules: rules.map(formatRule),
    meters: [...meters].map((meter) => ({ name: meter.name, ...meterToObject(meter) })),
  };
}

function parse(file: string, text: string): Read {
  if (/\.toml$/i.test(file)) {
    const { rules, meters } = parseConfig(text, file, kinds);
    return { rules: rules.map(({ rule }) => rule), meters: meters.values() };
  }
  if (/\.json$/i.test(file)) return parseJson(text, file);
  if (file !== "-") return { rules: parseRuleFile(text, file), meters: [] };
  return /^\s*[[{]/.test(text) ? parseJson(text, "stdin") : { rules: parseRuleFile(text, "stdin"), meters: [] };
}

function parseJson(text: string, file: string): Read {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConfigError([`${file}: no JSON: ${(error as Error).message}`]);
  }
  const { rules, meters } = Array.isArray(value) ? { rules: value, meters: {} } : partsOf(value, file);
  const config = emptyConfig();
  const problems: ConfigProblem[] = [];
  readRuleList(Array.isArray(rules) ? rules.map(listed) : rules, config, problems);
  readMeters(meters, config, problems);
  if (problems.length > 0) {
    throw new ConfigError(
      problems.map(({ path, message }) => `${file}: ${path.map((key) => word(String(key))).join(".")}: ${message}`),
    );
  }
  return { rules: config.rules.map(({ rule }) => rule), meters: config.meters.values() };
}

function partsOf(value: unknown, file: string): { rules: unknown; meters: unknown } {
  const {
    rules,
    meters = {},
    ...others
  } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (rules !== undefined && unknown === undefined) return { rules, meters };
  const what = unknown === undefined ? "no rules" : `unknown key ${word(unknown)}`;
  throw new ConfigError([`${file}: ${what}: expected a list of rules, or { rules, meters }`]);
}

/** What `rule list --json` says beside the rule itself is left aside. */
function listed(value: unknown): unknown {
  const { rule } = (typeof value === "object" && value !== null ? value : {}) as { rule?: unknown };
  return typeof rule === "object" ? rule : value;
}

async function textOf(file: string): Promise<string> {
  try {
    return await (file === "-" ? Bun.stdin : Bun.file(file)).text();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new RingyardError("MISSING", `cannot read ${word(file)}: ${code}`, "name a readable file with -f, or -");
  }
}
