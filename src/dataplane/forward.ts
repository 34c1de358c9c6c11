// HOT
// From verdicts to deliveries: sorts a classified burst by output port, then hands each port its list, in frame order.
//
//   verdicts  [2 2 2 2]      one port takes all: no sorting
//             [2 f 3 x 2]    lists: port 2 {0,1,4}  port 3 {1,2}  (f floods to every port but its own)  x counted
//
// Each frame that a port refuses is counted at that port, each that the switch drops at the port it came from, so that
// rx + copies = tx + drops. One call per burst; the batch is released by the caller. Where there are rules,
// rules/forward-planned.ts takes this file's `forward`'s place and uses the rest of it; where there are policies of ports,
// bridge/forward-bridged.ts does.

import type { Batch } from "../mem/batch.ts";
import { COPIES, DROP_LINK_DOWN, DROP_NO_DESTINATION, DROP_OVERSIZED } from "../mem/counters.ts";
import { enterStage, STAGE_CLASSIFY, STAGE_COPY } from "../mem/stages.ts";
import type { Lane } from "../ports/port.ts";
import { VIRTIO_NET_HDR_GSO_UDP_L4 } from "../uapi/virtio_net.ts";
import { classify } from "./classify.ts";
import { deliverWithFallback, dropConverted, type Fallback, keepConverted } from "./fallback.ts";
import { flowLane } from "./flow-hash.ts";
import { MAX_PAIRS, PORT_MAX_FRAME, PORT_UP, SharedState } from "./shared.ts";
import type { Tables } from "./tables.ts";
import { dropCounter, VERDICT_FLOOD } from "./verdict.ts";

const TCP_MIN_SIZE = 20;
const UDP_SIZE = 8;

/** Forwards the frames of `batch`, which came in on `port`; `counters` are the in-lane's. */
export function forward(tables: Tables, fallback: Fallback, batch: Batch, port: number, counters: Float64Array): void {
  if (tables.control[SharedState.portWord(port, PORT_UP)] === 0) {
    counters[DROP_LINK_DOWN] += batch.count;
    return;
  }
  classify(tables, batch, port);
  if (tables.uniform && tables.outCount[batch.verdict[0]] > 0) {
    deliverTo(tables, fallback, batch, batch.verdict[0], tables.everyFrame, batch.count);
    return;
  }
  const verdicts = batch.verdict;
  const lists = tables.lists;
  const listCount = tables.listCount;
  for (let i = 0; i < batch.count; i++) {
    const verdict = verdicts[i];
    if (verdict >= 0) {
      if (tables.outCount[verdict] > 0) lists[verdict][listCount[verdict]++] = i;
      else (tables.outCounters[verdict] ?? counters)[DROP_LINK_DOWN]++;
    } else if (verdict === VERDICT_FLOOD) flood(tables, i, port, counters);
    else counters[dropCounter(verdict)]++;
  }
  keepConverted(fallback);
  for (let k = 0; k < tables.floodCount; k++) {
    const out = tables.floodPorts[k];
    const count = listCount[out];
    if (count === 0) continue;
    listCount[out] = 0;
    deliverTo(tables, fallback, batch, out, lists[out], count);
  }
  dropConverted(fallback);
}

/** Appends frame `i` to the list of every other port that is up. */
export function flood(tables: Tables, i: number, port: number, counters: Float64Array): void {
  const lists = tables.lists;
  const listCount = tables.listCount;
  let copies = -1;
  for (let k = 0; k < tables.floodCount; k++) {
    const out = tables.floodPorts[k];
    if (out === port || tables.control[SharedState.portWord(out, PORT_UP)] === 0) continue;
    lists[out][listCount[out]++] = i;
    copies++;
  }
  if (copies < 0) counters[DROP_NO_DESTINATION]++;
  else counters[COPIES] += copies;
}

/** Delivers frames `list[0..count)`, a burst at most, to a port that has lanes, through one of them or several. */
export function deliverTo(
  tables: Tables,
  fallback: Fallback,
  batch: Batch,
  port: number,
  list: Int32Array,
  count: number,
): void {
  const counters = tables.outCounters[port] as Float64Array;
  if (tables.control[SharedState.portWord(port, PORT_UP)] === 0) {
    counters[DROP_LINK_DOWN] += count;
    return;
  }
  const maxFrame = tables.control[SharedState.portWord(port, PORT_MAX_FRAME)];
  if (tables.longest > maxFrame) {
    const kept = dropOversized(tables, batch, list, count, maxFrame);
    counters[DROP_OVERSIZED] += count - kept;
    list = tables.kept;
    count = kept;
  }
  if (count === 0) return;
  const lanes = tables.outCount[port];
  enterStage(STAGE_COPY);
  if (lanes === 1) deliverToLane(tables, fallback, batch, port * MAX_PAIRS, list, count, maxFrame, counters);
  else deliverSteered(tables, fallback, batch, port, list, count, maxFrame, counters);
  enterStage(STAGE_CLASSIFY);
}

/** Copies to tables.kept the frames within `maxFrame`; of a super-frame, its segments have to be. Returns how many. */
function dropOversized(tables: Tables, batch: Batch, list: Int32Array, count: number, maxFrame: number): number {
  const kept = tables.kept;
  let n = 0;
  for (let k = 0; k < count; k++) {
    const i = list[k];
    if (batch.length[i] <= maxFrame || (batch.gsoType[i] !== 0 && leastSegment(batch, i) <= maxFrame)) kept[n++] = i;
  }
  return n;
}

/** Length of a super-frame's segments without TCP options, which a sender's MSS makes room for anyway. */
function leastSegment(batch: Batch, i: number): number {
  const header = batch.gsoType[i] === VIRTIO_NET_HDR_GSO_UDP_L4 ? UDP_SIZE : TCP_MIN_SIZE;
  return batch.csumStart[i] + header + batch.gsoSize[i];
}

/** Splits a list by flow over the lanes of a multi-queue port. */
function deliverSteered(
  tables: Tables,
  fallback: Fallback,
  batch: Batch,
  port: number,
  list: Int32Array,
  count: number,
  maxFrame: number,
  counters: Float64Array,
): void {
  const lanes = tables.outCount[port];
  const steered = tables.steered;
  const steeredCount = tables.steeredCount;
  for (let k = 0; k < count; k++) {
    const i = list[k];
    const lane = flowLane(tables.windows, batch, i, lanes);
    steered[lane][steeredCount[lane]++] = i;
  }
  for (let lane = 0; lane < lanes; lane++) {
    const n = steeredCount[lane];
    steeredCount[lane] = 0;
    if (n > 0) deliverToLane(tables, fallback, batch, port * MAX_PAIRS + lane, steered[lane], n, maxFrame, counters);
  }
}

function deliverToLane(
  tables: Tables,
  fallback: Fallback,
  batch: Batch,
  out: number,
  list: Int32Array,
  count: number,
  maxFrame: number,
  counters: Float64Array,
): void {
  const lane = tables.outLanes[out] as Lane;
  if (batch.anyNeeds !== 0 && (batch.anyNeeds & ~lane.accepts) !== 0) {
    deliverWithFallback(fallback, lane, batch, list, count, maxFrame, counters);
  } else {
    lane.deliver(batch, list, count);
  }
}
