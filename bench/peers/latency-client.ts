// Starts the latency client (latency-client-entry.ts) on CPU 1 and takes what it prints.

import { join, resolve } from "node:path";
import { run } from "../../test/support/process.ts";
import { mortal } from "../undo.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** Two looks for the maximum, one measurement at each load, and as long again for histograms on a slow machine. */
const LIMIT_MS = 30_000;
const SHARES = 12;
/** Said to the client where the switch writes sources of its own. */
export const WRITES_SOURCE = "writes-source";

export interface LoadReadings {
  readonly load: string;
  readonly perSecond: number;
  readonly count: number;
  /** Of these, not home in time; they are in the histogram as a second each. */
  readonly lost: number;
  /** How long something else had the client's processor: the machine's share of the longest times. */
  readonly waitedMs: number;
  /** Nanoseconds; compressed, in base64 (HdrHistogram V2). */
  readonly histogram: string;
}

export interface LatencyReadings {
  /** Round trips per second. */
  readonly maximum: number;
  readonly loads: readonly LoadReadings[];
}

/** `ends`: sockets of vhost-user ports, or paths of namespaces. `seconds`: of one load. */
export async function timeRoundTrips(
  path: "vhost-user" | "namespaces",
  ends: readonly string[],
  seconds: number,
  writesSource = false,
): Promise<LatencyReadings> {
  const entry = [join(ROOT, "node_modules/.bin/bun"), join(ROOT, "bench/peers/latency-client-entry.ts")];
  const words = ["taskset", "-c", "1", ...entry, path, ...ends, `${seconds}`, ...(writesSource ? [WRITES_SOURCE] : [])];
  // Nothing of this process runs until it ends, and it does not outlive this process.
  const { stdout } = await run(mortal(words), { timeoutMs: LIMIT_MS + SHARES * seconds * 1000 });
  return JSON.parse(stdout);
}
