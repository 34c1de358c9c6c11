// The part of the VDUSE suite that runs inside the virtual machine: the rounds. Each line that it prints is one JSON object for
// bench/suites/vduse.ts: { sample }, { failed: [what, message] } or { say }.
//
//   bun bench/suites/vduse-inside.ts ROUNDS SECONDS SYSTEM,SYSTEM… whole|smoke

import { asked, print, scoped } from "../inside.ts";
import { vduseAdaptive, vduseBusy, vduseUmem } from "../peers/vduse-ringyard.ts";
import { makeHost, type VduseSystem } from "../peers/vduse-system.ts";
import { vduseTestpmd } from "../peers/vduse-testpmd.ts";
import { OURS } from "../stats.ts";
import type { Sample } from "../suite.ts";
import { Undo } from "../undo.ts";
import { frameCost } from "./vduse-cost.ts";
import {
  costOf,
  MANY,
  MANY_IN_SMOKE,
  PING_MEAN,
  PING_MEDIAN,
  PING_MIN,
  SMALL,
  TCP,
  TWO_PORTS,
} from "./vduse-subjects.ts";
import { frames, reach, roundTrips, tcp } from "./vduse-traffic.ts";

const SYSTEMS: readonly VduseSystem[] = [vduseBusy, vduseTestpmd, vduseAdaptive, vduseUmem];

async function measure(system: VduseSystem, round: number, seconds: number, undo: Undo): Promise<void> {
  const report = (subject: string, unit: string, value: number) =>
    print({ sample: { subject, unit, system: system.name, round, value } satisfies Sample });
  const [a, b] = [await makeHost(1, undo), await makeHost(2, undo)];
  const running = await system.start([a, b], undo);
  await reach(a, b);
  // What starts, compiles and opens its windows does so before it counts.
  await tcp(a, b, seconds, undo);
  report(TCP, "Mbit/s", await tcp(a, b, seconds, undo));
  report(SMALL, "thousands/s", await frames(a, b, seconds, undo));
  // Behind small frames, both ways: TCP's long ones leave the way of a ping uncompiled, which is 200 frames too short to compile.
  await frames(b, a, seconds, undo);
  const { min, median, mean } = await roundTrips(a, b);
  report(PING_MIN, "ms", min);
  report(PING_MEDIAN, "ms", median);
  report(PING_MEAN, "ms", mean);
  await running.stop();
}

/** What a frame costs the one worker of a switch with `ports` ports that all move frames. */
async function measureCost(ports: number, system: string, round: number, seconds: number, undo: Undo): Promise<void> {
  const { microseconds, framesPerBreath, thousands } = await frameCost(ports, seconds, undo);
  print({ sample: { subject: costOf(many), unit: "us of CPU", system, round, value: microseconds } });
  print({ say: `${ports} ports: ${framesPerBreath.toFixed(1)} frames a breath, ${thousands.toFixed(1)} thousand/s` });
}

const { rounds, seconds, systems: wanted, smoke } = asked();
const many = smoke ? MANY_IN_SMOKE : MANY;
const systems = SYSTEMS.filter(({ name }) => wanted.includes(name));
const undo = new Undo();
undo.trapSignals();
for (let round = 0; round < rounds; round++) {
  for (let turn = 0; turn < systems.length; turn++) {
    const system = systems[(round + turn) % systems.length];
    await scoped(undo, system.name, (own) => measure(system, round, seconds, own));
  }
  if (!wanted.includes(OURS)) continue;
  await scoped(undo, "2 ports", (own) => measureCost(2, TWO_PORTS, round, seconds, own));
  await scoped(undo, `${many} ports`, (own) => measureCost(many, OURS, round, seconds, own));
}
await undo.unwind();
process.exit(0);
