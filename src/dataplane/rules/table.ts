// The rule table of the running switch, from the control thread: rules, policies of ports and captures in, counters and traces out.
//
//   replace(rules) -> compile -> image (plan-image.ts) -> mailbox of every worker -> all run it -> what only the plan before
//                                                                                     had is given back
//
// Replacements run one after the other. Where one fails, on whichever worker, all are told the plan before once more: it is
// whole until the last step. Counters hang on a rule's id and a meter's name, and go on over replacements that keep those; a
// meter whose figures are the same keeps its tokens, too. Without rules, meters, policies and captures there is no
// plan, and workers run the code of a switch that knows none of them.
//
// A rule that comes to thousands, or goes, is worked into what there is (plan-builder.ts). When changes pause, all is compiled
// anew, so that new flows do not pay for what they left behind.

import { RingyardError } from "../../core/errors.ts";
import { takingTurns } from "../../core/turns.ts";
import { BridgeMemory, type LimitCounters } from "../bridge/bridge-memory.ts";
import { limitsOf } from "../bridge/limits.ts";
import type { Probes } from "../bridge/loop-guard.ts";
import { type BridgePolicy, type CapturePolicy, isNoPolicy } from "../bridge/policy.ts";
import { bridgeSteps } from "../bridge/trace-bridge.ts";
import type { Dispatcher } from "../dispatch.ts";
import type { Fdb } from "../fdb-layout.ts";
import { CLOCK_S } from "../shared.ts";
import { EVENT_LOGGED, LOGGED_HEADER_SIZE } from "./apply-actions.ts";
import { type EventRing, lostEvents, readEvents } from "./event-ring.ts";
import type { PlanConfig } from "./plan.ts";
import {
  type MeterCounters,
  NOTHING_METERED,
  nothing,
  PlanBuilder,
  type Running,
  type RunningMeter,
} from "./plan-builder.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES, ROW_LAST_S } from "./plan-layout.ts";
import { byRank, type MeterSpec, type Rule } from "./rule.ts";
import { traceFrame } from "./trace.ts";
import type { TraceStep } from "./trace-step.ts";

/** What a RuleTable needs of the switch. */
export interface RuleTableParts {
  dispatcher: Pick<Dispatcher, "callAll" | "delivers" | "isUp" | "shared" | "workers">;
  fdb: Fdb;
  /** Ports by index, for texts; `String(index)` where there is none. */
  portName(index: number): string;
  /** Hears of frames that `log` actions picked, from `drain`. */
  onLog(entry: LoggedFrame): void;
  /** Hears of what else workers say (bridge/events.ts), from `drain`; the payload is valid until it returns. */
  onEvent?(kind: number, payload: Int32Array): void;
}

/** A frame that a rule's `log` action picked. */
export interface LoggedFrame {
  /** Id of the rule. */
  rule: number;
  /** Port it came in on. */
  port: number;
  /** Its whole length, and its first bytes as received. */
  length: number;
  head: Uint8Array;
}

export interface RuleCounters {
  frames: number;
  bytes: number;
  /** Seconds since the last frame, -1 for never. */
  lastHitS: number;
}

/** A pause, after which all is compiled anew: it takes the time of many changes, and the workers' functions start cold. */
const PAUSE_MS = 2_000;

