// What would become of a frame, by running the workers' own code on it, in a switch that is a copy: the same plan over memory of its
// own, a copy of the fdb, ports that keep what they are given. Nothing is sent, learned or counted where it matters, and what comes out
// is what a worker does, because it is what a worker runs.
//
//   frame -> Batch of one -> forwardBridged over { copied fdb, copied port words, RecordingLane for each port that delivers }
//         -> frames out of ports | counters -> reason
//
// Buckets are full (meters and limits are taken to have tokens), and a port's queues let everything through. For `ringyard trace`; cold;
// control thread.

import { type Batch, BURST, OFFLOAD_ALL } from "../../mem/batch.ts";
import { COUNTER_NAMES, FIRST_DROP, FIRST_FAULT } from "../../mem/counters.ts";
import { WindowTable } from "../../mem/window.ts";
import type { Lane } from "../../ports/port.ts";
import { mapAnonymous, unmap } from "../../sys/memory.ts";
import type { Dispatcher } from "../dispatch.ts";
import { Fallback } from "../fallback.ts";
import { type Fdb, viewFdb } from "../fdb-layout.ts";
import { type PlanConfig, PlanRunner } from "../rules/plan.ts";
import { RuleMemory } from "../rules/rule-memory.ts";
import { MAX_PAIRS, MAX_PORTS, SharedState } from "../shared.ts";
import { Tables } from "../tables.ts";
import { BridgeMemory } from "./bridge-memory.ts";
import { forwardBridged } from "./forward-bridged.ts";
import type { Mirrors } from "./mirrors.ts";

/** The running switch that is copied. */
export interface DryRunParts {
  dispatcher: Pick<Dispatcher, "shared" | "delivers">;
  fdb: Fdb;
  bridgeMemory: BridgeMemory;
}

export interface DryRunResult {
  /** In the order of delivery. */
  sent: SentFrame[];
  /** Reasons as counters.ts names them, those counted where the frame came in before those of receivers. */
  dropped: string[];
}

export interface SentFrame {
  port: number;
  frame: Uint8Array;
  /** Made for a mirror, or by a rule's. */
  isCopy: boolean;
}

class RecordingLane implements Lane {
  readonly accepts = OFFLOAD_ALL;
  readonly delivers = true;
  readonly wakeFd = -1;
  readonly wakeEdge = false;

  constructor(
    private readonly port: number,
    private readonly windows: WindowTable,
    private readonly sent: SentFrame[],
    /** Whether copies for mirrors are under way. */
    private readonly isCopying: () => boolean,
  ) {}

  deliver(batch: Batch, list: Int32Array, count: number): number {
    for (const i of list.subarray(0, count)) {
      const { length, offset, window } = batch.pool;
      const pieces = Array.from({ length: batch.segments[i] }, (_, k) => {
        const s = batch.first[i] + k;
        return this.windows.u8[window[s]].slice(offset[s], offset[s] + length[s]);
      });
      // Of the second form of a frame, as it was received, there are copies only.
      const isCopy = i >= BURST || this.isCopying();
      this.sent.push({ port: this.port, frame: new Uint8Array(Buffer.concat(pieces)), isCopy });
    }
    return count;
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

/** Runs the plan of `image` and the bridge in it on a frame that comes in on `port`. */
export function dryRun(
  { dispatcher, fdb, bridgeMemory: running }: DryRunParts,
  image: PlanConfig["image"],
  port: number,
  frame: Uint8Array,
): DryRunResult {
  const windows = new WindowTable();
  const shared = SharedState.allocate(1);
  shared.control.set(dispatcher.shared.control);
  const tables = new Tables(windows, viewFdb(fdb.buffer.slice(0)), shared.control, shared, 0);
  const [memory, bridgeMemory] = [new RuleMemory(1), new BridgeMemory(1)];
  bridgeMemory.copyNeighbours(running);
  const runner = new PlanRunner(windows, tables.batch, 0);
  const fallback = new Fallback(windows);
  const address = mapAnonymous(frame.length);
  const window = windows.add(address, frame.length);
  const sent: SentFrame[] = [];
  let mirrors: Mirrors | null = null;
  const isCopying = () => mirrors?.copying === 1;
  try {
    for (let out = 0; out < MAX_PORTS; out++) {
      if (!dispatcher.delivers(out)) continue;
      tables.set(out * MAX_PAIRS, new RecordingLane(out, windows, sent, isCopying), true);
    }
    const plan = runner.open({
      image,
      memory: { address: memory.address, workers: 1 },
      bridgeMemory: { address: bridgeMemory.address, workers: 1 },
      isDry: true,
    });
    windows.u8[window].set(frame);
    putFrame(tables.batch, window, frame.length);
    if (plan.bridge !== null) {
      ({ mirrors } = plan.bridge);
      forwardBridged(tables, fallback, plan, plan.bridge, tables.batch, port, shared.counters(0, port * MAX_PAIRS));
    }
    return { sent, dropped: dropsOf(shared, port) };
  } finally {
    windows.remove(window);
    unmap(address, frame.length);
    fallback.close();
    runner.close();
    bridgeMemory.close();
    memory.close();
  }
}

/** One frame in one piece, without offloads. */
function putFrame(batch: Batch, window: number, length: number): void {
  batch.reset();
  batch.count = 1;
  batch.length[0] = length;
  batch.first[0] = 0;
  batch.segments[0] = 1;
  batch.needs[0] = 0;
  batch.gsoType[0] = 0;
  batch.pool.count = 1;
  batch.pool.window[0] = window;
  batch.pool.offset[0] = 0;
  batch.pool.length[0] = length;
}

function dropsOf(shared: SharedState, first: number): string[] {
  const reasons = new Set<string>();
  const others = Array.from({ length: MAX_PORTS }, (_, port) => port).filter((port) => port !== first);
  for (const port of [first, ...others]) {
    const counters = shared.counters(0, port * MAX_PAIRS);
    for (let counter = FIRST_DROP; counter < FIRST_FAULT; counter++) {
      const name = COUNTER_NAMES[counter];
      if (counters[counter] > 0 && name !== undefined) reasons.add(name);
    }
  }
  return [...reasons];
}
