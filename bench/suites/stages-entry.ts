// One measurement of bench/suites/stages.ts, in a process of its own: what it costs a worker to time a breath. Prints
// nanoseconds: of a breath that is not timed, and of one that is.
//
//   bun bench/suites/stages-entry.ts SIZE FRAMES MILLISECONDS        FRAMES: in each breath, 1 to BURST
//
// Both in turns, a fill of the rings each, and the medians. The driver shows the frames of each breath within the time taken; that is
// some nanoseconds, the same for both.

import { OneWorker, RING } from "../one-worker.ts";
import { median } from "../stats.ts";

const [size, frames, milliseconds] = process.argv.slice(2).map(Number);
const worker = new OneWorker(size);
const breaths = Math.floor(RING / frames);
const readings = { untimed: [] as number[], timed: [] as number[] };

function read(timed: boolean): number {
  worker.rewind();
  const from = Bun.nanoseconds();
  for (let n = 0; n < breaths; n++) {
    worker.show(frames);
    worker.breath(timed);
  }
  return (Bun.nanoseconds() - from) / breaths;
}

worker.fill(0, 1);
while (worker.breath(true) > 0);
for (const end = performance.now() + milliseconds; performance.now() < end; ) {
  readings.untimed.push(read(false));
  readings.timed.push(read(true));
}
const { taken, delivered } = worker.moved;
if (delivered !== taken) throw new Error(`${delivered} of ${taken} frames were delivered`);
worker.close();
// The first half is for compiling.
const late = (values: number[]) => median(values.slice(values.length >> 1));
console.log(late(readings.untimed), late(readings.timed));
