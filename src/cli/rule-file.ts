// The rules of `ringyard rule replace -f FILE`, as the switch takes them. By the file's name:
//
//   *.toml    `rules` and `[meters.NAME]` of a configuration; its other tables are checked, too, and not looked at further
//   *.json    a list of rules, or { rules, meters }; a rule is a text, an object, or what `rule list --json` printed
//   others    one rule to a line, with comments
//   -         the standard input: JSON, or lines; no rule begins with a bracket. Nothing at all is refused: a command that failed
//             in front of a pipe shall not take all rules away
//
// Main thread of a command.

import { ConfigError, type ConfigProblem, emptyConfig, parseConfig } from "../control/config.ts";
import { readMeters, readRules as readRuleList } from "../control/config-rules.ts";
import { readJson } from "../control/json-text.ts";
import type { MeterArgs } from "../control/protocol.ts";
import { readText } from "../control/read-text.ts";
import { formatRule } from "../control/rules/format-rule.ts";
import { NO_RULES } from "../control/rules/known-rules.ts";
import { meterToObject } from "../control/rules/meter-spec.ts";
import type { NamedRule } from "../control/rules/named-rule.ts";
import { fewMistakes, parseRuleFile } from "../control/rules/rule-file.ts";
import { kinds } from "../control/wiring.ts";
import { RingyardError } from "../core/errors.ts";
import { phrase, word } from "../core/quote.ts";
import { atOnce } from "../core/turns.ts";
import type { MeterSpec } from "../dataplane/rules/rule.ts";

interface Read {
  rules: NamedRule[];
  meters: Iterable<MeterSpec>;
}

/** Throws ConfigError with a line for each mistake, or MISSING. */
export async function readRules(file: string): Promise<{ rules: string[]; meters: MeterArgs[] }> {
  const text = await readText(file, "name a readable file with -f, or -", { stdin: true });
  const { rules, meters } = parse(file, text);
  return {
    rules: rules.map(formatRule),
    meters: [...meters].map((meter) => ({ name: meter.name, ...meterToObject(meter) })),
  };
}

/** Somebody reads the first mistakes, and not a thousand of them; a file of lines is cut where it is read. */
function few(file: string, read: () => Read): Read {
  try {
    return read();
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(fewMistakes(error.lines, file)) : error;
  }
}

function parse(file: string, text: string): Read {
  if (/\.toml$/i.test(file)) return few(file, () => parseToml(text, file));
  if (/\.json$/i.test(file)) return few(file, () => parseJson(text, phrase(file)));
  if (file !== "-") return { rules: parseRuleFile(text, file), meters: [] };
  if (/^\s*[[{]/.test(text)) return few("stdin", () => parseJson(text, "stdin"));
  const rules = parseRuleFile(text, "stdin");
  if (rules.length > 0) return { rules, meters: [] };
  const next = "ringyard rule del --all takes all rules away, and so does the JSON []";
  throw new RingyardError("BAD_RULE", "no rules on the standard input", next);
}

function parseToml(text: string, file: string): Read {
  const { rules, meters } = parseConfig(text, file, kinds);
  return { rules: rules.map(({ rule }) => rule), meters: meters.values() };
}

function parseJson(text: string, file: string): Read {
  const json = readJson(text);
  if (!("value" in json)) throw new ConfigError([`${file}:${json.line}: ${json.message}`]);
  const { value } = json;
  const { rules, meters } = Array.isArray(value) ? { rules: value, meters: {} } : partsOf(value, file);
  const config = emptyConfig();
  const problems: ConfigProblem[] = [];
  atOnce(readRuleList(Array.isArray(rules) ? rules.map(listed) : rules, config, problems, NO_RULES));
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
