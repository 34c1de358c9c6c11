// What a suite of measurements is. One file in bench/suites/ is one suite; bench/main.ts lists them.
//
//   suite.run(context) -> Sample, Sample, …     a sample: one system, one subject, one round, one value
//   suite.bars                                  what the results are held against
//
// A suite alternates the systems within each round, so that whatever else the machine does meets all of them alike.

import type { Undo } from "./undo.ts";

export interface Sample {
  /** What was measured: `64 B`, `idle, two TAP ports`. */
  readonly subject: string;
  /** Unit and meaning: `Mpps`, `% of a CPU`, `ms`, `MB`. */
  readonly unit: string;
  readonly system: string;
  readonly round: number;
  readonly value: number;
  /** Of what `value` is a percentile, in nanoseconds: an HdrHistogram (V2), compressed, in base64. With one percentile of each. */
  readonly histogram?: string;
  /** The readings of which `value` is the median, where there are several. */
  readonly readings?: readonly number[];
}

/** A demand on ringyard's median: in the unit itself, or as a ratio to another system's median. */
export interface Bar {
  readonly subject: string;
  /** Of the rounds; without it the median, which would hide a round in which what must never come did. */
  readonly of?: "max";
  /** Another form of ringyard that the demand is on. */
  readonly system?: string;
  readonly against?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Context {
  readonly rounds: number;
  /** Seconds of one throughput measurement. */
  readonly seconds: number;
  /** Frame sizes in bytes, where not those of the suite itself are wanted. */
  readonly sizes?: readonly number[];
  /** Of load, for the suite of long runs. */
  readonly minutes: number;
  /** Percent of CPU 0 that a switch under test gets; 0: all of it. */
  readonly quota: number;
  /** Names of the systems to measure; ringyard is always one. */
  readonly systems: readonly string[];
  /** Only whether the bench works is asked: what is large may be small. */
  readonly smoke: boolean;
  readonly say: (line: string) => void;
  readonly sample: (sample: Sample) => void;
  /** A measurement that could not be made; the others go on. */
  readonly failed: (what: string, error: unknown) => void;
  /** Undone when the bench ends, however it ends. */
  readonly undo: Undo;
}

export interface Suite {
  readonly name: string;
  readonly about: string;
  readonly bars: readonly Bar[];
  /** What whoever reads the figures has to know, and what of this kind cannot be measured here: part of the report. */
  readonly notes?: readonly string[];
  run(context: Context): Promise<void>;
}
