// The rules and meters of a running switch: kept with names, given to the dataplane with numbers, and resolved anew whenever a
// port of a name that a rule has comes or goes.
//
//   rules, meters   ports (name -> index)             RuleTable (dataplane): compiled, run by the workers
//        └──────────────┴── resolve, all at once ──────────┘
//
// The order keeps an index that is used again from meaning the old port: a port that comes is made known before its lanes open,
// one that goes after they are closed. Where the dataplane refuses to forget a port that has gone, nothing else changes, and the
// next port to come must succeed in it first. One change at a time: `alone` is the switch's own row of changes. Control thread.

import { RingyardError } from "../../core/errors.ts";
import { atOnce, eachInSteps, othersTurn, type Steps, takingTurns } from "../../core/turns.ts";
import type { MeterSpec, Rule } from "../../dataplane/rules/rule.ts";
import type { RuleTable } from "../../dataplane/rules/table.ts";
import type { SwitchLog } from "../api.ts";
import { Rows } from "../rows.ts";
import { ruleText } from "./format-rule.ts";
import type { NamedRule } from "./named-rule.ts";
import type { RuleLookup } from "./resolve.ts";
import {
  checkMeters,
  checkRule,
  indexOf,
  meterInUse,
  namesOf,
  namingTheRule,
  noMeter,
  ruleExists,
} from "./rule-checks.ts";
import { lookupOf, RuleEntry } from "./rule-entry.ts";
import { logged, meterInfo, meterText, replacedFacts, ruleInfo } from "./rule-info.ts";
import { freshId, type Numbered, numberingRules } from "./rule-numbers.ts";
import { inOrder, withEntry } from "./rule-order.ts";
import { testRule } from "./rule-test.ts";
import type {
  AbsentPorts,
  FrameSample,
  MeterInfo,
  RuleInfo,
  RuleSet,
  RulesApi,
  RuleTest,
  TableRule,
  TraceInfo,
} from "./rules-api.ts";
import { traceInfo, wholeFrame } from "./trace-info.ts";

/** Of one line of the log. */
const LOGGED_IDS = 20;

/** Of rules that come at once: so many have the next change rehearsed. And how often: the engine compiles a loop over so many after one or two. */
const REHEARSED_MIN = 1_000;
const REHEARSALS = 4;
/** Most rules are what they were, and would cost nothing but the stop. */
const RESOLVED_PER_STEP = 64;

/** What the service needs of the dataplane. */
export type RulePlane = Pick<RuleTable, "replace" | "counters" | "meterCounters" | "trace">;

export class RuleService implements RulesApi {
  /** In the order in which they are tried. */
  #entries: readonly RuleEntry[] = [];
  #meters: readonly MeterSpec[] = [];
  readonly #ports = new Map<string, number>();
  /** Of these ports and meters; made anew with each change of them. */
  #lookup = lookupOf(this.#ports, this.#meters);
  /** The dataplane still runs rules that mean a port which has gone, or has another index. */
  #stale = false;
  /** Of ids that the switch gave. One that a person chose is free again with its rule, however great it is. */
  #greatestGiven = 0;

  constructor(
    private readonly table: RulePlane,
    private readonly alone: <T>(change: () => Promise<T>) => Promise<T>,
    private readonly log?: Pick<SwitchLog, "info">,
    /** Runs a change of rules; `rules` are those of after it. */
    private readonly around?: (rules: readonly TableRule[], change: () => Promise<void>) => Promise<void>,
  ) {}

  list(): RuleInfo[] {
    return this.#entries.map((entry) => this.#info(entry));
  }