export class RuleTable {
  private readonly builder: PlanBuilder;
  private bridgeMemory: BridgeMemory | undefined;
  private running = nothing();
  private tail: Promise<unknown> = Promise.resolve();
  private closed = false;
  private stopping = false;
  private lost = 0;
  private pause: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly parts: RuleTableParts) {
    this.builder = new PlanBuilder(parts.dispatcher.workers);
  }

  /**
   * Compiles and swaps; resolves when every worker runs the new rules, and only then the old ones' memory goes. Rejects with a
   * RingyardError where it cannot, and the old rules stay. Calls are queued in order. Rules come in any order and do not change
   * afterwards: one that is the same object as before costs next to nothing.
   */
  replace(rules: readonly Rule[], meters: readonly MeterSpec[]): Promise<void> {
    const ranked = isRanked(rules) ? rules.slice() : rules.toSorted(byRank);
    return this.queue(() => this.change(ranked, meters, this.running.policy));
  }

  /** The same for policies of ports; rules stay as they are. Where they list nothing, and there are no rules, there is no plan. */
  setPolicy(policy: BridgePolicy): Promise<void> {
    return this.queue(() => {
      const { rules, meters, policy: before } = this.running;
      return this.change(rules, meters, { ...policy, captures: before.captures ?? [] });
    });
  }

  /** The same for captures; when it resolves, no worker touches the memory of those that went. */
  setCaptures(captures: readonly CapturePolicy[]): Promise<void> {
    return this.queue(() => {
      const { rules, meters, policy } = this.running;
      return this.change(rules, meters, { ...policy, captures });
    });
  }

  private queue(change: () => Promise<void>): Promise<void> {
    const result = this.tail.then(change);
    this.tail = result.catch(() => undefined);
    return result;
  }

  /** `rules` in rank order. */
  private async change(rules: readonly Rule[], meters: readonly MeterSpec[], policy: BridgePolicy): Promise<void> {
    if (this.closed) throw new RingyardError("BUSY", "the switch is shutting down");
    clearTimeout(this.pause);
    try {
      await this.swap(rules, meters, policy);
    } finally {
      if (this.builder.worn) this.renewLater();
    }
  }

  private async swap(rules: readonly Rule[], meters: readonly MeterSpec[], policy: BridgePolicy): Promise<void> {
    const before = this.running;
    // Nothing else begins meanwhile: all that changes what runs stands in the queue.
    const step = await takingTurns(this.builder.build(before, rules, meters, policy));
    const { next } = step;
    try {
      await this.send(next);
    } catch (error) {
      await this.send(before);
      this.builder.giveUp(step, before);
      throw error;
    }
    for (const [name, meter] of next.buckets) this.inherit(meter, before.buckets.get(name));
    this.running = next;
    await takingTurns(this.builder.complete(before, step));
  }

  private renewLater(): void {
    clearTimeout(this.pause);
    if (!this.stopping) this.pause = setTimeout(() => void this.renew(), PAUSE_MS).unref();
  }

  /** Compiles anew what runs. Where that fails, it goes on as it is for a while. */
  private async renew(): Promise<void> {
    const change = () => {
      this.builder.renew();
      const { rules, meters, policy } = this.running;
      return this.change(rules, meters, policy);
    };
    await this.queue(change).catch(() => this.renewLater());
  }

  /** Nothing is compiled anew by itself any more; resolves when no change is under way. Before the workers stop. */
  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.pause);
    await this.tail;
  }

  private send({ image, policy }: Running): Promise<void> {
    const { dispatcher } = this.parts;
    const { workers } = dispatcher;
    const { memory } = this.builder;
    const at = (memory: { address: number }) => ({ address: memory.address, workers });
    const plan: PlanConfig | null =
      image === null || memory === undefined ? null : { image: image.config, memory: at(memory) };
    if (plan !== null && !isNoPolicy(policy)) {
      this.bridgeMemory ??= new BridgeMemory(workers);
      plan.bridgeMemory = at(this.bridgeMemory);
    }
    return dispatcher.callAll({ op: "plan", plan });
  }

  /** A meter with new figures goes on counting where the one before stopped. */
  private inherit(meter: RunningMeter, before: RunningMeter | undefined): void {
    if (before !== undefined && before !== meter) meter.before = this.metered(before);
  }

  /** Sums over workers; counters of an id survive replacements that keep the id. Zeroes for an id that is not there. */
  counters(id: number): RuleCounters {
    const row = this.running.rows.get(id);
    const { memory } = this.builder;
    if (row === undefined || memory === undefined) return { frames: 0, bytes: 0, lastHitS: -1 };
    const lastS = Math.max(...memory.rule(row, ROW_LAST_S));
    return {
      frames: sum(memory.rule(row, ROW_FRAMES)),
      bytes: sum(memory.rule(row, ROW_BYTES)),
      lastHitS: lastS === 0 ? -1 : Math.max(0, this.parts.dispatcher.shared.control[CLOCK_S] - lastS),
    };
  }

  /** By name; counters survive replacements that keep the name. Zeroes for a name that is not there. */
  meterCounters(name: string): MeterCounters {
    const meter = this.running.buckets.get(name);
    return meter === undefined ? { ...NOTHING_METERED } : this.metered(meter);
  }

  private metered({ bucket, before }: RunningMeter): MeterCounters {
    const { memory } = this.builder;
    if (memory === undefined) return { ...before };
    return {
      frames: before.frames + sum(memory.meter(bucket, ROW_FRAMES)),
      bytes: before.bytes + sum(memory.meter(bucket, ROW_BYTES)),
      dropped: before.dropped + sum(memory.meter(bucket, ROW_DROPPED)),
    };
  }

  /** What would become of this frame: steps in order, nothing is sent, learned or counted. Meters are taken to have tokens. */
  trace(port: number, frame: Uint8Array): TraceStep[] {
    const { rules, meters, policy, image } = this.running;
    const steps = traceFrame(this.parts, rules, meters, port, frame);
    const { bridgeMemory } = this;
    return image === null || bridgeMemory === undefined || isNoPolicy(policy)
      ? steps
      : bridgeSteps({ ...this.parts, bridgeMemory }, image.config, steps, port, frame);
  }

  /**
   * Hands what workers said since the last call to `onLog` and `onEvent`; the switch calls it once a second at least. Returns how
   * many frames and events found no room meanwhile.
   */
  drain(): number {
    const rings = this.builder.memory?.rings ?? [];
    for (const ring of rings) {
      readEvents(ring, (kind, at, size) => {
        if (kind === EVENT_LOGGED) this.parts.onLog(readLogged(ring, at));
        else this.parts.onEvent?.(kind, ring.words.subarray(at >> 2, (at + size) >> 2));
      });
    }
    const lost = sum(rings.map(lostEvents));
    const more = lost - this.lost;
    this.lost = lost;
    return more;
  }

  /** What the limits that a port has now have counted, by their names in a configuration, since the port came. */
  limits(port: number): Record<string, LimitCounters> {
    const policy = this.running.policy.ports.find((it) => it.port === port);
    const { bridgeMemory } = this;
    return policy === undefined || bridgeMemory === undefined ? {} : limitsOf(policy, bridgeMemory);
  }

  /** Of the loop guard; absent before the first policy. */
  get probes(): Probes | undefined {
    return this.bridgeMemory?.probes;
  }

  /** Requests of a VLAN that were not flooded, since the first policy. */
  directed(vid: number): number {
    return this.bridgeMemory?.directed(vid) ?? 0;
  }

  /** Another port has this index now, none of whose lanes is open yet. */
  portComes(index: number): void {
    this.bridgeMemory?.clear(index);
  }

  /** Gives all memory back; the workers have stopped. */
  close(): void {
    this.closed = true;
    this.stopping = true;
    clearTimeout(this.pause);
    this.running.image?.close();
    this.builder.close();
    this.bridgeMemory?.close();
    this.bridgeMemory = undefined;
    this.running = nothing();
  }
}

function readLogged(ring: EventRing, at: number): LoggedFrame {
  const [rule, port, length, size] = ring.words.subarray(at >> 2, (at >> 2) + 4);
  const start = at + LOGGED_HEADER_SIZE;
  return { rule, port, length, head: ring.bytes.slice(start, start + size) };
}

function isRanked(rules: readonly Rule[]): boolean {
  for (let rank = 1; rank < rules.length; rank++) if (byRank(rules[rank - 1], rules[rank]) > 0) return false;
  return true;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
