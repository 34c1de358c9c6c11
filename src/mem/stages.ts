// HOT
// Where a worker's time goes: now and then a breath is timed, and its nanoseconds belong to the stages that it passed.
//
//   startStages | fetch | classify | copy | publish | copy | classify | publish | fetch ... | stopStages
//                       ^ enterStage: what went by since the last one belongs to the stage that ends here
//
// A stage is entered by whoever does its work, and left for the one before it (classify delivers: copy; copy publishes: publish), so
// that the sum is right on every way a frame may go. Breaths that are not timed pay one comparison for each of these, some per burst.
//
// A look at the clock takes longer (35 ns) than some stages of a burst of one frame. How long, this time, is found first, by some looks
// in a row, and taken off each stage. A breath in which the thread lost its processor says nothing about frames and is not counted.
// One state for each thread, since each has its own modules; worker threads only.

import { contextSwitches } from "../sys/thread.ts";

/** Polling lanes, walking their chains, checking their headers; also what a lane without new frames gives back of held ones. */
export const STAGE_FETCH = 0;
/** Whatever decides where frames go: learning, look-ups, rules and policies, lists by port. */
export const STAGE_CLASSIFY = 1;
/** Into the receivers: finding room, headers, bytes, offloads in software; where the kernel takes frames, its call. */
export const STAGE_COPY = 2;
/** Telling both drivers: used rings, their indexes, calls; a NIC's doorbell. */
export const STAGE_PUBLISH = 3;
export const STAGE_COUNT = 4;
/** The clock's own. */
const STAGE_NONE = 4;
/** A look that takes longer was interrupted, or its code is not compiled yet: those that follow will not be like it. */
const LOOK_MOST_NS = 100;

class Stages {
  running = false;
  readonly ns = new Float64Array(STAGE_COUNT + 1);
  stage = STAGE_NONE;
  sinceNs = 0;
  lookNs = 0;
  switches = 0;
}

const stages = new Stages();

/** From here on it is this stage's time. */
export function enterStage(stage: number): void {
  if (stages.running && stage !== stages.stage) enter(stage);
}

function enter(stage: number): void {
  const nowNs = Bun.nanoseconds();
  stages.ns[stages.stage] += nowNs - stages.sinceNs - stages.lookNs;
  stages.stage = stage;
  stages.sinceNs = nowNs;
}

/** A breath begins that is timed, with the stage fetch. */
export function startStages(): void {
  const { ns } = stages;
  stages.switches = contextSwitches();
  ns.fill(0);
  stages.lookNs = 0;
  stages.stage = STAGE_NONE;
  enter(STAGE_NONE);
  ns[STAGE_NONE] = 0;
  enter(STAGE_NONE);
  const firstNs = ns[STAGE_NONE];
  enter(STAGE_NONE);
  stages.lookNs = Math.min(firstNs, ns[STAGE_NONE] - firstNs, LOOK_MOST_NS);
  stages.running = true;
  enter(STAGE_FETCH);
}

/** It ends. Returns whether it counts: not where the thread lost its processor meanwhile. */
export function stopStages(): boolean {
  enter(STAGE_NONE);
  stages.running = false;
  return contextSwitches() === stages.switches;
}

/** Adds the nanoseconds of the last timed breath to `totals`, stage by stage, from `at` on. */
export function addStages(totals: Float64Array, at: number): void {
  for (let stage = 0; stage < STAGE_COUNT; stage++) totals[at + stage] += Math.max(0, stages.ns[stage]);
}
