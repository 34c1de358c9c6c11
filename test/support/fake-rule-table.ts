// A RuleTable without a dataplane: it keeps what it was last given, refuses when it is told to, and shows counters and steps of
// a trace that a test put there.

import type { RulePlane } from "../../src/control/rules/rule-service.ts";
import type { MeterCounters } from "../../src/dataplane/rules/plan-builder.ts";
import type { MeterSpec, Rule } from "../../src/dataplane/rules/rule.ts";
import type { RuleCounters } from "../../src/dataplane/rules/table.ts";
import type { TraceStep } from "../../src/dataplane/rules/trace-step.ts";

export class FakeRuleTable implements RulePlane {
  rules: readonly Rule[] = [];
  meters: readonly MeterSpec[] = [];
  /** How often rules were replaced. */
  replaced = 0;
  /** What `replace` rejects with. */
  failure: Error | null = null;
  readonly counted = new Map<number, RuleCounters>();
  readonly metered = new Map<string, MeterCounters>();
  steps: TraceStep[] = [];
  /** What was traced. */
  readonly traced: { port: number; frame: Uint8Array }[] = [];

  /** `onReplace` may throw: then the old rules stay. */
  constructor(private readonly onReplace: (rules: readonly Rule[], meters: readonly MeterSpec[]) => void = () => {}) {}

  async replace(rules: readonly Rule[], meters: readonly MeterSpec[]): Promise<void> {
    this.onReplace(rules, meters);
    if (this.failure !== null) throw this.failure;
    this.rules = rules;
    this.meters = meters;
    this.replaced++;
  }

  counters(id: number): RuleCounters {
    return this.counted.get(id) ?? { frames: 0, bytes: 0, lastHitS: -1 };
  }

  meterCounters(name: string): MeterCounters {
    return this.metered.get(name) ?? { frames: 0, bytes: 0, dropped: 0 };
  }

  trace(port: number, frame: Uint8Array): TraceStep[] {
    this.traced.push({ port, frame });
    return this.steps;
  }
}
