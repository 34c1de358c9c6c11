// HOT
// One turn of a worker: a burst from every lane that owes nothing, and what waited for its turn at a port with a shape.
//
//   for each lane, another one first each time: fetch a burst -> forward (by the plan's rules, if there is one) -> release (of what no NIC still reads)
//
// Called by the worker's loop (worker.ts), and by benches that want a turn without its thread.

import {
  dropStages,
  enterStage,
  STAGE_CLASSIFY,
  STAGE_FETCH,
  STAGE_OVER,
  STAGE_PUBLISH,
  startStages,
  stopStages,
} from "../mem/stages.ts";
import { forwardBridged } from "./bridge/forward-bridged.ts";
import { drainQueues } from "./bridge/queue-drain.ts";
import type { Fallback } from "./fallback.ts";
import { forward } from "./forward.ts";
import { forwardPlanned } from "./rules/forward-planned.ts";
import { WORKER_FRAMES, WORKER_STAGE_NS, WORKER_TIMED_BREATHS, WORKER_TIMED_FRAMES } from "./shared.ts";
import type { Tables } from "./tables.ts";

/**
 * Of so many busy breaths, TIMED_RUN are timed. That takes 0.4 us each, the least breath that moves a frame 0.2 us: so it costs
 * 0.7 % at most, a tenth of that at full load. A prime, so that no rhythm of the traffic hides a part of it.
 */
export const TIMED_EVERY = 641;
/** In a row, and the first of them is not counted: it finds the clock's code and its own out of the processor's caches. */
export const TIMED_RUN = 2;

/** Bytes through the fallback: they take some 8 us, which a burst of 64 short frames takes as well. */
const PAID_PER_BREATH = 4096;

/** Busy breaths so far, modulo TIMED_EVERY. */
let turn = 0;

/** Returns how many frames moved. Now and then the breath is timed by stage into the worker's `numbers`. */
export function breathe(tables: Tables, fallback: Fallback, numbers: Float64Array): number {
  const timed = turn < TIMED_RUN;
  const moved = breatheOnce(tables, fallback, numbers, timed, turn > 0);
  if (moved > 0 && ++turn === TIMED_EVERY) turn = 0;
  return moved;
}

/**
 * One function for both, timed or not: what runs seldom is compiled late, and would be timed as that. A timed breath is added to `numbers`
 * where it `counts` and anything moved: polling is no frame's cost.
 */
export function breatheOnce(
  tables: Tables,
  fallback: Fallback,
  numbers: Float64Array,
  timed: boolean,
  counts: boolean,
): number {
  if (timed) startStages();
  const fetched = serveLanes(tables, fallback);
  const moved = fetched + finishBreath(tables, fallback);
  numbers[WORKER_FRAMES] += fetched;
  if (!timed) return moved;
  if (moved === 0 || !counts) {
    dropStages();
  } else if (stopStages(numbers, WORKER_STAGE_NS)) {
    numbers[WORKER_TIMED_BREATHS]++;
    numbers[WORKER_TIMED_FRAMES] += fetched;
  }
  return moved;
}

/**
 * Returns how many frames came. Each lane is first as often as any other, and before its neighbours as often as behind them: from a first
 * one up, then from that one down, then from the next. One whose burst was converted for its receivers, which takes up to
 * a thousand times as long as others (a super-frame that floods to ports without TSO), then waits until the others have had about as much
 * time, or nobody else has anything.
 */
function serveLanes(tables: Tables, fallback: Fallback): number {
  const { batch, inDebts, inLanes: lanes } = tables;
  let fetched = 0;
  let owing = false;
  // Only what lanes bring is charged; frames in queues were, when they came.
  fallback.bytes = 0;
  const count = lanes.length;
  if (count === 0) return 0;
  tables.breaths = (tables.breaths + 1) & 0xffffff;
  const step = (tables.breaths & 1) === 0 ? 1 : count - 1;
  let k = (tables.breaths >> 1) % count;
  for (let n = 0; n < count; n++) {
    const own = k;
    const lane = lanes[own];
    k += step;
    if (k >= count) k -= count;
    enterStage(STAGE_FETCH);
    batch.reset();
    if (inDebts[own] > 0) {
      inDebts[own] -= PAID_PER_BREATH;
      owing = true;
      lane.release(batch);
      continue;
    }
    const taken = lane.fetch(batch);
    if (taken > 0) {
      enterStage(STAGE_CLASSIFY);
      const plan = tables.plan;
      if (plan === null) forward(tables, fallback, batch, tables.inPorts[own], tables.inCounters[own]);
      else if (plan.bridge === null)
        forwardPlanned(tables, fallback, plan, batch, tables.inPorts[own], tables.inCounters[own]);
      else forwardBridged(tables, fallback, plan, plan.bridge, batch, tables.inPorts[own], tables.inCounters[own]);
      fetched += taken;
      if (fallback.bytes > 0) charge(tables, fallback, own);
      enterStage(STAGE_PUBLISH);
    }
    lane.release(batch);
  }
  if (owing && fetched === 0) inDebts.fill(0);
  return fetched;
}

/** Lane `k` owes for what its burst took through the fallback. */
function charge(tables: Tables, fallback: Fallback, k: number): void {
  tables.inDebts[k] = fallback.bytes;
  fallback.bytes = 0;
}

/** Sends what waited, and gives back what NICs have sent meanwhile of lanes that are not fetched from. Returns how many frames left. */
function finishBreath(tables: Tables, fallback: Fallback): number {
  let sent = 0;
  if (tables.queues !== null) {
    enterStage(STAGE_CLASSIFY);
    sent = drainQueues(tables, fallback, tables.queues);
  }
  const lanes = tables.idleLanes;
  if (lanes.length > 0) {
    enterStage(STAGE_PUBLISH);
    tables.batch.reset();
    for (let k = 0; k < lanes.length; k++) lanes[k].release(tables.batch);
  }
  enterStage(STAGE_OVER);
  return sent;
}
