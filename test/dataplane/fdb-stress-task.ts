// What a stress thread does to a shared fdb until it is told to stop: learn its addresses on its ports, delete them.
// No waiting for the lock: a change that finds it taken is left out. Runs in a worker; the test asserts.

import { fdbLearn } from "../../src/dataplane/fdb.ts";
import { fdbTryLock, fdbUnlock, removeEntry } from "../../src/dataplane/fdb-entry.ts";
import { fdbFind, hitAt } from "../../src/dataplane/fdb-find.ts";
import { FDB_LEARNED, FDB_MOVED, viewFdb } from "../../src/dataplane/fdb-layout.ts";
import { macAt } from "./fdb-check.ts";

export const OWN_PORTS = [1, 2];
export const STRANGER_PORT = 77;

/** Words of `StressTask.state`: the reader's order to stop, then for each thread how often it changed the table. */
export const STOP = 0;
export const CHANGES = 1;

export interface StressTask {
  buffer: SharedArrayBuffer;
  state: Int32Array;
  thread: number;
  vid: number;
  /** Addresses of that VLAN, as macAt counts them. */
  indices: number[];
  ports: number[];
}

export function runStress({ buffer, state, thread, vid, indices, ports }: StressTask): void {
  const fdb = viewFdb(buffer);
  const macs = indices.map(macAt);
  for (let round = 0; Atomics.load(state, STOP) === 0; round++) {
    const { lo, hi } = macs[round % macs.length];
    for (let turn = 0; turn < 4; turn++) {
      const outcome = fdbLearn(fdb, lo, hi, ports[turn % ports.length], round >> 10, vid);
      if (outcome === FDB_LEARNED || outcome === FDB_MOVED) Atomics.add(state, CHANGES + thread, 1);
    }
    if (!fdbTryLock(fdb)) continue;
    const gone = macs[(round + 3) % macs.length];
    const hit = fdbFind(fdb, gone.lo, gone.hi, vid);
    if (hit >= 0) removeEntry(fdb, hitAt(hit));
    fdbUnlock(fdb);
  }
}
