// A configuration as data (for JSON and the control socket) and as TOML that reads back to the same configuration. Pure.

import type { PollMode } from "./api.ts";
import { type Config, DEFAULTS } from "./config.ts";

/** What `config show` carries: plain, with every default filled in. */
export interface ConfigData {
  switch: { cpus: number[]; poll: PollMode; ageingS: number; macLimit: number; control?: string };
  ports: { name: string; uri: string; link: "up" | "down"; macLimit?: number }[];
}

export function configData({ settings, control, ports }: Config): ConfigData {
  const { cpus = [], poll = DEFAULTS.poll, ageingS = DEFAULTS.ageingS, macLimit = DEFAULTS.macLimit } = settings;
  return {
    switch: { cpus, poll, ageingS, macLimit, ...(control === undefined ? {} : { control }) },
    ports: [...ports.values()].map(({ spec, link, macLimit }) => ({
      name: spec.name,
      uri: spec.uri,
      link,
      ...(macLimit === undefined ? {} : { macLimit }),
    })),
  };
}

export function configToml({ switch: settings, ports }: ConfigData): string {
  const lines = ["[switch]"];
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
