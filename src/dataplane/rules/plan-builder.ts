// From rules, meters and policies to a plan for all workers, beside the one that runs: what both have in common is taken over.
//
//   running --build(rules, meters, policy)--> step { next, came, gone } --all workers run it--> complete: what went is given back
//                                                                       \--one refuses------> giveUp: what came is given back
//
// Tables (compile.ts), ranks (plan-ranks.ts) and rows of counters are kept, and changed by what came and went: 10,000 rules less one
// cost the one. Control thread, for table.ts.

import { RingyardError } from "../../core/errors.ts";
import type { Steps } from "../../core/turns.ts";
import { type BridgePolicy, isNoPolicy, NO_POLICY } from "../bridge/policy.ts";
import { RuleCompiler } from "./compile.ts";
import { meterTokens, PlanImage } from "./plan-image.ts";
import { PlanRanks } from "./plan-ranks.ts";
import type { MeterSpec, Rule } from "./rule.ts";
import { comparing } from "./rule-change.ts";
import { METERS_MAX, RuleMemory } from "./rule-memory.ts";

export interface MeterCounters {
  frames: number;
  bytes: number;
  /** Frames, of those, that exceeded it. */
  dropped: number;
}

export const NOTHING_METERED: MeterCounters = { frames: 0, bytes: 0, dropped: 0 };

export interface RunningMeter {
  spec: MeterSpec;
  bucket: number;
  /** What it had counted before its figures changed. */
  before: MeterCounters;
}

/** Rules, meters and policies that all workers run, and what they have of the memory. */
export interface Running {
  rules: readonly Rule[];
  meters: readonly MeterSpec[];
  policy: BridgePolicy;
  image: PlanImage | null;
  rows: ReadonlyMap<number, number>;
  buckets: ReadonlyMap<string, RunningMeter>;
}

export function nothing(): Running {
  return { rules: [], meters: [], policy: NO_POLICY, image: null, rows: new Map(), buckets: new Map() };
}

/** What is to run, and the ids of rules that came and went with it. */
export interface Step {
  readonly next: Running;
  readonly came: readonly number[];
  readonly gone: readonly number[];
}

/** So many rules came at once that the change after them is made ready for. */
const REHEARSED_MIN = 1_000;
const REHEARSALS = 4;
/** Behind more than these the collection itself would be what others wait for: 30 ms behind 10,000, a third of a second behind 65,000. */
const COLLECTED_MAX = 12_000;
const GIVE_EACH_ITS_OWN = "give each its own";

export class PlanBuilder {
  /** Made with the first plan. */
  memory: RuleMemory | undefined;
  readonly #compiler = new RuleCompiler();
  readonly #ranks = new PlanRanks();

  constructor(private readonly workers: number) {}

  /** Whether new flows pay for what changes left in the tables, so that `renew` is worth its time. */
  get worn(): boolean {
    return this.#compiler.worn;
  }

  /** The next plan is compiled anew. */
  renew(): void {
    this.#compiler.renew();
  }

  /** The plan of `rules`, in rank order, with rows and buckets of the running one where they are the same. Throws, and nothing changed. */
  *build(running: Running, rules: readonly Rule[], meters: readonly MeterSpec[], policy: BridgePolicy): Steps<Step> {
    const { rows: had } = running;
    const { added, removed } = yield* difference(running, rules);
    checkMeters(meters);
    const hasPolicy = !isNoPolicy(policy);
    if (rules.length === 0 && meters.length === 0 && !hasPolicy) {
      this.#ranks.forget();
      this.#compiler.renew();
      return { next: nothing(), came: [], gone: [...had.keys()] };
    }
    const compiled = yield* this.#compiler.compiling(rules);
    yield;
    const tokens = meters.map(meterTokens);
    this.memory ??= new RuleMemory(this.workers);
    const { memory } = this;
    const rows = yield* rowsOf(had, removed, added, memory);
    const bucketOf = (spec: MeterSpec, m: number): RunningMeter => {
      const meter = running.buckets.get(spec.name);
      if (meter !== undefined && isSameMeter(meter.spec, spec)) return meter;
      return { spec, bucket: memory.takeBucket(tokens[m]), before: NOTHING_METERED };
    };
    const buckets = new Map(meters.map((spec, m) => [spec.name, bucketOf(spec, m)]));
    const next: Running = { rules, meters, policy, image: null, rows, buckets };
    const step = {
      next,
      came: idsOf(added).filter((id) => !had.has(id)),
      gone: idsOf(removed).filter((id) => !rows.has(id)),
    };
    if (rules.length === 0 && !hasPolicy) {
      this.#ranks.forget();
      return step;
    }
    try {
      const bucketNumbers = [...buckets.values()].map(({ bucket }) => bucket);
      yield;
      const ranks = yield* this.#ranks.encoding(rules, rows, meters.length);
      yield;
      next.image = new PlanImage(compiled, ranks, meters, bucketNumbers, hasPolicy ? policy : null);
      return step;
    } catch (error) {
      this.giveUp(step, running);
      throw error;
    }
  }

