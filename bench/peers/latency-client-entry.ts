// The client of the latency suite, on a processor of its own: finds how many round trips a second a switch makes (its maximum), then times
// them at idle and at shares of that.
//
//   bun bench/peers/latency-client-entry.ts vhost-user|namespaces END END SECONDS [writes-source]
//
// prints one line of JSON: LatencyReadings

import { readFileSync } from "node:fs";
import { build, encodeIntoCompressedBase64 } from "hdr-histogram-js";
import { type LatencyReadings, type LoadReadings, WRITES_SOURCE } from "./latency-client.ts";
import { LOADS } from "./latency-loads.ts";
import { LOST_NS, maximum, open, paced } from "./latency-meter.ts";
import { PacketTrip } from "./latency-packet.ts";
import type { Trip } from "./latency-trip.ts";
import { VhostTrip } from "./latency-vhost.ts";

/** An interval at which any adaptive switch has gone to sleep before the next frame. */
const IDLE_PER_SECOND = 4000;
/** One number each is kept until the end. At millions a second a load is timed for less than the time asked for. */
const MOST_FRAMES = 4_000_000;
const DIGITS = 3;

function histogramOf(times: Uint32Array): string {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LOST_NS,
    numberOfSignificantValueDigits: DIGITS,
    useWebAssembly: false,
  });
  for (const time of times) histogram.recordValue(time === 0 ? LOST_NS : Math.min(time, LOST_NS));
  return encodeIntoCompressedBase64(histogram);
}

/** How long this thread could have run and did not, in ms (Documentation/scheduler/sched-stats.rst). */
function keptWaitingMs(): number {
  return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
}

/** Room for the frames of `seconds`. */
function roomFor(perSecond: number, seconds: number): Uint32Array {
  return new Uint32Array(Math.max(1, Math.min(MOST_FRAMES, Math.floor(perSecond * seconds))));
}

function measure(trip: Trip, load: string, perSecond: number, seconds: number): LoadReadings {
  const times = roomFor(perSecond, seconds);
  const before = keptWaitingMs();
  paced(trip, perSecond, times);
  const waitedMs = keptWaitingMs() - before;
  trip.check();
  const lost = times.reduce((sum, time) => sum + (time === 0 ? 1 : 0), 0);
  return { load, perSecond, count: times.length, lost, waitedMs, histogram: histogramOf(times) };
}

function rateOf(share: number): number {
  return share === 0 ? IDLE_PER_SECOND : most * share;
}

const [, , path, first, second, text, source] = process.argv;
const seconds = Number(text);
const ends = [first, second];
const trip = path === "vhost-user" ? await VhostTrip.connect(ends, source === WRITES_SOURCE) : PacketTrip.open(ends);
open(trip);
// Twice each: code is compiled by then, on both sides. A compiler's thread on this processor would stop the client for milliseconds.
maximum(trip, seconds);
const most = maximum(trip, seconds);
for (const { share } of LOADS) paced(trip, rateOf(share), roomFor(rateOf(share), seconds));
const loads = LOADS.map(({ load, share }) => measure(trip, load, rateOf(share), seconds));
const readings: LatencyReadings = { maximum: most, loads };
console.log(JSON.stringify(readings));
process.exit(0);
