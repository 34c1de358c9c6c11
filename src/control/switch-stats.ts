// Counters as people read them: rows of the workers' Float64Arrays into named numbers, per queue, port and switch.

import type { Dispatcher } from "../dataplane/dispatch.ts";
import {
  MAX_PAIRS,
  WORKER_BREATHS,
  WORKER_BUSY_BREATHS,
  WORKER_FRAMES,
  WORKER_SLEEPS,
  WORKER_STAGE_NS,
  WORKER_TIMED_BREATHS,
  WORKER_TIMED_FRAMES,
} from "../dataplane/shared.ts";
import * as counter from "../mem/counters.ts";
import { STAGE_CLASSIFY, STAGE_COPY, STAGE_FETCH, STAGE_PUBLISH } from "../mem/stages.ts";
import type { Counters, PollMode, SwitchStats, TimedBreaths, WorkerInfo } from "./api.ts";

/** Totals of the law rxFrames + copies = txFrames + dropped. */
export interface LaneTotals {
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  copies: number;
  dropped: number;
}

export function emptyTotals(): LaneTotals {
  return { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, copies: 0, dropped: 0 };
}

/** One lane's row by name; reasons that never happened are absent. */
export function readCounters(row: Float64Array): Counters {
  const drops: Record<string, number> = {};
  counter.COUNTER_NAMES.forEach((name, index) => {
    if (name !== undefined && row[index] > 0) drops[name] = row[index];
  });
  return {
    rxFrames: row[counter.RX_FRAMES],
    rxBytes: row[counter.RX_BYTES],
    txFrames: row[counter.TX_FRAMES],
    txBytes: row[counter.TX_BYTES],
    ...(row[counter.TX_ZERO_COPY] > 0 ? { txZeroCopy: row[counter.TX_ZERO_COPY] } : {}),
    ...(row[counter.TX_COPIED] > 0 ? { txCopied: row[counter.TX_COPIED] } : {}),
    ...(row[counter.COPIES] > 0 ? { copies: row[counter.COPIES] } : {}),
    drops,
  };
}

export function sumCounters(rows: readonly Float64Array[]): Counters {
  const sum = new Float64Array(counter.COUNTER_COUNT);
  for (const row of rows) {
    for (let index = 0; index < sum.length; index++) sum[index] += row[index];
  }
  return readCounters(sum);
}

/** Adds a port's counters to `totals`. */
export function addCounters(totals: LaneTotals, dispatcher: Dispatcher, port: number): void {
  for (let pair = 0; pair < MAX_PAIRS; pair++) {
    const row = dispatcher.counters(port, pair);
    totals.rxFrames += row[counter.RX_FRAMES];
    totals.rxBytes += row[counter.RX_BYTES];
    totals.txFrames += row[counter.TX_FRAMES];
    totals.txBytes += row[counter.TX_BYTES];
    totals.copies += row[counter.COPIES];
    for (let index = counter.FIRST_DROP; index < counter.FIRST_FAULT; index++) totals.dropped += row[index];
  }
}

interface CountedPort {
  readonly index: number;
  readonly spec: { name: string };
  allCounters(): Float64Array[];
}

export function switchStats(
  dispatcher: Dispatcher,
  settings: { poll: PollMode; cpus: readonly number[] },
  uptimeS: number,
  ports: readonly CountedPort[],
  retired: LaneTotals,
): SwitchStats {
  const totals = { ...retired };
  for (const port of ports) addCounters(totals, dispatcher, port.index);
  return {
    uptimeS,
    poll: settings.poll,
    totals,
    ports: ports.map((port) => ({ name: port.spec.name, ...sumCounters(port.allCounters()) })),
    workers: Array.from({ length: dispatcher.workers }, (_, worker) => workerInfo(dispatcher, worker, settings.cpus)),
  };
}

function workerInfo(dispatcher: Dispatcher, worker: number, cpus: readonly number[]): WorkerInfo {
  const numbers = dispatcher.shared.worker(worker);
  return {
    worker,
    cpu: cpus[worker] ?? -1,
    lanes: dispatcher.lanesOf(worker),
    breaths: numbers[WORKER_BREATHS],
    sleeps: numbers[WORKER_SLEEPS],
    busyBreaths: numbers[WORKER_BUSY_BREATHS],
    frames: numbers[WORKER_FRAMES],
    timed: timedBreaths(numbers),
  };
}

/** From a worker's numbers. */
export function timedBreaths(numbers: Float64Array): TimedBreaths {
  const ns = (stage: number) => Math.round(numbers[WORKER_STAGE_NS + stage]);
  return {
    breaths: numbers[WORKER_TIMED_BREATHS],
    frames: numbers[WORKER_TIMED_FRAMES],
    fetchNs: ns(STAGE_FETCH),
    classifyNs: ns(STAGE_CLASSIFY),
    copyNs: ns(STAGE_COPY),
    publishNs: ns(STAGE_PUBLISH),
  };
}
