// The rules, and policies of ports, in force at one worker: the views that its hot code uses, made between two bursts from plain numbers.
//
//   control thread: table.ts builds an image, maps it, sends a PlanConfig --mailbox--> PlanRunner.set() -> tables.plan
//
//   image    one mapping for all workers, read only by them, unmapped when every worker has the next one
//            | matches (compile.ts) | ranks, actions (plan-layout.ts) | meters (meter.ts) | source of the functions | policies, as JSON |
//   memory   one mapping for as long as the switch runs (rule-memory.ts): buckets, and for each worker counters and a ring
//
// A worker runs one plan from one burst's begin to its end, so no frame meets a mix of two. Cold; worker threads.

import type { Batch } from "../../mem/batch.ts";
import type { WindowTable } from "../../mem/window.ts";
import { viewOf } from "../../sys/memory.ts";
import { Bridge, type BridgeMemoryConfig } from "../bridge/bridge.ts";
import type { BridgePolicy } from "../bridge/policy.ts";
import { EgressQueues, isQueued } from "../bridge/queues.ts";
import { MAX_PORTS } from "../shared.ts";
import { EventRing } from "./event-ring.ts";
import { FlowRuns } from "./flow-runs.ts";
import { HeaderArena } from "./header-arena.ts";
import { Meters } from "./meter.ts";
import { RuleProgram } from "./program.ts";
import { memoryLayout } from "./rule-memory.ts";

/** A piece of a mapping: bytes from its start, and how many. */
export interface Piece {
  at: number;
  size: number;
}

/** Plain data: it crosses the mailbox. */
export interface PlanConfig {
  image: {
    address: number;
    size: number;
    matches: Piece;
    ranks: Piece;
    actions: Piece;
    meters: Piece;
    source: Piece;
    /** A BridgePolicy; empty where there is none. */
    policy: Piece;
  };
  memory: { address: number; workers: number };
  /** Absent where there is no policy. */
  bridgeMemory?: BridgeMemoryConfig;
  /** For bridge/dry-run.ts: nothing waits in queues, and captures see nothing. */
  isDry?: boolean;
}

export const MIRRORED_ALL = -1;

const NO_COUNTERS = new Float64Array(0);
const NO_ANSWER = new Int32Array(1);

/** What hot code runs; replaced whole. */
export class Plan {
  // Within a burst: the port it came in on, the clock, and the counters of its lane.
  port = 0;
  nowS = 0;
  laneCounters: Float64Array = NO_COUNTERS;
  // Within a burst: addresses that were learned and looked up last, and what was found. Zero is no source, -1 the end of none.
  sourceLo = 0;
  sourceHi = 0;
  lo = 0;
  hi = -1;
  toward = 0;
  // Within a burst, of the flow met last: its answer (count, ranks) and where that is, what those rules do, the classes of its key
  // and its type.
  answers: Int32Array = NO_ANSWER;
  answer = 0;
  kinds = 0;
  classes = 0;
  type = 0;
  /** For bridge/forward-bridged.ts. */
  readonly runs = new FlowRuns();
  /** Which frame of the burst each port got a mirrored copy of last: 1 + its index; MIRRORED_ALL: it got one of every frame. */
  readonly mirrored: Int32Array;
  anyMirrored = 0;

  constructor(
    readonly program: RuleProgram,
    readonly arena: HeaderArena,
    readonly ranks: Int32Array,
    readonly actions: Int32Array,
    /** This worker's counters of rules. */
    readonly counters: Float64Array,
    readonly meters: Meters,
    readonly ring: EventRing,
    /** Policies of ports, or null: rules alone. */
    readonly bridge: Bridge | null,
  ) {
    this.mirrored = new Int32Array(MAX_PORTS);
  }
}

function readPolicy(text: string, isDry: boolean): BridgePolicy {
  const policy = JSON.parse(text) as BridgePolicy;
  return isDry ? { ...policy, captures: [] } : policy;
}

type WorkerMemory = ReturnType<typeof openMemory>;

function openMemory({ address, workers }: PlanConfig["memory"], worker: number) {
  const { size, buckets, rules, meters, ring } = memoryLayout(workers, worker);
  const buffer = viewOf(address, 0, size);
  const doubles = (piece: Piece) => new Float64Array(buffer, piece.at, piece.size >> 3);
  return {
    rules: doubles(rules),
    meters: doubles(meters),
    buckets: new Int32Array(buffer, buckets.at, buckets.size >> 2),
    bucketTimes: doubles(buckets),
    ring: new EventRing(buffer, ring.at, ring.size),
  };
}

/** What a worker keeps from plan to plan. Made with its first. */
export class PlanRunner {
  private readonly arena: HeaderArena;
  private program: RuleProgram | undefined;
  private memory: WorkerMemory | undefined;
  /** Made with the first port whose frames wait before they leave. */
  queues: EgressQueues | undefined;

  constructor(
    private readonly windows: WindowTable,
    /** Where the worker fetches into. */
    batch: Batch,
    private readonly worker: number,
  ) {
    this.arena = new HeaderArena(windows, batch);
  }

  /** Throws what is wrong with the plan; then the one before is still whole. */
  open({ image, memory, bridgeMemory, isDry = false }: PlanConfig): Plan {
    const bytes = viewOf(image.address, 0, image.size);
    const words = ({ at, size }: Piece) => new Int32Array(bytes, at, size >> 2);
    const text = ({ at, size }: Piece) => new TextDecoder().decode(new Uint8Array(bytes, at, size));
    const source = text(image.source);
    this.memory ??= openMemory(memory, this.worker);
    const { rules, buckets, bucketTimes, meters, ring } = this.memory;
    const specs = new Float64Array(bytes, image.meters.at, image.meters.size >> 3);
    const matches = words(image.matches);
    const bridge =
      bridgeMemory === undefined ? null : new Bridge(readPolicy(text(image.policy), isDry), bridgeMemory, this.worker);
    if (!isDry && bridge?.policy.ports.some(isQueued)) {
      this.queues ??= new EgressQueues(this.windows);
      this.queues.prepare(bridge.policy);
      bridge.queues = this.queues;
    }
    const isFirst = this.program === undefined;
    this.program ??= new RuleProgram(matches, source);
    const plan = new Plan(
      this.program,
      this.arena,
      words(image.ranks),
      words(image.actions),
      rules,
      new Meters(specs, buckets, bucketTimes, meters),
      ring,
      bridge,
    );
    // Last, since the plan before runs on this program, too.
    if (!isFirst) this.program.swap(matches, source);
    return plan;
  }

  /** The worker ends. */
  close(): void {
    this.arena.close();
  }
}
