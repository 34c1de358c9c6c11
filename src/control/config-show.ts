// A configuration as data (for JSON and the control socket) and as TOML that reads back to the same configuration. Pure.

import type { PollMode } from "./api.ts";
import { type Config, DEFAULTS } from "./config.ts";
import { formatRule } from "./rules/format-rule.ts";
import { type MeterObject, meterToObject } from "./rules/meter-spec.ts";

/** What `config show` carries: plain, with every default filled in. */
export interface ConfigData {
  switch: { cpus: number[]; poll: PollMode; ageingS: number; macLimit: number; control?: string };
  ports: { name: string; uri: string; link: "up" | "down"; macLimit?: number }[];
  /** Texts, in the order in which they are tried. */
  rules: string[];
  meters: ({ name: string } & MeterObject)[];
}

export function configData({ settings, control, ports, rules, meters }: Config): ConfigData {
  const { cpus = [], poll = DEFAULTS.poll, ageingS = DEFAULTS.ageingS, macLimit = DEFAULTS.macLimit } = settings;
  return {
    switch: { cpus, poll, ageingS, macLimit, ...(control === undefined ? {} : { control }) },
    ports: [...ports.values()].map(({ spec, link, macLimit }) => ({
      name: spec.name,
      uri: spec.uri,
      link,
      ...(macLimit === undefined ? {} : { macLimit }),
    })),
    rules: rules.map(({ rule }) => formatRule(rule)),
    meters: [...meters.values()].map((meter) => ({ name: meter.name, ...meterToObject(meter) })),
  };
}

export function configToml({ switch: settings, ports, rules, meters }: ConfigData): string {
  // Behind a table's head they would be a part of that table.
  const lines = rules.length === 0 ? [] : ["rules = [", ...rules.map((rule) => `  ${quote(rule)},`), "]", ""];
  lines.push("[switch]");
  if (settings.cpus.length > 0) lines.push(`cpus = [${settings.cpus.join(", ")}]`);
  lines.push(`poll = ${quote(settings.poll)}`);
  lines.push(`ageing = ${settings.ageingS}`);
  lines.push(`mac-limit = ${settings.macLimit}`);
  if (settings.control !== undefined) lines.push(`control = ${quote(settings.control)}`);
  lines.push("", "[ports]");
  for (const { name, uri, link, macLimit } of ports) {
    const words = [`uri = ${quote(uri)}`];
    if (link !== "up") words.push(`link = ${quote(link)}`);
    if (macLimit !== undefined) words.push(`mac-limit = ${macLimit}`);
    lines.push(`${key(name)} = ${words.length === 1 ? quote(uri) : `{ ${words.join(", ")} }`}`);
  }
  for (const { name, rate, burst } of meters) {
    lines.push("", `[meters.${key(name)}]`, `rate = ${quote(rate)}`, `burst = ${quote(burst)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A dot would start a subtable. */
function key(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : quote(name);
}

/** A basic string: JSON's escapes are TOML's, except that TOML wants DEL escaped too. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll("\x7f", "\\u007F");
}
