// Queues when policies change, and when a port or the worker ends. Worker threads, between two bursts. Cold.
//
//   a port keeps its queues    what waits goes on waiting, by the new rate and scheduler
//   it carries less            what waits is dropped: it may be what the port carries no more (queue-keep.ts)
//   it gets none any more      what waits leaves at once, before anything that comes later
//   its last lane closes       what waits is dropped as link_down, and so it is where the worker ends

import { DROP_LINK_DOWN } from "../../mem/counters.ts";
import type { Fallback } from "../fallback.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { drainPort, dropWaiting } from "./queue-drain.ts";
import { refusalOfWaiting } from "./queue-keep.ts";
import type { EgressQueues } from "./queues.ts";

/** `bridge` says from now on which ports have queues; null: none has. */
export function swapQueues(tables: Tables, fallback: Fallback, queues: EgressQueues, bridge: Bridge | null): void {
  const before = queues.bridge;
  const ending = queues.obey(bridge);
  for (const port of queues.ports) {
    const refusal = port.order.waiting === 0 ? 0 : refusalOfWaiting(before, bridge, port.port);
    if (refusal !== 0) dropWaiting(tables, queues, port, refusal);
  }
  for (const port of ending) {
    drainPort(tables, fallback, queues, port);
    queues.remove(port);
  }
  tables.queues = queues.ports.length === 0 ? null : queues;
}

/** A lane of the port closed. */
export function portLosesLane(tables: Tables, port: number): void {
  const waiting = tables.queues?.of[port] ?? null;
  if (tables.queues !== null && waiting !== null && tables.outCount[port] === 0) {
    dropWaiting(tables, tables.queues, waiting, DROP_LINK_DOWN);
  }
}

/** The worker ends. */
export function closeQueues(tables: Tables, queues: EgressQueues): void {
  tables.queues = null;
  for (const port of [...queues.ports]) {
    dropWaiting(tables, queues, port, DROP_LINK_DOWN);
    queues.remove(port);
  }
}
