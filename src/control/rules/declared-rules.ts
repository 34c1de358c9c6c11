// Which rules and meters the configuration declares, beside those that were added by hand, and what a reload makes of both:
//
//   the file    in a drop      in b drop                 all of it, in its order
//   by hand     in x drop      in b drop                 stays, but what the file says too is the file's from then on
//   together    in a drop      in b drop      in x drop
//
// A rule of the file that was deleted by hand comes back with a reload, as a port does. Control thread; one caller at a time.

import { RingyardError } from "../../core/errors.ts";
import { word } from "../../core/quote.ts";
import { othersTurn, takingTurns } from "../../core/turns.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import type { Config } from "../config.ts";
import { ruleText } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import { namesIn } from "./resolve.ts";
import { replacedFacts } from "./rule-info.ts";
import type { RuleChange, RulesApi, TableRule } from "./rules-api.ts";

/** What a replacement of all rules led to. */
export interface Replaced {
  /** In the order that they were given. */
  rules: readonly TableRule[];
  added: number;
  removed: number;
}

type Wanted = Pick<Config, "rules" | "meters">;

export class DeclaredRules {
  /** By id, the text that was declared: what another rule of that id says is not. */
  #rules = new Map<number, string>();
  #meters = new Set<string>();

  constructor(private readonly api: RulesApi) {}

  /** The rules and meters with those of a configuration in their place. Changes nothing. */
  async merged(wanted: Wanted): Promise<RuleChange> {
    const before = this.api.set();
    const { rules, taken } = await takingTurns(this.api.numbering(wanted.rules.map(({ rule }) => rule)));
    const byHand = before.rules.filter((rule) => !taken.has(rule.id) && !this.#isDeclared(rule));
    const meters = before.meters.filter(({ name }) => !this.#meters.has(name) && !wanted.meters.has(name));
    const after = { rules: [...rules, ...byHand], meters: [...wanted.meters.values(), ...meters] };
    refuseLostMeters(byHand, after.meters);
    await othersTurn();
    return { before, after };
  }

  /** The switch has become what `merged` said. */
  declare(wanted: Wanted, { after }: RuleChange): void {
    const declared = after.rules.slice(0, wanted.rules.length);
    this.#rules = new Map(declared.map(({ id, rule }) => [id, ruleText(rule)]));
    this.#meters = new Set(wanted.meters.keys());
  }

  async replace(wanted: readonly NamedRule[], meters: readonly MeterSpec[]): Promise<Replaced> {
    const before = this.api.set();
    const { rules } = await takingTurns(this.api.numbering(wanted));
    const given = new Set(meters.map(({ name }) => name));
    const others = before.meters.filter(({ name }) => !given.has(name));
    await this.api.put({ rules, meters: [...others, ...meters] });
    const stay = new Set(rules.map(({ id }) => id));
    this.#undeclare([...this.#rules.keys()].filter((id) => !stay.has(id)));
    await othersTurn();
    const { added, removed } = replacedFacts(before, { rules, meters });
    return { rules, added, removed };
  }

  /** What comes with one of these ids, or this name, from now on is by hand. */
  async delete(ids: readonly number[]): Promise<void> {
    await this.api.delete(ids);
    this.#undeclare(ids);
  }

  async deleteMeter(name: string): Promise<void> {
    await this.api.deleteMeter(name);
    this.#meters.delete(name);
  }

  #undeclare(ids: readonly number[]): void {
    for (const id of ids) this.#rules.delete(id);
  }

  #isDeclared({ id, rule }: TableRule): boolean {
    return this.#rules.get(id) === ruleText(rule);
  }
}

/** Said before anything is changed: later, ports would have to be put back. */
function refuseLostMeters(byHand: readonly TableRule[], meters: readonly MeterSpec[]): void {
  const names = new Set(meters.map(({ name }) => name));
  for (const { id, rule } of byHand) {
    const lost = namesIn(rule).meters.find((name) => !names.has(name));
    if (lost === undefined) continue;
    const next = `keep the meter, or ringyard rule del ${id}`;
    throw new RingyardError("BUSY", `meter ${word(lost)} is used by rule ${id}, which was added by hand`, next);
  }
}
