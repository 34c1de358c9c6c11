// The memory that the control thread and all workers share, besides the fdb: one SharedArrayBuffer, laid out once.
//
//   control words   clock (s), poll mode | per port: up, longest frame
//   lane states     MAX_LANES x LANE_STATE_LENGTH words (mem/lane-state.ts)
//   per worker      its numbers (breaths, ...) | MAX_LANES x COUNTER_COUNT doubles (mem/counters.ts)
//
// Control words are written by the control thread only, worker rows by their worker only, lane states by whoever holds the
// lane (its owner fetches; deliveries hold its lock).

import { COUNTER_COUNT } from "../mem/counters.ts";
import { LANE_STATE_LENGTH } from "../mem/lane-state.ts";

/** Ports of one switch; an fdb entry has 8 bits for one. */
export const MAX_PORTS = 256;
/** Queue pairs of one port. */
export const MAX_PAIRS = 8;
export const MAX_LANES = MAX_PORTS * MAX_PAIRS;

// Control words.
export const CLOCK_S = 0;
export const POLL_MODE = 1;
const PORT_WORDS = 16;
export const PORT_UP = 0;
/** Longest frame the port takes, in bytes with its Ethernet and VLAN headers. */
export const PORT_MAX_FRAME = 1;
const WORDS_PER_PORT = 2;
const CONTROL_LENGTH = PORT_WORDS + MAX_PORTS * WORDS_PER_PORT;

export const POLL_ADAPTIVE = 0;
export const POLL_BUSY = 1;
export const POLL_INTERRUPT = 2;

// Numbers of one worker.
export const WORKER_BREATHS = 0;
export const WORKER_BUSY_BREATHS = 1;
export const WORKER_SLEEPS = 2;
/** Taken from all ports. */
export const WORKER_FRAMES = 3;
/** Of its busy breaths, those that were timed, and the frames that came in them. */
export const WORKER_TIMED_BREATHS = 4;
export const WORKER_TIMED_FRAMES = 5;
/** The nanoseconds of these, by stage (mem/stages.ts). */
export const WORKER_STAGE_NS = 8;
/** A multiple of 8: the counters behind it begin with a cache line. */
const WORKER_LENGTH = 16;

const STATE_BYTES = CONTROL_LENGTH * 4;
const LANES_BYTES = MAX_LANES * LANE_STATE_LENGTH * 4;
const ROW_LENGTH = WORKER_LENGTH + MAX_LANES * COUNTER_COUNT;

export class SharedState {
  readonly control: Int32Array;
  /** States of all lanes, one behind the other. */
  readonly lanes: Int32Array;

  constructor(
    readonly buffer: SharedArrayBuffer,
    readonly workers: number,
  ) {
    this.control = new Int32Array(buffer, 0, CONTROL_LENGTH);
    this.lanes = new Int32Array(buffer, STATE_BYTES, MAX_LANES * LANE_STATE_LENGTH);
  }

  static allocate(workers: number): SharedState {
    // Pages that no lane uses are never touched, so they cost address space only.
    return new SharedState(new SharedArrayBuffer(STATE_BYTES + LANES_BYTES + workers * ROW_LENGTH * 8), workers);
  }

  /** Index in `control` of a port's word. */
  static portWord(port: number, word: number): number {
    return PORT_WORDS + port * WORDS_PER_PORT + word;
  }

  laneState(lane: number): Int32Array {
    return this.lanes.subarray(lane * LANE_STATE_LENGTH, (lane + 1) * LANE_STATE_LENGTH);
  }

  /** A worker's own numbers. */
  worker(worker: number): Float64Array {
    return this.row(worker).subarray(0, WORKER_LENGTH);
  }

  /** Counters of one lane at one worker. */
  counters(worker: number, lane: number): Float64Array {
    const start = WORKER_LENGTH + lane * COUNTER_COUNT;
    return this.row(worker).subarray(start, start + COUNTER_COUNT);
  }

  private row(worker: number): Float64Array {
    return new Float64Array(this.buffer, STATE_BYTES + LANES_BYTES + worker * ROW_LENGTH * 8, ROW_LENGTH);
  }
}
