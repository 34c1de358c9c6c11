// The other processor of a guest that changes one byte of a frame back and forth, as fast as it can, until it is told to stop.
// Runs in a worker, over memory that the test's process has mapped.

import { viewOf } from "../../../src/sys/memory.ts";

/** Word of `ToggleTask.state`. */
export const STOP = 0;

export interface ToggleTask {
  state: Int32Array;
  address: number;
  values: [number, number];
}

export function runToggleTask({ state, address, values }: ToggleTask): void {
  const byte = new Uint8Array(viewOf(address, 0, 1));
  while (Atomics.load(state, STOP) === 0) {
    for (let turn = 0; turn < 1000; turn++) Atomics.store(byte, 0, values[turn & 1]);
  }
}
