// Queues when policies change, and when a port or the worker ends. Worker threads, between two bursts. Cold.
//
//   a port keeps its queues    what waits goes on waiting, by the new rate and scheduler
//   it gets none any more      what waits leaves at once, before anything that comes later
//   its last lane closes       what waits is dropped as link_down, and so it is where the worker ends

import type { Fallback } from "../fallback.ts";
import type { Tables } from "../tables.ts";
import type { Bridge } from "./bridge.ts";
import { drainPort, dropWaiting } from "./queue-drain.ts";
import type { EgressQueues } from "./queues.ts";

/** `bridge` says from now on which ports have queues; null: none has. */
export function swapQueues(tables: Tables, fallback: Fallback, queues: EgressQueues, bridge: Bridge | null): void {
  for (const port of queues.obey(bridge)) {
    drainPort(tables, fallback, queues, port);
    queues.remove(port);
  }
  tables.queues = queues.ports.length === 0 ? null : queues;
}

/** A lane of the port closed. */
export function portLosesLane(tables: Tables, port: number): void {
  const waiting = tables.queues?.of[port] ?? null;
  if (tables.queues !== null && waiting !== null && tables.outCount[port] === 0) {
    dropWaiting(tables, tables.queues, waiting);
  }
}

/** The worker ends. */
export function closeQueues(tables: Tables, queues: EgressQueues): void {
  tables.queues = null;
  for (const port of [...queues.ports]) {
    dropWaiting(tables, queues, port);
    queues.remove(port);
  }
}
