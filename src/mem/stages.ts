// HOT
// Where a worker's time goes: now and then a breath is timed, and its nanoseconds belong to the stages that it passed.
//
//   startStages | fetch | classify | copy | publish | copy | classify | publish | fetch ... | over | stopStages
//                       ^ enterStage: what went by since the last one belongs to the stage that ends here
//
// A stage is entered by whoever does its work, and left for the one before it (classify delivers: copy; copy publishes: publish), so
// that the sum is right on every way a frame may go. Breaths that are not timed pay one comparison for each of these, some per burst.
//
// A look at the clock takes longer (35 ns) than some stages of a burst of one frame. How long, this time, is found behind the breath, and
// taken off each stage: before, it would make the breath late, and a driver that sends all the while have a fuller burst for it. For the
// same reason there is no system call: that the thread lost its processor is told by the clock alone. One state for each thread, since
// each has its own modules; worker threads only.

/** Polling lanes, walking their chains, checking their headers; also what a lane without new frames gives back of held ones. */
export const STAGE_FETCH = 0;
/** Whatever decides where frames go: learning, look-ups, rules and policies, lists by port. */
export const STAGE_CLASSIFY = 1;
/** Into the receivers: finding room, headers, bytes, offloads in software; where the kernel takes frames, its call. */
export const STAGE_COPY = 2;
/** Telling both drivers: used rings, their indexes, calls; a NIC's doorbell. */
export const STAGE_PUBLISH = 3;
const STAGE_COUNT = 4;
/** Behind the last one: what follows is the clock's own business. */
export const STAGE_OVER = 4;
/** A look at the clock that takes longer was interrupted, or its code is not compiled yet: the others were not like it. */
const LOOK_MOST_NS = 100;
/** A stage of a burst is far shorter; before a quota, or another thread that took the processor, gives it back, more goes by. */
const LOST_NS = 2e6;

class Stages {
  running = false;
  readonly ns = new Float64Array(STAGE_COUNT + 1);
  /** How often each was left. */
  readonly looks = new Int32Array(STAGE_COUNT + 1);
  stage = STAGE_FETCH;
  sinceNs = 0;
  longestNs = 0;
}

const stages = new Stages();

/** From here on it is this stage's time. */
export function enterStage(stage: number): void {
  if (stages.running && stage !== stages.stage) enter(stage);
}

function enter(stage: number): void {
  const nowNs = Bun.nanoseconds();
  const tookNs = nowNs - stages.sinceNs;
  stages.ns[stages.stage] += tookNs;
  stages.looks[stages.stage]++;
  stages.longestNs = Math.max(stages.longestNs, tookNs);
  stages.stage = stage;
  stages.sinceNs = nowNs;
}

/** A breath begins that is timed, with the stage fetch. */
export function startStages(): void {
  for (let stage = 0; stage < STAGE_COUNT; stage++) {
    stages.ns[stage] = 0;
    stages.looks[stage] = 0;
  }
  stages.longestNs = 0;
  stages.running = true;
  stages.stage = STAGE_FETCH;
  stages.sinceNs = Bun.nanoseconds();
}

/** It ends, and nothing is added. */
export function dropStages(): void {
  stages.running = false;
}

/**
 * It ends, being OVER: adds its nanoseconds to `totals`, stage by stage, from `at` on. Returns whether it did: not where the thread lost its
 * processor meanwhile.
 */
export function stopStages(totals: Float64Array, at: number): boolean {
  const { looks, ns } = stages;
  stages.running = false;
  if (stages.longestNs > LOST_NS) return false;
  enter(STAGE_OVER);
  ns[STAGE_OVER] = 0;
  enter(STAGE_OVER);
  const lookNs = Math.min(ns[STAGE_OVER], LOOK_MOST_NS);
  for (let stage = 0; stage < STAGE_COUNT; stage++)
    totals[at + stage] += Math.max(0, ns[stage] - lookNs * looks[stage]);
  return true;
}
