// HOT
// Into the queues of a port (queues.ts) and out of them: frames are copied in by the burst that brings them, and leave between two
// breaths, as far as tokens allow, in bursts like any other.
//
//   egress.ts -> queueFrames -> [ eight queues ] -> drainQueues, once a breath -> deliverTo
//
// Frames that wait are neither sent nor dropped, so the law of the switch holds when they are gone. Those of a port that goes down
// are dropped as link_down, those that find no room as queue_full, both at the port, and there, too, what it may not send any more
// (queue-swap.ts). A frame is one burst of tokens whatever it
// becomes: a super-frame's segments cost what it costs. What has to be converted when it leaves is charged (breathe.ts) to the lane that brings
// it: by then nobody knows whose it was.

import { type Batch, BURST, MAX_SEGMENTS, OFFLOAD_ALL } from "../../mem/batch.ts";
import { DROP_LINK_DOWN, DROP_MALFORMED, DROP_QUEUE_FULL } from "../../mem/counters.ts";
import { enterStage, STAGE_CLASSIFY, STAGE_COPY } from "../../mem/stages.ts";
import type { Fallback } from "../fallback.ts";
import { deliverTo } from "../forward.ts";
import { beginTurn, msOfBurst, msToTokens } from "../rules/meter.ts";
import { ROW_BYTES, ROW_DROPPED, ROW_FRAMES, ROW_LENGTH } from "../rules/plan-layout.ts";
import { MAX_PAIRS, PORT_UP, SharedState } from "../shared.ts";
import type { Tables } from "../tables.ts";
import { ROW_WAITING } from "./bridge-memory.ts";
import { type Priorities, priorityOf } from "./priority.ts";
import { hasRoom, nextQueue, pushFrame, shiftFrame } from "./queue-order.ts";
import { leaveRank, leaveShares, takeShare } from "./queue-shares.ts";
import { batchFrame, blocksFor, freeFrame, storedLength, storeFrame } from "./queue-store.ts";
import type { EgressQueues, PortQueues } from "./queues.ts";

/** A port may go down while a worker sleeps; and others may have taken the tokens that it waits for. */
const SLEEP_MOST_MS = 100;
/** epoll waits in whole milliseconds: a bucket that holds this much loses nothing by them. */
const SLEEP_BURST_MS = 2;

/** Puts frames `list[0..count)` into the queues of a port, each by its priority. */
export function queueFrames(
  tables: Tables,
  fallback: Fallback,
  queues: EgressQueues,
  port: PortQueues,
  priorities: Priorities,
  batch: Batch,
  list: Int32Array,
  count: number,
): void {
  const { order, store } = port;
  const { counters } = queues.meters;
  const lane = tables.outCounters[port.port] as Float64Array;
  const row = port.row * ROW_LENGTH;
  const refused = ~(tables.outLanes[port.port * MAX_PAIRS]?.accepts ?? OFFLOAD_ALL);
  if (tables.control[SharedState.portWord(port.port, PORT_UP)] === 0) {
    lane[DROP_LINK_DOWN] += count;
    return;
  }
  enterStage(STAGE_COPY);
  for (let k = 0; k < count; k++) {
    const i = list[k];
    const q = priorityOf(priorities, i);
    const needed = blocksFor(batch.length[i]);
    if (!hasRoom(order, q, needed)) {
      // A burst of tokens may be more than fits into the queues at once.
      if (port.starved === 0) drainPort(tables, fallback, queues, port);
      if (!hasRoom(order, q, needed)) {
        lane[DROP_QUEUE_FULL]++;
        counters[row + ROW_DROPPED]++;
        continue;
      }
    }
    const frame = storeFrame(store, batch, i);
    if (frame < 0) {
      lane[DROP_MALFORMED]++;
      continue;
    }
    pushFrame(order, q, frame, needed);
    if ((batch.needs[i] & refused) !== 0) fallback.bytes += batch.length[i];
  }
  counters[row + ROW_WAITING] = order.waiting;
  enterStage(STAGE_CLASSIFY);
}

