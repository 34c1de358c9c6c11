// The ports of one worker whose frames wait in queues before they leave: those with a shape, or whose queues take turns. Each has
// memory of its own (queue-store.ts) and an order (queue-order.ts); they outlive plans, so that a change of rate or scheduler holds
// for what waits already.
//
//   egress.ts --frames of a shaped port--> PortQueues --when there are tokens (queue-drain.ts)--> deliverTo
//
// What may wait is what the rate sends in about QUEUE_MS, doubled, since one queue alone gets half (queue-order.ts): longer queues
// would only make frames old. But LIMIT_LEAST for slow ports, where a super-frame takes 33 blocks, and LIMIT_MOST, 4 MiB, for fast
// ones. Workers share a port's tokens (queue-shares.ts) and not its queues. Worker threads: cold, but for the fields.

import { Batch, BURST } from "../../mem/batch.ts";
import type { WindowTable } from "../../mem/window.ts";
import { Meters } from "../rules/meter.ts";
import { MAX_PORTS } from "../shared.ts";
import type { Bridge } from "./bridge.ts";
import { BUCKET_SHAPE, bucketOf } from "./bridge-memory.ts";
import type { BridgePolicy, PortPolicy, Rate } from "./policy.ts";
import { QueueOrder, RESERVE_BLOCKS } from "./queue-order.ts";
import { Shares } from "./queue-shares.ts";
import { BLOCK_SIZE, QueueStore } from "./queue-store.ts";

const QUEUE_S = 0.1;
const LIMIT_LEAST = 128;
const LIMIT_MOST = 2048;
const STORE_BLOCKS = LIMIT_MOST + RESERVE_BLOCKS;
const BITS_PER_BYTE = 8;

/** Whether frames wait in queues before they leave by a port. */
export function isQueued({ shape, scheduler }: PortPolicy): boolean {
  return shape !== undefined || scheduler !== "strict";
}

function limitFor(shape: Rate | undefined): number {
  if (shape === undefined) return LIMIT_MOST;
  const perS = shape.unit === "bits" ? shape.rate / BITS_PER_BYTE / BLOCK_SIZE : shape.rate;
  return Math.min(LIMIT_MOST, Math.max(LIMIT_LEAST, Math.ceil(2 * perS * QUEUE_S)));
}

export class PortQueues {
  readonly store: QueueStore;
  readonly order = new QueueOrder(STORE_BLOCKS);
  /** Of Buckets.meters, or -1: frames leave as soon as the worker comes to it. */
  meter = -1;
  /** Row of this worker's counters. */
  readonly row: number;
  /** Length of the frame that found no tokens in this breath; 0: none did. */
  starved = 0;
  /** Whether this worker has a share of the port's tokens now (queue-shares.ts): frames wait here. */
  shares = false;

  constructor(
    windows: WindowTable,
    readonly port: number,
  ) {
    this.store = new QueueStore(windows, STORE_BLOCKS);
    this.row = bucketOf(port, BUCKET_SHAPE);
  }
}

export class EgressQueues {
  /** By port; null: frames leave at once. */
  readonly of: (PortQueues | null)[] = new Array(MAX_PORTS).fill(null);
  readonly ports: PortQueues[] = [];
  /** What leaves together, and which frames of the store those are. */
  readonly batch = new Batch();
  readonly leaving = new Int32Array(BURST);
  /** Of the plan that runs, with the counters of this worker. */
  meters = new Meters(new Float64Array(0), new Int32Array(0), new Float64Array(0), new Float64Array(0));
  shares = new Shares(new Int32Array(0), 0, 0);
  /** What they obey; null: no port has a policy. */
  bridge: Bridge | null = null;

  constructor(private readonly windows: WindowTable) {}

  /** Memory for ports that a policy gives queues. Throws where there is none; what runs stays as it is. */
  prepare({ ports }: BridgePolicy): void {
    for (const policy of ports) {
      if (isQueued(policy) && this.of[policy.port] === null) this.add(new PortQueues(this.windows, policy.port));
    }
  }

  private add(queues: PortQueues): void {
    this.of[queues.port] = queues;
    this.ports.push(queues);
  }

  /** Ports go by what `bridge` says from now on. Returns those that it gives no queues any more: what waits there may leave. */
  obey(bridge: Bridge | null): PortQueues[] {
    this.bridge = bridge;
    if (bridge !== null) {
      this.meters = bridge.buckets.meters;
      this.shares = bridge.shares;
    }
    const policies = new Map(bridge?.policy.ports.map((policy) => [policy.port, policy]));
    return this.ports.filter((queues) => {
      const policy = policies.get(queues.port);
      const stays = policy !== undefined && isQueued(policy);
      queues.meter = stays ? (bridge?.buckets.limit[queues.row] ?? -1) : -1;
      queues.order.limit = limitFor(policy?.shape);
      queues.order.schedule(policy?.scheduler ?? "strict");
      return !stays;
    });
  }

  /** Gives the memory of a port back, where nothing waits. */
  remove(queues: PortQueues): void {
    this.of[queues.port] = null;
    this.ports.splice(this.ports.indexOf(queues), 1);
    queues.store.close();
  }
}
