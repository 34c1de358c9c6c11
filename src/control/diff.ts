// What it takes to get from one configuration to another, as data: ordered actions that `apply.ts` carries out. A port
// whose canonical URI and settings are the same in both is not mentioned, and so keeps running without losing a frame.
//
//   order: remove ports (they free sockets and names), policies, rules and meters, change ports that run, add ports, settings of
//          the switch
//
// Rules and policies are replaced between, all at once: a port that goes sends its last frame under the old ones, a port that comes its first
// under the new ones. What a rule forwards to a port that has gone or is yet to come is dropped meanwhile. While frames are held
// (at the start) rules come last, and are compiled once instead of with each port.
//
// Pure.

import { resolve } from "node:path";
import type { PortChanges, SwitchSettings } from "./api.ts";
import { type Config, DEFAULTS, type PortConfig } from "./config.ts";
import { policyOf } from "./config-policy.ts";
import type { NamedPolicy } from "./policy/named-policy.ts";
import { isSameRule } from "./rules/format-rule.ts";
import type { RuleChange } from "./rules/rules-api.ts";
import { formatUri, type Kinds } from "./uri.ts";

export type Action =
  | { do: "remove"; port: PortConfig }
  | { do: "policy"; before: NamedPolicy; after: NamedPolicy }
  | ({ do: "rules" } & RuleChange)
  /** `running`: refused where the port would have to be made anew. */
  | { do: "set"; before: PortConfig; after: PortConfig; changes: PortChanges; running?: true }
  | { do: "add"; port: PortConfig }
  | { do: "configure"; before: SwitchSettings; after: SwitchSettings };

export interface Difference {
  actions: Action[];
  /** Settings that changed but need a restart of the process. */
  restart: string[];
}

export interface DifferenceOptions {
  /** The rules of a configuration have no ids of their own: here they are as they are and as they shall be. */
  rules?: RuleChange;
  /** No frame is taken from any port meanwhile. */
  held?: boolean;
}

export function difference(
  before: Config,
  after: Config,
  kinds: Kinds,
  { rules, held = false }: DifferenceOptions = {},
): Difference {
  const removes: Action[] = [];
  const sets: Action[] = [];
  const adds: Action[] = [];
  for (const [name, port] of before.ports) {
    const wanted = after.ports.get(name);
    if (wanted === undefined) removes.push({ do: "remove", port });
  }
  // That of the switch as it runs: another one needs a restart.
  const macLimit = before.settings.macLimit ?? DEFAULTS.macLimit;
  for (const [name, wanted] of after.ports) {
    const port = before.ports.get(name);
    const changes = port === undefined ? null : changesOf(port, wanted, macLimit, kinds);
    if (port !== undefined && changes === null) removes.push({ do: "remove", port });
    if (port === undefined || changes === null) adds.push({ do: "add", port: wanted });
    else if (Object.keys(changes).length > 0) sets.push({ do: "set", before: port, after: wanted, changes });
  }
  const policies = { before: policyOf(before), after: policyOf(after) };
  const changed: Action[] = [
    ...(Bun.deepEquals(policies.before, policies.after) ? [] : [{ do: "policy", ...policies } as const]),
    ...(rules === undefined || sameRules(rules) ? [] : [{ do: "rules", ...rules } as const]),
  ];
  const actions = held ? [...removes, ...sets, ...adds, ...changed] : [...removes, ...changed, ...sets, ...adds];
  const from = runningSettings(before.settings);
  const to = runningSettings(after.settings);
  if (!Bun.deepEquals(from, to)) actions.push({ do: "configure", before: from, after: to });
  return { actions, restart: restartNeeded(before, after) };
}

/** What can change while the port runs, or null where it has to be made anew. */
function changesOf(from: PortConfig, to: PortConfig, macLimit: number, kinds: Kinds): PortChanges | null {
  const changes: PortChanges = {};
  if (from.spec.uri !== to.spec.uri) {
    // Only the MTU can change under a driver.
    if (bare(from, kinds) !== bare(to, kinds)) return null;
    changes.mtu = to.spec.options.mtu ?? null;
  }
  if (from.link !== to.link) changes.link = to.link;
  if (from.macLimit !== to.macLimit) changes.macLimit = to.macLimit ?? macLimit;
  return changes;
}

function sameRules({ before, after }: RuleChange): boolean {
  const now = new Map(before.rules.map(({ id, rule }) => [id, rule]));
  const same = after.rules.every(({ id, rule }) => {
    const old = now.get(id);
    return old !== undefined && old.id === rule.id && isSameRule(old, rule);
  });
  return same && before.rules.length === after.rules.length && Bun.deepEquals(before.meters, after.meters);
}

function bare({ spec }: PortConfig, kinds: Kinds): string {
  return formatUri(kinds[spec.kind], spec.target, { ...spec.options, mtu: undefined });
}

/** The settings that `SwitchApi.configure` changes in a running switch. */
function runningSettings({ poll = DEFAULTS.poll, ageingS = DEFAULTS.ageingS }: SwitchSettings): SwitchSettings {
  return { poll, ageingS };
}

function restartNeeded(before: Config, after: Config): string[] {
  const changed: string[] = [];
  if (!Bun.deepEquals(before.settings.cpus ?? [], after.settings.cpus ?? [])) changed.push("cpus");
  if ((before.settings.macLimit ?? DEFAULTS.macLimit) !== (after.settings.macLimit ?? DEFAULTS.macLimit))
    changed.push("mac-limit");
  if (wholePath(before.control) !== wholePath(after.control)) changed.push("control");
  return changed;
}

/** That of a command line may begin at the working directory; a file has the same as `config show` prints it. */
function wholePath(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}