  /** No worker runs what was before `step`. */
  *complete(before: Running, { next, came, gone }: Step): Steps<void> {
    this.#retire(before, next, gone);
    if (came.length < REHEARSED_MIN) return;
    try {
      yield* this.#rehearse(next);
    } catch {
      // The change itself has taken effect; what is known of it is made anew with the next.
      this.#compiler.renew();
      this.#ranks.forget();
    }
  }

  /** No worker runs `step`, but what was before it. */
  giveUp({ next, came }: Step, running: Running): void {
    this.#ranks.forget();
    this.#retire(next, running, came);
  }

  /** Gives back what `old` has and `kept` has not, rows of the rules `ids` among it. */
  #retire(old: Running, kept: Running, ids: readonly number[]): void {
    old.image?.close();
    const { memory } = this;
    if (memory === undefined) return;
    for (const id of ids) memory.giveRow(old.rows.get(id)!);
    for (const [name, meter] of old.buckets) if (kept.buckets.get(name) !== meter) memory.giveBucket(meter.bucket);
  }

  /**
   * Behind a list of thousands, whose time this hardly adds to: the change that comes next finds the code that it needs compiled, and
   * no garbage of the list's to be collected. Measured: 19 to 36 ms instead of 37 to 67 for the first one under load.
   */
  *#rehearse({ rules, rows, meters }: Running): Steps<void> {
    for (let n = 1; n <= REHEARSALS; n++) {
      const fewer = rules.toSpliced(Math.floor((rules.length * n) / (REHEARSALS + 1)), 1);
      for (const some of [fewer, rules]) {
        yield;
        yield* this.#compiler.compiling(some);
        yield;
        yield* this.#ranks.encoding(some, rows, meters.length);
      }
    }
    if (rules.length > COLLECTED_MAX) return;
    yield;
    Bun.gc(true);
  }

  /** The workers have stopped. */
  close(): void {
    this.memory?.close();
    this.memory = undefined;
  }
}

/** Rules of `rules` that do not run, and those that do and are not in it. Throws where two would have one id. */
function* difference(
  { rules: running, rows }: Running,
  rules: readonly Rule[],
): Steps<{ added: readonly Rule[]; removed: readonly Rule[] }> {
  const change = yield* comparing(running, rules);
  const added = change === undefined ? rules : change.added.map((rank) => rules[rank]);
  const removed = change === undefined ? running : change.removed.map((rank) => running[rank]);
  const going = new Set(idsOf(removed));
  const coming = new Set<number>();
  for (const { id } of added) {
    if (coming.has(id) || (rows.has(id) && !going.has(id))) {
      throw new RingyardError("BAD_OPTION", `two rules have the id ${id}`, GIVE_EACH_ITS_OWN);
    }
    coming.add(id);
    yield;
  }
  return { added, removed };
}

/** The rows of what runs next: one keeps its row, and its counters, for as long as its id is there. */
function* rowsOf(
  had: ReadonlyMap<number, number>,
  removed: readonly Rule[],
  added: readonly Rule[],
  memory: RuleMemory,
): Steps<Map<number, number>> {
  const rows = new Map(had);
  yield;
  for (const { id } of removed) {
    rows.delete(id);
    yield;
  }
  for (const { id } of added) {
    rows.set(id, had.get(id) ?? memory.takeRow());
    yield;
  }
  return rows;
}

function idsOf(rules: readonly Rule[]): number[] {
  return rules.map(({ id }) => id);
}

function isSameMeter(a: MeterSpec, b: MeterSpec): boolean {
  return a.unit === b.unit && a.rate === b.rate && a.burst === b.burst;
}

function checkMeters(meters: readonly MeterSpec[]): void {
  const names = new Set<string>();
  for (const { name } of meters) {
    if (names.has(name)) throw new RingyardError("BAD_OPTION", `two meters have the name ${name}`, GIVE_EACH_ITS_OWN);
    names.add(name);
  }
  if (meters.length <= METERS_MAX) return;
  throw new RingyardError("LIMIT", `${meters.length} meters are more than ${METERS_MAX}`, "share some");
}