  rows(): Rows<RuleInfo> {
    const lookup = this.#lookup;
    return Rows.of(this.#entries, (entry) => ruleInfo(entry, this.table.counters(entry.id), lookup));
  }

  set(): RuleSet {
    return { rules: this.#entries.map(({ id, rule }) => ({ id, rule })), meters: this.#meters };
  }

  number(wanted: readonly NamedRule[]): Numbered {
    return atOnce(this.numbering(wanted));
  }

  numbering(wanted: readonly NamedRule[]): Steps<Numbered> {
    return numberingRules(wanted, this.#entries, this.#greatestGiven);
  }

  put(set: RuleSet, absent: AbsentPorts = "refuse"): Promise<void> {
    return this.alone(async () => {
      const before = { rules: this.#entries, meters: this.#meters };
      const entries = await takingTurns(this.#entriesOf(set, absent));
      await othersTurn();
      entries.sort(inOrder);
      await this.#run(entries, set.meters);
      const facts = replacedFacts(before, { rules: this.#entries, meters: this.#meters });
      this.log?.info(facts, "rules replaced");
      if (facts.added >= REHEARSED_MIN) await takingTurns(this.#rehearse());
    });
  }

  /**
   * Behind thousands of rules that came at once, as the dataplane does with its part (plan-builder.ts): the next one that comes finds the code
   * that goes through all of them compiled. Nothing changes.
   */
  *#rehearse(): Steps<void> {
    const present = this.#entries.find(({ names }) => names.ports.every((name) => this.#ports.has(name)));
    if (present === undefined) return;
    try {
      const rule = { ...present.rule, id: undefined };
      for (let n = 0; n < REHEARSALS; n++) {
        yield;
        yield* this.#resolved(this.#withRule(rule).entries, this.#lookup);
      }
    } catch (error) {
      // No id left, say: whoever adds a rule will hear of it.
      if (!(error instanceof RingyardError)) throw error;
    }
  }

  #resolved(entries: readonly RuleEntry[], lookup: RuleLookup): Steps<Rule[]> {
    return eachInSteps(entries, (entry) => entry.resolve(lookup), RESOLVED_PER_STEP);
  }

  add(rule: NamedRule): Promise<RuleInfo> {
    return this.alone(async () => {
      const { entry, entries } = this.#withRule(rule);
      await this.#run(entries, this.#meters);
      this.log?.info({ rule: entry.id, text: logged(rule) }, "rule added");
      return this.#info(entry);
    });
  }

  /** The rules with one more, in their order. Throws where it cannot come. */
  #withRule(rule: NamedRule): { entry: RuleEntry; entries: readonly RuleEntry[] } {
    const id = rule.id ?? freshId(this.#greatestId());
    if (this.#entries.some((other) => other.id === id)) throw ruleExists(id);
    const entry = new RuleEntry(id, rule);
    checkRule(entry, this.#ports, "refuse");
    checkMeters(entry, this.#meters);
    return { entry, entries: withEntry(this.#entries, entry) };
  }

  delete(ids: readonly number[]): Promise<void> {
    return this.alone(async () => {
      const gone = new Set(ids);
      const rules = this.#entries.filter(({ id }) => !gone.delete(id));
      for (const id of gone) throw new RingyardError("NOT_FOUND", `no rule ${id}`, "ringyard rule list shows them");
      await this.#run(rules, this.#meters);
      this.log?.info({ rules: ids.slice(0, LOGGED_IDS), count: new Set(ids).size }, "rules deleted");
    });
  }

  meters(): MeterInfo[] {
    return this.#meters.map((meter) => this.#meterInfo(meter));
  }

  setMeter(meter: MeterSpec): Promise<MeterInfo> {
    return this.alone(async () => {
      // In its old place, so that the rules that name it need not be compiled again.
      const known = this.#meters.some(({ name }) => name === meter.name);
      const meters = known
        ? this.#meters.map((old) => (old.name === meter.name ? meter : old))
        : [...this.#meters, meter];
      await this.#run(this.#entries, meters);
      this.log?.info({ meter: meter.name, ...meterText(meter) }, "meter set");
      return this.#meterInfo(meter);
    });
  }

  deleteMeter(name: string): Promise<void> {
    return this.alone(async () => {
      const meters = this.#meters.filter((meter) => meter.name !== name);
      if (meters.length === this.#meters.length) throw noMeter(name, this.#meters);
      const users = this.#users(name);
      if (users.length > 0) throw meterInUse(name, users);
      await this.#run(this.#entries, meters);
      this.log?.info({ meter: name }, "meter deleted");
    });
  }

  test(rule: NamedRule, port: string, frame: FrameSample): RuleTest {
    return testRule(rule, { name: port, index: indexOf(port, this.#ports) }, frame);
  }

  trace(port: string, frame: FrameSample): TraceInfo[] {
    const names = new Map([...this.#ports].map(([name, index]) => [index, name]));
    const texts = new Map(this.#entries.map(({ id, rule }) => [id, rule]));
    const textOf = (id: number | null) => {
      const rule = id === null ? undefined : texts.get(id);
      return rule && ruleText(rule);
    };
    const steps = this.table.trace(indexOf(port, this.#ports), wholeFrame(frame));
    return steps.map((step) => traceInfo(step, (index) => names.get(index) ?? String(index), textOf));
  }

  /** Before the lanes of a new port open; where it rejects, the port must not come. In the row of changes. */
  async portComes(name: string, index: number): Promise<void> {
    this.#ports.set(name, index);
    try {
      await this.#portsChanged(name);
    } catch (error) {
      this.#ports.delete(name);
      this.#lookup = lookupOf(this.#ports, this.#meters);
      throw error;
    }
  }

  /** When no frame of the port is under way any more. In the row of changes. Where it rejects, the port has gone all the same. */
  async portGoes(name: string): Promise<void> {
    this.#ports.delete(name);
    await this.#portsChanged(name);
  }

  async #portsChanged(name: string): Promise<void> {
    this.#lookup = lookupOf(this.#ports, this.#meters);
    if (!this.#stale && !this.#entries.some(({ names }) => names.ports.includes(name))) return;
    this.#stale = true;
    await this.#run(this.#entries, this.#meters);
  }

  /** In no order. Throws where one cannot be. */
  *#entriesOf({ rules, meters }: RuleSet, absent: AbsentPorts): Steps<RuleEntry[]> {
    const now = new Map(this.#entries.map((entry) => [entry.id, entry]));
    const ids = new Set<number>();
    const known = namesOf(meters);
    return yield* eachInSteps(rules, ({ id, rule }) => {
      if (ids.has(id)) throw ruleExists(id);
      ids.add(id);
      const old = now.get(id);
      const entry = old?.says(rule) ? old.with(rule) : new RuleEntry(id, rule);
      // A rule that is there already may have lost its port meanwhile.
      if (!old?.says(rule)) checkRule(entry, this.#ports, absent);
      checkMeters(entry, meters, known);
      return entry;
    });
  }

  /** Gives rules and meters to the dataplane, and keeps them when it has taken them. In the row of changes: nothing that it reads changes meanwhile. */
  async #run(entries: readonly RuleEntry[], meters: readonly MeterSpec[]): Promise<void> {
    const lookup = meters === this.#meters ? this.#lookup : lookupOf(this.#ports, meters);
    const replace = async () => this.table.replace(await takingTurns(this.#resolved(entries, lookup)), meters);
    try {
      // Those of ports that come or go, and of meters, stay what they are.
      if (entries === this.#entries || this.around === undefined) await replace();
      else await this.around(entries, replace);
    } catch (error) {
      throw namingTheRule(error, entries, this.#entries);
    }
    this.#stale = false;
    this.#entries = entries;
    this.#meters = meters;
    this.#lookup = lookup;
    for (const { id, rule } of entries) {
      if (rule.id === undefined) this.#greatestGiven = Math.max(this.#greatestGiven, id);
    }
  }

  /** A rule that comes gets an id behind this one: not one that was given before, and behind all that are there. */
  #greatestId(): number {
    return this.#entries.reduce((greatest, { id }) => Math.max(greatest, id), this.#greatestGiven);
  }

  #users(meter: string): number[] {
    return this.#entries.filter(({ names }) => names.meters.includes(meter)).map(({ id }) => id);
  }

  #info(entry: RuleEntry): RuleInfo {
    return ruleInfo(entry, this.table.counters(entry.id), this.#lookup);
  }

  #meterInfo(meter: MeterSpec): MeterInfo {
    return meterInfo(meter, this.table.meterCounters(meter.name), this.#users(meter.name));
  }
}
