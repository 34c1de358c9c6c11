// What the switch can be asked about its rules and meters: the part of SwitchApi that rule-service.ts implements.
//
//   NamedRule --number--> TableRule { id, rule }          every rule that the switch holds has an id
//   RuleSet { rules, meters } --put--> all of it takes effect at one moment, or nothing does
//
// A rule may outlive a port that it names: then it waits (`inactive` says for what), and takes effect again when a port of that
// name is there. Results are plain data, fit for CBOR and JSON. Control thread.

import type { Steps } from "../../core/turns.ts";
import type { MeterSpec } from "../../dataplane/rules/rule.ts";
import type { Rows } from "../rows.ts";
import type { NamedRule } from "./named-rule.ts";
import type { Numbered } from "./rule-numbers.ts";

/** A rule with its number. `rule.id` is there where a person chose it: then it belongs to the configuration. */
export interface TableRule {
  id: number;
  rule: NamedRule;
}

/** All rules, in no order that matters, and all meters. */
export interface RuleSet {
  rules: readonly TableRule[];
  meters: readonly MeterSpec[];
}

/** What is and what shall be. */
export interface RuleChange {
  before: RuleSet;
  after: RuleSet;
}

export interface RuleInfo {
  id: number;
  priority: number;
  /** Without the id, as it can be typed again. */
  text: string;
  frames: number;
  bytes: number;
  /** Seconds since the last frame; absent: there was none. */
  lastHitS?: number;
  /** Why a part of it or all has no effect now: `no port vm1`. */
  inactive?: string;
}

export interface MeterInfo {
  name: string;
  /** `100 Mbit/s`, and `1 Mbit`. */
  rate: string;
  burst: string;
  /** That came to it, and how many frames of these exceeded it. */
  frames: number;
  bytes: number;
  dropped: number;
  /** Ids of the rules that name it, up to a thousand of them, and how many those are. */
  rules: number[];
  users: number;
}

/** A frame, or its beginning: only the header is looked at. */
export interface FrameSample {
  bytes: Uint8Array;
  /** Of the whole frame; absent: that is all of it. */
  length?: number;
}

/** Whether one rule would match, constraint by constraint. */
export interface RuleTest {
  text: string;
  matches: boolean;
  constraints: {
    /** As in the rule's text. */
    text: string;
    holds: boolean;
    /** What the frame has there; absent: it has no such header. */
    found?: string;
  }[];
}

/** A step of dataplane/rules/trace-step.ts with ports by name; that of a rule has the rule's text. */
export interface TraceInfo {
  step: "header" | "rule" | "action" | "fdb" | "frame" | "verdict";
  text: string;
  data: Record<string, unknown>;
}

/** Whether rules may name ports that are not there: those of a configuration may, since ports come after them. */
export type AbsentPorts = "refuse" | "wait";

export interface RulesApi {
  /** In the order in which they are tried. */
  list(): RuleInfo[];
  /** The same for one who may take long to read: the rules of now, with counters of when each is taken. */
  rows(): Rows<RuleInfo>;
  /** What the switch holds now. */
  set(): RuleSet;
  /**
   * Gives `wanted` ids: one of the same text keeps the id, and so the counters, that it has now, as long as rules of one priority
   * stay in the order of `wanted`; `taken` are the ids of all rules that `wanted` repeats. Changes nothing. Throws EXISTS, LIMIT.
   */
  number(wanted: readonly NamedRule[]): Numbered;
  /** The same in steps; until the last of them no rule comes or goes. */
  numbering(wanted: readonly NamedRule[]): Steps<Numbered>;
  /** Makes this the rules and meters of the switch. Throws NOT_FOUND for a name that is not there, and nothing changes. */
  put(set: RuleSet, absent?: AbsentPorts): Promise<void>;
  /** Behind those of its priority, unless it has an id. Throws EXISTS, NOT_FOUND. */
  add(rule: NamedRule): Promise<RuleInfo>;
  /** All or none. Throws NOT_FOUND. */
  delete(ids: readonly number[]): Promise<void>;
  meters(): MeterInfo[];
  /** Adds a meter, or changes the one of that name. */
  setMeter(meter: MeterSpec): Promise<MeterInfo>;
  /** Throws BUSY where a rule names it. */
  deleteMeter(name: string): Promise<void>;
  /** Would this rule match? It is not added. */
  test(rule: NamedRule, port: string, frame: FrameSample): RuleTest;
  /** What would become of this frame; nothing is sent or counted. */
  trace(port: string, frame: FrameSample): TraceInfo[];
}
