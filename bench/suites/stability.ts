// Whether speed lasts: one long run of ringyard under DPDK's virtio driver (`--minutes`), asked each second. Code that the JIT gives up
// shows as a drop, what the loop allocates as a collection, what anybody keeps as memory.
//
//   frames of three sizes (IMIX) circle:   | first fifth | … | last fifth |      drift: between the medians of the two
//
// Only ringyard, and once, whatever `--rounds` says. What the host takes from this machine meanwhile is told beside the worst second.

import { readFileSync } from "node:fs";
import { reserveHugepages } from "../../scripts/hugepages.ts";
import type { Background } from "../../test/support/process.ts";
import { workerCollections } from "../gc-log.ts";
import { DpdkClient, IMIX } from "../peers/dpdk-client.ts";
import { startRingyard } from "../peers/ringyard.ts";
import { residentMb } from "../proc.ts";
import { median, OURS } from "../stats.ts";
import type { Context, Suite } from "../suite.ts";
import { underLoad } from "../throughput.ts";

const RATE = "throughput";
const DRIFT = "drift of throughput, last fifth against first";
const WORST = "worst second, below the median";
const STOLEN = "most that the host took of a second";
const COLLECTIONS = "collections of the workers' heaps";
const GROWTH = "growth of memory, last fifth against first";

/** Code that is compiled late, and what that allocates, is not what is asked. */
const WARM_UP_SECONDS = 10;
const SMOKE = { warmUp: 1, seconds: 5 };
/** A spot of progress is shown after so many seconds. */
const SHOWN_EVERY = 60;
const TICK_MS = 10;

/** A heap is collected after so much was allocated, and not only after megabytes (as in test/real/gc.test.ts): less is seen so. */
const HEAP_SIZE = 128 * 1024;

/** Milliseconds in which this machine's processors wanted to run and were not let, since it began. */
function stolenMs(): number {
  return Number(readFileSync("/proc/stat", "utf8").split(/\s+/)[8]) * TICK_MS;
}

interface Second {
  readonly mpps: number;
  readonly memoryMb: number;
  readonly stolenMs: number;
}

interface Watched {
  readonly seconds: readonly Second[];
  /** What the switch said meanwhile. */
  readonly log: string;
}

async function watch(client: DpdkClient, program: Background, seconds: number, context: Context): Promise<Watched> {
  const watched: Second[] = [];
  let log = "";
  program.forget();
  let before = stolenMs();
  await client.measure(seconds, (mpps) => {
    // Each second, since only the last 64 KiB are kept for us.
    log += program.output;
    program.forget();
    const stolen = stolenMs();
    watched.push({ mpps, memoryMb: residentMb(program.pid), stolenMs: stolen - before });
    before = stolen;
    if (watched.length % SHOWN_EVERY === 0) context.say(`${watched.length} of ${seconds} s, ${mpps.toFixed(2)} Mpps`);
  });
  return { seconds: watched, log };
}

/** The median of the last fifth by that of the first. */
function lastByFirst(values: readonly number[]): number {
  const fifth = Math.max(1, Math.floor(values.length / 5));
  return median(values.slice(-fifth)) / median(values.slice(0, fifth));
}

function report(seconds: readonly Second[], collections: number, context: Context): void {
  const sample = (subject: string, unit: string, value: number, readings?: readonly number[]) =>
    context.sample({ subject, unit, system: OURS, round: 0, value, ...(readings && { readings }) });
  const rates = seconds.map(({ mpps }) => mpps);
  const memory = seconds.map(({ memoryMb }) => memoryMb);
  sample(RATE, "Mpps", median(rates), rates);
  sample(DRIFT, "%", 100 * Math.abs(lastByFirst(rates) - 1));
  sample(WORST, "%", 100 * (1 - Math.min(...rates) / median(rates)));
  sample(STOLEN, "ms", Math.max(...seconds.map(({ stolenMs }) => stolenMs)));
  sample(COLLECTIONS, "collections", collections);
  sample(GROWTH, "%", 100 * (lastByFirst(memory) - 1), memory);
}

async function run(context: Context): Promise<void> {
  if (!context.systems.includes(OURS)) return;
  const { warmUp, seconds } = context.smoke ? SMOKE : { warmUp: WARM_UP_SECONDS, seconds: context.minutes * 60 };
  const restore = context.undo.defer(reserveHugepages());
  try {
    const env = { BUN_JSC_logGC: "1", BUN_JSC_gcMaxHeapSize: `${HEAP_SIZE}` };
    const { program, watched } = await underLoad(
      { start: (quota, undo) => startRingyard("busy", quota, undo, [], env) },
      (sockets, undo) => DpdkClient.attach(sockets, IMIX, undo),
      context,
      async ({ program }, client) => {
        await client.measure(warmUp);
        return { program, watched: await watch(client, program, seconds, context) };
      },
    );
    await program.drain();
    report(watched.seconds, workerCollections(watched.log, watched.log + program.output), context);
  } finally {
    await restore();
  }
}

export const stability: Suite = {
  name: "stability",
  about: "ringyard alone under load for --minutes: does throughput last, is nothing collected, does memory stay",
  bars: [
    { subject: DRIFT, atMost: 10 },
    { subject: WORST, atMost: 10 },
    { subject: COLLECTIONS, atMost: 0 },
    { subject: GROWTH, atMost: 5 },
  ],
  run,
};
