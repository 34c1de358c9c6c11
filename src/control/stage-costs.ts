// What a frame costs a worker, stage by stage, from two readings of its timed breaths, or from the sums since its start. Pure.
//
//   timed breaths: ns by stage / frames = ns a frame      x all frames = busy time
//
// A frame's cost is that of the breaths it came in, polling of other lanes within them included; empty breaths cost no frame anything.

import type { TimedBreaths, WorkerInfo } from "./api.ts";

export const STAGES = ["fetch", "classify", "copy", "publish"] as const;
type Stage = (typeof STAGES)[number];

export interface StageCosts {
  /** Nanoseconds a frame. */
  readonly stages: Readonly<Record<Stage, number>>;
  readonly totalNs: number;
  /** Of all busy breaths. Those that are timed are late by the time that takes, and may find fuller bursts. */
  readonly framesPerBreath: number;
  /** The time of all busy breaths: an estimate. */
  readonly busyMs: number;
}

type Reading = Pick<WorkerInfo, "busyBreaths" | "frames" | "timed">;

const NOTHING: TimedBreaths = { breaths: 0, frames: 0, fetchNs: 0, classifyNs: 0, copyNs: 0, publishNs: 0 };

/** Between two readings; without `before`, since the start. Undefined where no breath with frames was timed. */
export function stageCosts(
  now: Reading,
  before: Reading = { busyBreaths: 0, frames: 0, timed: NOTHING },
): StageCosts | undefined {
  const frames = now.timed.frames - before.timed.frames;
  const all = now.frames - before.frames;
  const breaths = now.busyBreaths - before.busyBreaths;
  const sum = (key: keyof TimedBreaths) => now.timed[key] - before.timed[key];
  const ns = { fetch: sum("fetchNs"), classify: sum("classifyNs"), copy: sum("copyNs"), publish: sum("publishNs") };
  // A switch that was started anew between two readings counts from 0.
  if (frames <= 0 || all <= 0 || breaths <= 0 || STAGES.some((stage) => ns[stage] < 0)) return undefined;
  const totalNs = STAGES.reduce((total, stage) => total + ns[stage], 0);
  return {
    stages: {
      fetch: ns.fetch / frames,
      classify: ns.classify / frames,
      copy: ns.copy / frames,
      publish: ns.publish / frames,
    },
    totalNs: totalNs / frames,
    framesPerBreath: all / breaths,
    busyMs: ((totalNs / frames) * all) / 1e6,
  };
}
