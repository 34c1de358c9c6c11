// HOT
// Limits of what comes in at a port, policing and storm control of floods, and of what goes out: shaping. Each is a token bucket that
// workers share (rules/meter.ts), at a place fixed by port and purpose (bridge-memory.ts).
//
//   limit[port * BUCKETS_PER_PORT + purpose]   index into the meters, or -1: no limit

import {
  METER_BUCKET,
  METER_BURST,
  METER_BYTES,
  METER_LENGTH,
  METER_PER_MS,
  Meters,
  passMeter,
} from "../rules/meter.ts";
import { MAX_PORTS } from "../shared.ts";
import {
  type BridgeMemoryLayout,
  BUCKET_POLICE,
  BUCKET_SHAPE,
  BUCKET_STORM_BROADCAST,
  BUCKET_STORM_MULTICAST,
  BUCKET_STORM_UNKNOWN,
  BUCKETS_PER_PORT,
  bucketOf,
} from "./bridge-memory.ts";
import type { BridgePolicy, Rate } from "./policy.ts";

const BITS_PER_BYTE = 8;
const MS_PER_S = 1000;

export class Buckets {
  readonly meters: Meters;
  readonly limit = new Int32Array(MAX_PORTS * BUCKETS_PER_PORT).fill(-1);

  constructor({ ports }: BridgePolicy, buffer: ArrayBuffer, { buckets, counters }: BridgeMemoryLayout) {
    const numbers: number[] = [];
    for (const { port, police, stormBroadcast, stormMulticast, stormUnknown, shape } of ports) {
      this.add(numbers, bucketOf(port, BUCKET_POLICE), police);
      this.add(numbers, bucketOf(port, BUCKET_SHAPE), shape);
      this.add(numbers, bucketOf(port, BUCKET_STORM_BROADCAST), stormBroadcast);
      this.add(numbers, bucketOf(port, BUCKET_STORM_MULTICAST), stormMulticast);
      this.add(numbers, bucketOf(port, BUCKET_STORM_UNKNOWN), stormUnknown);
    }
    this.meters = new Meters(
      Float64Array.from(numbers),
      new Int32Array(buffer, buckets.at, buckets.size >> 2),
      new Float64Array(buffer, buckets.at, buckets.size >> 3),
      new Float64Array(buffer, counters.at, counters.size >> 3),
    );
  }

  private add(numbers: number[], bucket: number, rate: Rate | undefined): void {
    if (rate === undefined) return;
    const per = rate.unit === "bits" ? BITS_PER_BYTE : 1;
    const at = numbers.length;
    this.limit[bucket] = at / METER_LENGTH;
    numbers.length = at + METER_LENGTH;
    numbers[at + METER_BUCKET] = bucket;
    numbers[at + METER_BYTES] = rate.unit === "bits" ? 1 : 0;
    numbers[at + METER_PER_MS] = rate.rate / per / MS_PER_S;
    numbers[at + METER_BURST] = Math.max(1, Math.floor(rate.burst / per));
  }
}

/** Whether a frame of `length` bytes that came in on `port` is within the limit for this purpose (BUCKET_*). */
export function withinLimit(buckets: Buckets, port: number, purpose: number, length: number): boolean {
  const meter = buckets.limit[port * BUCKETS_PER_PORT + purpose];
  return meter < 0 || passMeter(buckets.meters, meter, length);
}