/** Sends what tokens allow, of all ports. Returns how many frames left. */
export function drainQueues(tables: Tables, fallback: Fallback, queues: EgressQueues): number {
  const { ports } = queues;
  beginTurn(queues.meters);
  let sent = 0;
  for (let k = 0; k < ports.length; k++) {
    ports[k].starved = 0;
    if (ports[k].order.waiting > 0) sent += drainPort(tables, fallback, queues, ports[k]);
  }
  return sent;
}

/** Sends what tokens allow, or drops everything where the port is down. Returns how many frames left. */
export function drainPort(tables: Tables, fallback: Fallback, queues: EgressQueues, port: PortQueues): number {
  const { batch, leaving, meters, shares } = queues;
  const { meter, order, store } = port;
  const row = port.row * ROW_LENGTH;
  const before = order.waiting;
  if (tables.outCount[port.port] === 0 || tables.control[SharedState.portWord(port.port, PORT_UP)] === 0) {
    dropWaiting(tables, queues, port, DROP_LINK_DOWN);
    return before;
  }
  // In the middle of a burst: others are still to be delivered by its figure.
  const { longest } = tables;
  const { bytes } = fallback;
  tables.longest = 0;
  if (before > 0) port.shares = true;
  while (order.waiting > 0) {
    const q = nextQueue(order, store);
    const length = storedLength(store, order.first[q]);
    const rank = order.isStrict === 0 ? 0 : q;
    if (meter >= 0 && !takeShare(shares, port.port, meters, meter, length, rank)) {
      port.starved = length;
      break;
    }
    const blocks = blocksFor(length);
    if (batch.count === BURST || batch.pool.count + blocks > MAX_SEGMENTS) sendBatch(tables, fallback, queues, port);
    const frame = shiftFrame(order, q, length, blocks);
    if (meter >= 0 && order.isStrict !== 0 && order.first[q] < 0) leaveRank(shares, port.port, rank);
    leaving[batch.count] = frame;
    batchFrame(store, frame, batch);
    tables.longest = Math.max(tables.longest, length);
    meters.counters[row + ROW_FRAMES]++;
    meters.counters[row + ROW_BYTES] += length;
  }
  if (batch.count > 0) sendBatch(tables, fallback, queues, port);
  tables.longest = longest;
  fallback.bytes = bytes;
  meters.counters[row + ROW_WAITING] = order.waiting;
  if (order.waiting === 0) endShare(queues, port);
  return before - order.waiting;
}

function sendBatch(tables: Tables, fallback: Fallback, queues: EgressQueues, port: PortQueues): void {
  const { batch, leaving } = queues;
  const { count } = batch;
  deliverTo(tables, fallback, batch, port.port, tables.everyFrame, count);
  for (let k = 0; k < count; k++) freeFrame(port.store, leaving[k]);
  batch.reset();
  tables.longest = 0;
}

/** What waits for the port is dropped there, under a DROP_* counter. */
export function dropWaiting(tables: Tables, queues: EgressQueues, port: PortQueues, counter: number): void {
  const { order, store } = port;
  const lane = tables.outCounters[port.port] as Float64Array;
  while (order.waiting > 0) {
    const q = nextQueue(order, store);
    const length = storedLength(store, order.first[q]);
    freeFrame(store, shiftFrame(order, q, length, blocksFor(length)));
    lane[counter]++;
  }
  endShare(queues, port);
  queues.meters.counters[port.row * ROW_LENGTH + ROW_WAITING] = 0;
}

function endShare({ shares }: EgressQueues, port: PortQueues): void {
  if (!port.shares) return;
  port.shares = false;
  leaveShares(shares, port.port);
}

/**
 * How long the worker may sleep, in whole milliseconds: until there are tokens for a frame that waits, -1 where none does. 0: not at
 * all, since tokens come sooner and there is no room to save them up.
 */
export function sleepMs({ meters, ports }: EgressQueues): number {
  let least = -1;
  for (let k = 0; k < ports.length; k++) {
    const { meter, order, starved } = ports[k];
    if (order.waiting === 0) continue;
    let ms = 0;
    if (starved > 0) {
      ms = Math.floor(Math.min(SLEEP_MOST_MS, msToTokens(meters, meter, starved)));
      if (ms === 0 && msOfBurst(meters, meter) >= SLEEP_BURST_MS) ms = 1;
    }
    if (least < 0 || ms < least) least = ms;
  }
  return least;
}
