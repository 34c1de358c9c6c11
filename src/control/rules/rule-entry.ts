// A rule in the table of a running switch: as a person gave it, and as the dataplane runs it with the ports and meters that there
// are. The dataplane's compiler knows a Rule by identity, and one that it has seen costs next to nothing: so a rule whose names
// stand for the same numbers stays the same object, over changes of other rules and of other ports. Control thread.

import type { Rule } from "../../dataplane/rules/rule.ts";
import { isSameRule } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import { namesIn, type RuleLookup, type RuleNames } from "./resolve.ts";
import { resolveWithoutAbsent } from "./rule-waiting.ts";
import type { TableRule } from "./rules-api.ts";

export class RuleEntry implements TableRule {
  readonly names: RuleNames;
  /** What it was resolved with last, what its names stood for there, and what came out. */
  #lookup: RuleLookup | undefined;
  #numbers = "";
  #resolved: Rule | undefined;

  constructor(
    readonly id: number,
    readonly rule: NamedRule,
  ) {
    this.names = namesIn(rule);
  }

  /** Whether it says the same as `rule`. */
  says(rule: NamedRule): boolean {
    return isSameRule(rule, this.rule);
  }

  /** The same rule where only that it has a chosen id, or none, is new. */
  with(rule: NamedRule): RuleEntry {
    if (rule === this.rule) return this;
    const entry = new RuleEntry(this.id, rule);
    entry.#numbers = this.#numbers;
    entry.#resolved = this.#resolved;
    return entry;
  }

  /** With numbers. A lookup does not change: other ports are another lookup. */
  resolve(lookup: RuleLookup): Rule {
    if (this.#resolved !== undefined && this.#lookup === lookup) return this.#resolved;
    const { ports, meters } = this.names;
    const numbers = [
      ...ports.map((name) => lookup.port(name)),
      "|",
      ...meters.map((name) => lookup.meter(name)),
    ].join();
    if (this.#resolved === undefined || this.#numbers !== numbers) this.#resolved = resolveWithoutAbsent(this, lookup);
    this.#numbers = numbers;
    this.#lookup = lookup;
    return this.#resolved;
  }
}

/** What names stand for, now. */
export function lookupOf(ports: ReadonlyMap<string, number>, meters: readonly { name: string }[]): RuleLookup {
  const portIndices = new Map(ports);
  const meterIndices = new Map(meters.map(({ name }, index) => [name, index]));
  return { port: (name) => portIndices.get(name), meter: (name) => meterIndices.get(name) };
}
