// One measurement of bench/suites/growth.ts, in a process of its own: nanoseconds that a frame costs one worker. Prints the number.
//
//   bun bench/suites/growth-entry.ts ADDRESSES PORTS SIZE MILLISECONDS

import { BURST } from "../../src/mem/batch.ts";
import { OneWorker, TURNS } from "../one-worker.ts";
import { learnStations, setStations } from "../stations.ts";
import { median } from "../stats.ts";

/** Fills of the rings in one reading: less than a millisecond. */
const FILLS = 10;
const FRAMES = FILLS * TURNS * BURST;

const [addresses, ports, size, milliseconds] = process.argv.slice(2).map(Number);
// Room for those that ports have anyway.
const worker = new OneWorker(size, { ports, addresses: addresses + 16 });
learnStations(worker.fdb, addresses, ports);

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
// The first half is for compiling.
console.log(median(readings.slice(readings.length >> 1)));
