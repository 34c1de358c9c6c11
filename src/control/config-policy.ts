// The policies of a configuration, read, and what the running switch is told of them.
//
//   [ports.vm1]  uri = "…"  vlan = 10  isolated = true           (policy/port-policy.ts; beside what makes the port)
//   [vlans.10]   ageing = 60                                     (policy/vlan-policy.ts)
//   [mirrors.m]  ports = ["vm1:in"]  to = "mon"                  (policy/mirror-policy.ts)
//
// A mirror may name ports of the file, of the command line and of `port add`: they are looked at when all are known. Pure.

import { z } from "zod";
import { quoted, word } from "../core/quote.ts";
import type { Config, ConfigProblem } from "./config.ts";
import type { Place } from "./config-toml.ts";
import { suggest } from "./nearest.ts";
import { nameAdvice, portName } from "./options.ts";
import { portsOfMirror, readMirror } from "./policy/mirror-policy.ts";
import type { NamedPolicy, PortSettings } from "./policy/named-policy.ts";
import type { PolicyRead } from "./policy/policy-words.ts";
import { isPortPolicyKey, readPortPolicy } from "./policy/port-policy.ts";
import { readVlanPolicy, vlanId, vlanPolicyWords } from "./policy/vlan-policy.ts";

const anyTable = z.record(z.string(), z.unknown());

/** The keys of a port's table that are its policy, and the others. */
export function splitPort(table: Readonly<Record<string, unknown>>) {
  const entries = Object.entries(table);
  return {
    policy: Object.fromEntries(entries.filter(([key]) => isPortPolicyKey(key))),
    others: Object.fromEntries(entries.filter(([key]) => !isPortPolicyKey(key))),
  };
}

/** The policy of the port at `place`; undefined where it is wrong, or nothing is said. */
export function readPolicy(
  words: Readonly<Record<string, unknown>>,
  place: Place,
  problems: ConfigProblem[],
): PortSettings | undefined {
  const settings = accept(readPortPolicy(words), place, problems);
  return settings !== undefined && Object.keys(settings).length > 0 ? settings : undefined;
}

/** Fills `config` from the value of `vlans`. */
export function readVlans(value: unknown, config: Config, problems: ConfigProblem[]): void {
  for (const [key, words] of tablesOf("vlans", "VLANs", value, problems)) {
    const id = vlanId.safeParse(key);
    if (!id.success) {
      problems.push({ path: ["vlans", key], message: `${id.error.issues[0].message}, found ${quoted(key)}` });
      continue;
    }
    const vlan = accept(readVlanPolicy(id.data, words), ["vlans", key], problems);
    if (vlan === undefined) continue;
    // [vlans.10] and [vlans.010].
    if (config.vlans.has(id.data))
      problems.push({ path: ["vlans", key], message: `VLAN ${id.data} has a table already` });
    config.vlans.set(id.data, vlan);
  }
}

/** Fills `config` from the value of `mirrors`. */
export function readMirrors(value: unknown, config: Config, problems: ConfigProblem[]): void {
  for (const [name, words] of tablesOf("mirrors", "mirrors", value, problems)) {
    const path = ["mirrors", name];
    if (!portName.safeParse(name).success) {
      problems.push({ path, message: `not the name of a mirror: ${nameAdvice(name)}` });
      continue;
    }
    const mirror = accept(readMirror(name, words), path, problems);
    if (mirror !== undefined) config.mirrors.set(name, { mirror });
  }
}

function tablesOf(
  section: string,
  what: string,
  value: unknown,
  problems: ConfigProblem[],
): [string, Record<string, unknown>][] {
  const tables = anyTable.safeParse(value);
  if (!tables.success) {
    problems.push({ path: [section], message: `expected a table of ${what}, found ${quoted(value)}` });
    return [];
  }
  return Object.entries(tables.data).flatMap(([key, inner]) => {
    const table = anyTable.safeParse(inner);
    if (table.success) return [[key, table.data] as [string, Record<string, unknown>]];
    problems.push({ path: [section, key], message: `expected a table, found ${quoted(inner)}` });
    return [];
  });
}

function accept<T>(read: PolicyRead<T>, place: Place, problems: ConfigProblem[]): T | undefined {
  if ("is" in read) return read.is;
  problems.push(...read.problems.map(({ path, message }) => ({ path: [...place, ...path], message })));
  return undefined;
}

/** A line for each mirror that names a port which is not among these. */
export function missingMirrorPorts({ mirrors }: Pick<Config, "mirrors">, ports: ReadonlySet<string>): string[] {
  return [...mirrors.values()].flatMap(({ mirror, place }) =>
    portsOfMirror(mirror)
      .filter((name) => !ports.has(name))
      .map((name) => `${place ?? `mirror ${mirror.name}`}: no port ${word(name)}: ${suggest(name, "ports:", ports)}`),
  );
}

/** What the switch is told: only what is not as it is anyhow. */
export function policyOf({ ports, vlans, mirrors }: Pick<Config, "ports" | "vlans" | "mirrors">): NamedPolicy {
  const settings = [...ports].flatMap(([name, { policy }]): [string, PortSettings][] =>
    policy === undefined ? [] : [[name, policy]],
  );
  const said = [...vlans.values()].filter((vlan) => Object.keys(vlanPolicyWords(vlan)).length > 0);
  return {
    ports: new Map(settings),
    vlans: said.sort((a, b) => a.vid - b.vid),
    mirrors: [...mirrors.values()].map(({ mirror }) => mirror).sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}
