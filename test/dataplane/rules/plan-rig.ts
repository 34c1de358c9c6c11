// One worker's forwarding by rules, without the worker: ports whose lanes keep what they are given, frames put together by hand,
// one burst at a time. Everything between is what a worker runs: compiled rules, image, plan, forwardPlanned.
//
//   rules() -> compile -> image -> PlanRunner        put() frames -> run(port) -> lanes[port].frames, drops, counters
//
// `close` checks the law of the switch over all ports, rx + copies = tx + drops, and gives the memory back. One thread.

import { afterEach, expect } from "bun:test";
import { BridgeMemory } from "../../../src/dataplane/bridge/bridge-memory.ts";
import { forwardBridged } from "../../../src/dataplane/bridge/forward-bridged.ts";
import { type BridgePolicy, NO_POLICY, PORT_DEFAULTS, type PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { drainQueues } from "../../../src/dataplane/bridge/queue-drain.ts";
import { closeQueues, swapQueues } from "../../../src/dataplane/bridge/queue-swap.ts";
import { Fallback } from "../../../src/dataplane/fallback.ts";
import { allocateFdb } from "../../../src/dataplane/fdb-layout.ts";
import { fdbEntries } from "../../../src/dataplane/fdb-show.ts";
import { fdbAddStatic } from "../../../src/dataplane/fdb-table.ts";
import { forward } from "../../../src/dataplane/forward.ts";
import { RuleCompiler } from "../../../src/dataplane/rules/compile.ts";
import { forwardPlanned } from "../../../src/dataplane/rules/forward-planned.ts";
import { type Plan, type PlanConfig, PlanRunner } from "../../../src/dataplane/rules/plan.ts";
import { meterTokens, PlanImage } from "../../../src/dataplane/rules/plan-image.ts";
import { PlanRanks } from "../../../src/dataplane/rules/plan-ranks.ts";
import { byRank, type MeterSpec, type Rule } from "../../../src/dataplane/rules/rule.ts";
import { RuleMemory } from "../../../src/dataplane/rules/rule-memory.ts";
import { CLOCK_S, MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "../../../src/dataplane/shared.ts";
import { Tables } from "../../../src/dataplane/tables.ts";
import { type Batch, MAX_FRAME, OFFLOAD_ALL } from "../../../src/mem/batch.ts";
import * as counter from "../../../src/mem/counters.ts";
import { WindowTable } from "../../../src/mem/window.ts";
import type { Lane } from "../../../src/ports/port.ts";
import { mapAnonymous, unmap } from "../../../src/sys/memory.ts";
import { readNetHeader } from "../../../src/virtio/net-header.ts";
import { type Mac, macText } from "../../support/frames.ts";

const MEMORY_SIZE = 8 << 20;

/** A frame as a lane was given it: its bytes, and what its net header would say. */
export interface Given {
  bytes: Uint8Array;
  needs: number;
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
}

/** A lane that keeps a copy of every frame it is given. */
export class KeepingLane implements Lane {
  readonly wakeFd = -1;
  readonly wakeEdge = false;
  readonly given: Given[] = [];

  constructor(
    private readonly windows: WindowTable,
    private readonly counters: Float64Array,
    readonly accepts: number,
    readonly delivers: boolean,
  ) {}

  get frames(): Uint8Array[] {
    return this.given.map(({ bytes }) => bytes);
  }

  deliver(batch: Batch, list: Int32Array, count: number): number {
    for (let k = 0; k < count; k++) this.given.push(this.copy(batch, list[k]));
    this.counters[counter.TX_FRAMES] += count;
    return count;
  }

  private copy(batch: Batch, i: number): Given {
    const pieces: Uint8Array[] = [];
    const { length, offset, window } = batch.pool;
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      pieces.push(this.windows.u8[window[s]].slice(offset[s], offset[s] + length[s]));
    }
    const bytes = new Uint8Array(Buffer.concat(pieces));
    expect(bytes.length).toBe(batch.length[i]);
    const [needs, gsoType] = [batch.needs[i], batch.gsoType[i]];
    const [gsoSize, csumStart, csumOffset] = [batch.gsoSize[i], batch.csumStart[i], batch.csumOffset[i]];
    return needs === 0
      ? { bytes, needs, gsoType, gsoSize: 0, csumStart: 0, csumOffset: 0 }
      : { bytes, needs, gsoType, gsoSize, csumStart, csumOffset };
  }

  fetch(): number {
    return 0;
  }
  release(): void {}
  arm(): boolean {
    return false;
  }
  disarm(): void {}
  close(): void {}
}

export interface PortOptions {
  accepts?: number;
  maxFrame?: number;
  up?: boolean;
  delivers?: boolean;
}

export class PlanRig {
  readonly windows = new WindowTable();
  readonly shared = SharedState.allocate(1);
  readonly fdb = allocateFdb(1024);
  readonly tables = new Tables(this.windows, this.fdb, this.shared.control, this.shared, 0);
  readonly lanes: KeepingLane[] = [];
  readonly memory: RuleMemory;
  readonly bridgeMemory: BridgeMemory;
  /** Null: frames are forwarded as without rules. */
  plan: Plan | null = null;
  /** That it was made from. */
  config: PlanConfig | null = null;
  private readonly fallback = new Fallback(this.windows);
  private readonly runner: PlanRunner;
  private readonly compiler = new RuleCompiler();
  private readonly rows = new Map<number, number>();
  private readonly images: PlanImage[] = [];
  /** Where the frames of a burst lie in this process, the first at its start. */
  readonly address = mapAnonymous(MEMORY_SIZE);
  private readonly window = this.windows.add(this.address, MEMORY_SIZE);
  private used = 0;

  /** With ports 0, 1, ... of these options; as which of a RuleTable's workers, and with what memory those share, which stays open. */
  constructor(
    ports: readonly PortOptions[],
    worker = 0,
    private readonly memoryOfAll?: BridgeMemory,
  ) {
    this.memory = new RuleMemory(memoryOfAll?.workers ?? 1);
    this.bridgeMemory = memoryOfAll ?? new BridgeMemory(1);
    this.runner = new PlanRunner(this.windows, this.tables.batch, worker);
    this.shared.control[CLOCK_S] = 1;
    for (const options of ports) this.addPort(this.lanes.length, options);
  }

  private addPort(
    index: number,
    { accepts = OFFLOAD_ALL, maxFrame = MAX_FRAME, up = true, delivers = true }: PortOptions,
  ) {
    const lane = new KeepingLane(this.windows, this.shared.counters(0, index * MAX_PAIRS), accepts, delivers);
    this.lanes.push(lane);
    this.tables.set(index * MAX_PAIRS, lane, true);
    this.shared.control[SharedState.portWord(index, PORT_MAX_FRAME)] = maxFrame;
    this.setUp(index, up);
  }

  setUp(port: number, up: boolean): void {
    this.shared.control[SharedState.portWord(port, PORT_UP)] = up ? 1 : 0;
  }

  isUp(port: number): boolean {
    return this.shared.control[SharedState.portWord(port, PORT_UP)] !== 0;
  }

  /** The rules in force from now on; rules of an id keep their counters. A meter's bucket has its index. */
  rules(rules: readonly Rule[], meters: readonly MeterSpec[] = [], policy: BridgePolicy | null = null): void {
    const ranked = rules.toSorted(byRank);
    const buckets = meters.map((meter) => this.memory.takeBucket(meterTokens(meter)));
    for (const { id } of ranked) if (!this.rows.has(id)) this.rows.set(id, this.memory.takeRow());
    const ranks = new PlanRanks().encode(ranked, this.rows, meters.length);
    const image = new PlanImage(this.compiler.compile(ranked), ranks, meters, buckets, policy);
    this.images.push(image);
    const bridge =
      policy === null
        ? {}
        : { bridgeMemory: { address: this.bridgeMemory.address, workers: this.bridgeMemory.workers } };
    const memory = { address: this.memory.address, workers: this.memory.workers };
    this.open({ image: image.config, memory, ...bridge });
  }

  /** Policies in force from now on, of ports by their index and of all else; with rules beside them. */
  policy(
    ports: Readonly<Record<number, Partial<PortPolicy>>>,
    others: Partial<BridgePolicy> = {},
    rules: readonly Rule[] = [],
  ): void {
    const listed = Object.entries(ports).map(([port, changes]) => ({
      ...PORT_DEFAULTS,
      ...changes,
      port: Number(port),
    }));
    this.rules(rules, [], { ...NO_POLICY, ...others, ports: listed });
  }

  /** Takes a plan as a worker does. */
  open(config: PlanConfig | null): void {
    this.config = config;
    this.plan = config === null ? null : this.runner.open(config);
    const { queues } = this.runner;
    if (queues !== undefined) swapQueues(this.tables, this.fallback, queues, this.plan?.bridge ?? null);
  }

  /** What a rule has counted: frames, bytes, second of the last. */
  counted(id: number): number[] {
    const row = this.rows.get(id) as number;
    return [0, 1, 2].map((column) => this.memory.rule(row, column)[0]);
  }

  /** A station that the switch knows. */
  station(address: Mac, port: number): void {
    fdbAddStatic(this.fdb, macText(address), port);
  }

  /** Addresses that the switch has learned, and where. */
  get learned(): Record<string, number> {
    return Object.fromEntries(
      [...fdbEntries(this.fdb, 1)]
        .flat()
        .filter((it) => !it.static)
        .map((it) => [it.mac, it.port]),
    );
  }

  /** Appends a frame to the burst, each piece in a place of its own, with a net header if it has one. Returns where it lies. */
  put(pieces: Uint8Array | readonly Uint8Array[], header?: Uint8Array): number[] {
    const { batch } = this.tables;
    const all = pieces instanceof Uint8Array ? [pieces] : pieces;
    const i = batch.count++;
    batch.first[i] = batch.pool.count;
    batch.segments[i] = all.length;
    batch.length[i] = all.reduce((sum, piece) => sum + piece.length, 0);
    const places = all.map((piece) => {
      const s = batch.pool.count++;
      const at = this.used;
      this.used += piece.length + 3;
      this.bytes.set(piece, at);
      batch.pool.window[s] = this.window;
      batch.pool.offset[s] = at;
      batch.pool.length[s] = piece.length;
      return at;
    });
    const view = new DataView(header === undefined ? new ArrayBuffer(12) : header.slice().buffer);
    expect(readNetHeader(view, 0, batch, i, OFFLOAD_ALL, false)).toBe(true);
    return places;
  }

  /** The memory that frames lie in until they are delivered. */
  get bytes(): Uint8Array {
    return this.windows.u8[this.window];
  }

  /** The next frame may lie where the first did. */
  rewind(): void {
    this.used = 0;
  }

  /** Forwards the burst as frames that came in on `port`. */
  run(port: number): void {
    const { batch } = this.tables;
    const counters = this.counters(port);
    counters[counter.RX_FRAMES] += batch.count;
    if (this.plan === null) forward(this.tables, this.fallback, batch, port, counters);
    else if (this.plan.bridge === null) forwardPlanned(this.tables, this.fallback, this.plan, batch, port, counters);
    else forwardBridged(this.tables, this.fallback, this.plan, this.plan.bridge, batch, port, counters);
    expect(this.tables.listCount.every((count) => count === 0)).toBe(true);
    batch.reset();
    this.rewind();
  }

  /** Sends frames, a burst at most, in at `port`; returns what each port got of them. */
  send(port: number, ...frames: Uint8Array[]): Uint8Array[][] {
    for (const lane of this.lanes) lane.given.length = 0;
    for (const bytes of frames) this.put(bytes);
    this.run(port);
    return this.lanes.map((lane) => lane.frames);
  }

  /** Sends what waits in queues, as far as tokens allow; returns what each port got. */
  drain(): Uint8Array[][] {
    for (const lane of this.lanes) lane.given.length = 0;
    if (this.tables.queues !== null) drainQueues(this.tables, this.fallback, this.tables.queues);
    return this.lanes.map((lane) => lane.frames);
  }

  /** As at the worker's end. */
  endQueues(): void {
    if (this.runner.queues !== undefined) closeQueues(this.tables, this.runner.queues);
  }

  counters(port: number): Float64Array {
    return this.shared.counters(0, port * MAX_PAIRS);
  }

  /** Drops at a port by name. */
  drops(port: number): Record<string, number> {
    const row = this.counters(port);
    return Object.fromEntries(
      counter.COUNTER_NAMES.flatMap((name, index) =>
        name === undefined || row[index] === 0 ? [] : [[name, row[index]]],
      ),
    );
  }

  private checkLaw(): void {
    const sum = (index: number) => this.lanes.reduce((total, _, port) => total + this.counters(port)[index], 0);
    let drops = 0;
    for (let index = counter.FIRST_DROP; index < counter.FIRST_FAULT; index++) drops += sum(index);
    expect(sum(counter.TX_FRAMES) + drops).toBe(sum(counter.RX_FRAMES) + sum(counter.COPIES));
  }

  close(): void {
    this.endQueues();
    try {
      this.checkLaw();
    } finally {
      for (const image of this.images) image.close();
      this.runner.close();
      this.fallback.close();
      this.memory.close();
      if (this.memoryOfAll === undefined) this.bridgeMemory.close();
      this.windows.remove(this.window);
      unmap(this.address, MEMORY_SIZE);
    }
  }
}

/** Returns a function that makes a rig; it is checked and closed with its test. */
export function usePlanRig(): (...ports: PortOptions[]) => PlanRig {
  const open: PlanRig[] = [];
  afterEach(() => {
    for (const rig of open.splice(0)) rig.close();
  });
  return (...ports) => {
    const rig = new PlanRig(ports);
    open.push(rig);
    return rig;
  };
}
