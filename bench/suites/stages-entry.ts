// One measurement of bench/suites/stages.ts, in a process of its own: what it costs a worker to time breaths as a switch does it. Prints
// nanoseconds: of a breath that is not timed, and of what timing one run of them adds.
//
//   bun bench/suites/stages-entry.ts SIZE FRAMES MILLISECONDS        FRAMES: in each breath, 1 to BURST
//
//   without  | breath | breath | … | breath | breath |      one look at the clock before and one behind: the clock's code
//   with     | breath | breath | … | timed  | timed  |      is as cold for the timed ones as in a switch
//
// Both in turns, and the medians. The driver shows the frames of each breath within the time taken; that is some nanoseconds, the same for
// both.

import { TIMED_RUN } from "../../src/dataplane/breathe.ts";
import { OneWorker, RING } from "../one-worker.ts";
import { median } from "../stats.ts";

/** Of a reading: what the timed ones find out of the processor's caches is out of them by then. */
const BREATHS = 128;

const [size, frames, milliseconds] = process.argv.slice(2).map(Number);
const worker = new OneWorker(size);
const fillEvery = Math.floor(RING / frames);
const readings = { without: [] as number[], with: [] as number[] };

/** Nanoseconds of BREATHS; the last `timed` of them are timed, and the first of those does not count, as in `breathe`. */
function read(timed: number): number {
  const from = Bun.nanoseconds();
  for (let n = 0; n < BREATHS; n++) {
    if (n % fillEvery === 0) worker.rewind();
    worker.show(frames);
    worker.breath(n >= BREATHS - timed, n > BREATHS - timed);
  }
  return Bun.nanoseconds() - from;
}

worker.fill(0, 1);
while (worker.breath(true) > 0);
for (const end = performance.now() + milliseconds; performance.now() < end; ) {
  readings.without.push(read(0));
  readings.with.push(read(TIMED_RUN));
}
const { taken, delivered } = worker.moved;
if (delivered !== taken) throw new Error(`${delivered} of ${taken} frames were delivered`);
worker.checkArrived();
worker.close();
// The first half is for compiling.
const late = (values: number[]) => median(values.slice(values.length >> 1));
const without = late(readings.without);
console.log(without / BREATHS, late(readings.with) - without);
