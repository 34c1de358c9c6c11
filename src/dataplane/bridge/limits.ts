// What the limits of a port have counted, by the names that they have in a configuration. Control thread.

import {
  type BridgeMemory,
  BUCKET_POLICE,
  BUCKET_SHAPE,
  BUCKET_STORM_BROADCAST,
  BUCKET_STORM_MULTICAST,
  BUCKET_STORM_UNKNOWN,
  type LimitCounters,
} from "./bridge-memory.ts";
import type { PortPolicy } from "./policy.ts";
import { isQueued } from "./queues.ts";

/** Of the limits that this policy sets, since its port came. */
export function limitsOf(policy: PortPolicy, memory: BridgeMemory): Record<string, LimitCounters> {
  const limits = [
    ["police", policy.police !== undefined, BUCKET_POLICE],
    ["storm-broadcast", policy.stormBroadcast !== undefined, BUCKET_STORM_BROADCAST],
    ["storm-multicast", policy.stormMulticast !== undefined, BUCKET_STORM_MULTICAST],
    ["storm-unknown", policy.stormUnknown !== undefined, BUCKET_STORM_UNKNOWN],
    ["shape", isQueued(policy), BUCKET_SHAPE],
  ] as const;
  return Object.fromEntries(
    limits.flatMap(([name, has, purpose]) => (has ? [[name, memory.limit(policy.port, purpose)]] : [])),
  );
}
