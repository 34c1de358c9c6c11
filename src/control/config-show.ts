// A configuration as data (for JSON and the control socket) and as TOML that reads back to the same configuration. Pure, but for a control
// path that stands on a command line from the working directory on: a file may have whole paths only.

import { resolve } from "node:path";
import type { PollMode } from "./api.ts";
import { type Config, DEFAULTS } from "./config.ts";
import { policyOf } from "./config-policy.ts";
import { mirrorWords } from "./policy/mirror-policy.ts";
import { joinSaid, type PolicyValue, type PolicyWords, type SaidWord, saidWords } from "./policy/policy-words.ts";
import { portPolicyWords } from "./policy/port-policy.ts";
import { vlanPolicyWords } from "./policy/vlan-policy.ts";
import { formatRule } from "./rules/format-rule.ts";
import { type MeterObject, meterToObject } from "./rules/meter-spec.ts";

/** What `config show` carries: plain, with every default filled in. */
export interface ConfigData {
  switch: { cpus: number[]; poll: PollMode; ageingS: number; macLimit: number; control?: string };
  /** `policy`: what it does beyond learning and flooding, as in TOML; absent: nothing. */
  ports: { name: string; uri: string; link: "up" | "down"; macLimit?: number; policy?: PolicyWords }[];
  vlans: { id: number; policy: PolicyWords }[];
  mirrors: { name: string; policy: PolicyWords }[];
  /** Texts, in the order in which they are tried. */
  rules: string[];
  meters: ({ name: string } & MeterObject)[];
}

export function configData(config: Config): ConfigData {
  const { settings, control, ports, rules, meters } = config;
  const { vlans, mirrors } = policyOf(config);
  const { cpus = [], poll = DEFAULTS.poll, ageingS = DEFAULTS.ageingS, macLimit = DEFAULTS.macLimit } = settings;
  return {
    switch: { cpus, poll, ageingS, macLimit, ...(control === undefined ? {} : { control: resolve(control) }) },
    ports: [...ports.values()].map(({ spec, link, macLimit, policy }) => ({
      name: spec.name,
      uri: spec.uri,
      link,
      ...(macLimit === undefined ? {} : { macLimit }),
      ...(policy === undefined ? {} : { policy: portPolicyWords(policy) }),
    })),
    vlans: vlans.map(({ vid, ...said }) => ({ id: vid, policy: vlanPolicyWords(said) })),
    mirrors: mirrors.map((mirror) => ({ name: mirror.name, policy: mirrorWords(mirror) })),
    rules: rules.map(({ rule }) => formatRule(rule)),
    meters: [...meters.values()].map((meter) => ({ name: meter.name, ...meterToObject(meter) })),
  };
}

/** The same for the control socket, where a single thing has to fit into a frame: policies word by word. */
export interface ConfigParts extends Omit<ConfigData, "ports" | "vlans" | "mirrors"> {
  ports: Omit<ConfigData["ports"][number], "policy">[];
  vlans: { id: number }[];
  mirrors: { name: string }[];
  /** Of `port NAME`, `vlan ID` and `mirror NAME`. */
  policies: SaidWord[];
}

export function configParts({ ports, vlans, mirrors, ...others }: ConfigData): ConfigParts {
  return {
    ...others,
    ports: ports.map(({ policy: _, ...port }) => port),
    vlans: vlans.map(({ id }) => ({ id })),
    mirrors: mirrors.map(({ name }) => ({ name })),
    policies: saidWords([
      ...ports.map(({ name, policy = {} }) => [`port ${name}`, policy] as const),
      ...vlans.map(({ id, policy }) => [`vlan ${id}`, policy] as const),
      ...mirrors.map(({ name, policy }) => [`mirror ${name}`, policy] as const),
    ]),
  };
}

export function joinConfig({ ports, vlans, mirrors, policies, ...others }: ConfigParts): ConfigData {
  const said = joinSaid(policies);
  return {
    ...others,
    ports: ports.map((port) => {
      const policy = said.get(`port ${port.name}`);
      return policy === undefined ? port : { ...port, policy };
    }),
    vlans: vlans.map(({ id }) => ({ id, policy: said.get(`vlan ${id}`) ?? {} })),
    mirrors: mirrors.map(({ name }) => ({ name, policy: said.get(`mirror ${name}`) ?? {} })),
  };
}

export function configToml({ switch: settings, ports, vlans, mirrors, rules, meters }: ConfigData): string {
  // Behind a table's head they would be a part of that table.
  const lines = rules.length === 0 ? [] : ["rules = [", ...rules.map((rule) => `  ${quote(rule)},`), "]", ""];
  lines.push("[switch]");
  if (settings.cpus.length > 0) lines.push(`cpus = [${settings.cpus.join(", ")}]`);
  lines.push(`poll = ${quote(settings.poll)}`);
  lines.push(`ageing = ${settings.ageingS}`);
  lines.push(`mac-limit = ${settings.macLimit}`);
  if (settings.control !== undefined) lines.push(`control = ${quote(settings.control)}`);
  lines.push("", "[ports]", ...portLines(ports));
  for (const { id, policy } of vlans) lines.push("", `[vlans.${id}]`, ...wordLines(policy));
  for (const { name, policy } of mirrors) lines.push("", `[mirrors.${key(name)}]`, ...wordLines(policy));
  for (const { name, rate, burst } of meters) {
    lines.push("", `[meters.${key(name)}]`, `rate = ${quote(rate)}`, `burst = ${quote(burst)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A line for each port; from the first one with a policy on a table for each, so that they stay in their order. */
function portLines(ports: ConfigData["ports"]): string[] {
  const plain = ports.findIndex(({ policy }) => policy !== undefined);
  return ports.flatMap(({ name, uri, link, macLimit, policy = {} }, index) => {
    const words = [`uri = ${quote(uri)}`];
    if (link !== "up") words.push(`link = ${quote(link)}`);
    if (macLimit !== undefined) words.push(`mac-limit = ${macLimit}`);
    if (plain >= 0 && index >= plain) return ["", `[ports.${key(name)}]`, ...words, ...wordLines(policy)];
    return [`${key(name)} = ${words.length === 1 ? quote(uri) : `{ ${words.join(", ")} }`}`];
  });
}

function wordLines(words: PolicyWords): string[] {
  return Object.entries(words).map(([name, value]) => `${key(name)} = ${tomlValue(value)}`);
}

function tomlValue(value: PolicyValue): string {
  if (typeof value === "string") return quote(value);
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) {
    const items = value.map(tomlValue);
    const line = `[${items.join(", ")}]`;
    return line.length <= LINE_LENGTH ? line : `[\n${items.map((item) => `  ${item},\n`).join("")}]`;
  }
  const pairs = Object.entries(value).map(([name, inner]) => `${key(name)} = ${tomlValue(inner)}`);
  return `{ ${pairs.join(", ")} }`;
}

/** Longer lists have a line for each element. */
const LINE_LENGTH = 100;

/** A dot would start a subtable. */
function key(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : quote(name);
}

/** A basic string: JSON's escapes are TOML's, except that TOML wants DEL escaped too. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll("\x7f", "\\u007F");
}
