// What one of two threads does to a bucket that they share: sends frames through it, without time passing, and says how many
// passed. Runs in a worker.

import { beginTurn, Meters, passMeter } from "../../../src/dataplane/rules/meter.ts";
import { ROW_LENGTH } from "../../../src/dataplane/rules/plan-layout.ts";

export interface MeterTask {
  memory: SharedArrayBuffer;
  bucket: number;
  burst: number;
  frames: number;
}

export function runMeterTask({ memory, bucket, burst, frames }: MeterTask): number {
  const specs = Float64Array.of(bucket, 0, 1e-12, burst);
  const counters = new Float64Array(4 * ROW_LENGTH);
  const meters = new Meters(specs, new Int32Array(memory), new Float64Array(memory), counters);
  let passed = 0;
  for (let k = 0; k < frames; k++) {
    beginTurn(meters, 1);
    if (passMeter(meters, 0, 60)) passed++;
  }
  return passed;
}
