// One measurement of bench/suites/growth.ts, in a process of its own: nanoseconds that a frame costs a worker. Prints the number.
//
//   bun bench/suites/growth-entry.ts ADDRESSES PORTS SIZE MILLISECONDS WORKERS GIB        GIB: of each driver's memory
//
// Worker w runs in a thread of its own on CPU w and moves frames between ports of its own. What they share is what a switch's workers
// share: the fdb. Each looks at what arrives; the number is their mean.

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { allocateFdb, viewFdb } from "../../src/dataplane/fdb-layout.ts";
import { BURST } from "../../src/mem/batch.ts";
import { pinToCpu } from "../../src/sys/thread.ts";
import { OneWorker, TURNS } from "../one-worker.ts";
import { learnStations, setStations } from "../stations.ts";

/** Fills of the rings in one reading: less than a millisecond. */
const FILLS = 10;
const FRAMES = FILLS * TURNS * BURST;
/** Beside the stations: those that ports have anyway. */
const OF_PORTS = 16;

interface Job {
  addresses: number;
  ports: number;
  size: number;
  milliseconds: number;
  memoryGiB: number;
  cpu: number;
  fdb: SharedArrayBuffer;
  /** Workers that have not begun, and whether one is alone. */
  starting: Int32Array;
  alone: boolean;
}

/**
 * In the worker's thread: returns what a frame cost it. The least reading of the second half, when all is compiled: what the code takes while
 * nobody else has a part of the processor.
 */
function measure({ addresses, ports, size, milliseconds, memoryGiB, cpu, fdb, starting, alone }: Job): number {
  pinToCpu(cpu);
  const worker = new OneWorker(size, { ports, fdb: viewFdb(fdb), together: !alone, memoryGiB });
  if (Atomics.sub(starting, 0, 1) === 1) Atomics.notify(starting, 0);
  for (let left = Atomics.load(starting, 0); left > 0; left = Atomics.load(starting, 0)) {
    Atomics.wait(starting, 0, left);
  }
  const readings: number[] = [];
  let frame = 0;
  for (const end = performance.now() + milliseconds; performance.now() < end; ) {
    let ns = 0;
    for (let fill = 0; fill < FILLS; fill++) {
      const first = frame;
      worker.fillWith((halves, at, k) => setStations(halves, at, first + k, addresses));
      frame += TURNS * BURST;
      const from = Bun.nanoseconds();
      for (let n = 0; n < TURNS; n++) worker.turn();
      ns += Bun.nanoseconds() - from;
    }
    readings.push(ns / FRAMES);
  }
  const { taken, delivered } = worker.moved;
  if (taken !== frame || delivered !== taken) throw new Error(`${frame} sent, ${taken} taken, ${delivered} delivered`);
  worker.checkArrived();
  worker.close();
  return readings.slice(readings.length >> 1).reduce((least, reading) => Math.min(least, reading));
}

async function measureTogether(): Promise<number> {
  const [addresses, ports, size, milliseconds, workers, memoryGiB] = process.argv.slice(2).map(Number);
  const fdb = allocateFdb(addresses + OF_PORTS);
  learnStations(fdb, addresses, ports);
  const starting = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  starting[0] = workers;
  const job = { addresses, ports, size, milliseconds, memoryGiB, fdb: fdb.buffer, starting, alone: workers === 1 };
  const results = Array.from({ length: workers }, (_, cpu) => {
    const thread = new Worker(import.meta.path, { workerData: { ...job, cpu } satisfies Job });
    return new Promise<number>((resolve, reject) => thread.on("message", resolve).on("error", reject));
  });
  const costs = await Promise.all(results);
  return costs.reduce((sum, cost) => sum + cost, 0) / workers;
}

if (isMainThread) console.log(await measureTogether());
else parentPort?.postMessage(measure(workerData));
