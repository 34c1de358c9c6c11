// Threads that change a shared fdb while a test reads it, and the addresses that make them meet: those of one bucket.

import { afterEach } from "bun:test";
import { fdbHash, fdbSalted } from "../../src/dataplane/fdb-find.ts";
import type { Fdb } from "../../src/dataplane/fdb-layout.ts";
import { macAt } from "./fdb-check.ts";
import type { StressTask } from "./fdb-stress-task.ts";

const workers: Worker[] = [];
afterEach(() => {
  for (const worker of workers.splice(0)) worker.terminate();
});

/** Starts a thread; the promise ends when the thread has. */
export function startStress(task: StressTask): Promise<void> {
  const worker = new Worker(new URL("./fdb-stress-worker.ts", import.meta.url));
  workers.push(worker);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  worker.onmessage = () => resolve();
  worker.onerror = (event) => reject(new Error(event.message));
  worker.postMessage(task);
  return promise;
}

/** Addresses of a VLAN that share hi and the first bucket with address 0 of none, so that they take and leave the same slots. */
export function neighbours(fdb: Fdb, count: number, vid: number): number[] {
  const home = (index: number, of: number) =>
    fdbHash(fdb, fdbSalted(fdb, macAt(index).lo, of), macAt(index).hi) >>> fdb.shift;
  const found: number[] = [];
  for (let index = 1 << 16; found.length < count; index += 1 << 16)
    if (home(index, vid) === home(0, 0)) found.push(index);
  return found;
}
