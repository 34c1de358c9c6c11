// What a frame costs a worker that polls, in CPU time, whatever the number of ports: the time of breaths that found something, over
// the frames that they moved. Breaths that found nothing are taken off at the price that they have when nothing moves:
//
//   quiet   CPU time / breaths                                            = price of an empty breath
//   loaded  (CPU time - empty breaths x price) / frames fetched           = cost of a frame, calls into the kernel included
//
// CPU time is that of the whole process, from the scheduler's account.

import { startVduse, type VduseSwitch } from "../peers/vduse-ringyard.ts";
import { makeHost } from "../peers/vduse-system.ts";
import { cpuTimeMs } from "../proc.ts";
import type { Undo } from "../undo.ts";
import { generate, reach } from "./vduse-traffic.ts";

/** Past start-up, and until generators are steady. */
const SETTLE_MS = 2_000;

export interface FrameCost {
  readonly microseconds: number;
  readonly framesPerBreath: number;
  /** Thousands of frames per second, all ports together. */
  readonly thousands: number;
}

interface Reading {
  cpuMs: number;
  wallMs: number;
  breaths: number;
  busyBreaths: number;
  frames: number;
}

async function read(running: VduseSwitch): Promise<Reading> {
  const { workers, totals } = await running.stats();
  const [{ breaths, busyBreaths }] = workers;
  return {
    cpuMs: cpuTimeMs(running.pid),
    wallMs: performance.now(),
    breaths,
    busyBreaths,
    frames: totals.rxFrames,
  };
}

/** What was added to each figure in the time given. */
async function over(running: VduseSwitch, seconds: number): Promise<Reading> {
  const before = await read(running);
  await Bun.sleep(seconds * 1000);
  const after = await read(running);
  const names = Object.keys(after) as (keyof Reading)[];
  return Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Reading;
}

/** A switch with an even number of ports, half of which send 64-byte frames to the other half as fast as they can. */
export async function frameCost(ports: number, seconds: number, undo: Undo): Promise<FrameCost> {
  const hosts = [];
  for (let number = 1; number <= ports; number++) hosts.push(await makeHost(number, undo));
  const running = await startVduse(hosts, "busy", "", undo);
  for (let index = 0; index < ports; index += 2) await reach(hosts[index], hosts[index + 1]);
  await Bun.sleep(SETTLE_MS);
  const quiet = await over(running, seconds);
  const stops = [];
  for (let index = 0; index < ports; index += 2) stops.push(await generate(hosts[index], hosts[index + 1], 1, undo));
  await Bun.sleep(SETTLE_MS);
  const loaded = await over(running, seconds);
  for (const stop of stops) await stop();
  await running.stop();
  const priceMs = quiet.cpuMs / quiet.breaths;
  const busyMs = loaded.cpuMs - (loaded.breaths - loaded.busyBreaths) * priceMs;
  return {
    microseconds: (busyMs * 1000) / loaded.frames,
    framesPerBreath: loaded.frames / loaded.busyBreaths,
    thousands: loaded.frames / loaded.wallMs,
  };
}
