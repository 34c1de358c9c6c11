// HOT
// A burst as runs of frames that have one key: most frames are of their neighbour's flow, and where ports have policies, guards
// and rules are asked once for all of a run (rules alone: plain-flows.ts).
//
//   frames   0 1 2 3 | 4 | 5 6 7       runs   start 0 4 5 8
//
// Runs are for plain IPv4 (plain-header.ts). Any other frame is a run of its own.

import { BURST } from "../../mem/batch.ts";
import { type HeaderArena, SLOT_WORDS, slotStart } from "./header-arena.ts";
import { FRAGMENT_PROTOCOL_BITS, flagBits, HIGH_HALF, isPlain, LOW_HALF } from "./plain-header.ts";

export class FlowRuns {
  count = 0;
  /** Run r is of the frames from start[r] on to before start[r + 1]. */
  readonly start = new Int32Array(BURST + 1);
}

/** Divides the first `count` frames of the arena into runs. */
export function findRuns(runs: FlowRuns, arena: HeaderArena, count: number): void {
  const { words } = arena;
  const { length } = arena.judged;
  const { start } = runs;
  let run = -1;
  let first = 0;
  // Whether the run's first frame, which begins at word `first`, is plain.
  let comparable = false;
  let flags = 0;
  let at = slotStart(0) >> 2;
  for (let i = 0; i < count; i++, at += SLOT_WORDS) {
    const plain = isPlain(words[at + 3], words[at + 4], length[i]);
    // First what mostly differs between flows.
    if (plain && comparable && words[at + 8] === words[first + 8] && words[at + 7] === words[first + 7]) {
      const differs =
        (words[at] ^ words[first]) |
        (words[at + 1] ^ words[first + 1]) |
        (words[at + 2] ^ words[first + 2]) |
        (words[at + 3] ^ words[first + 3]) |
        ((words[at + 5] ^ words[first + 5]) & FRAGMENT_PROTOCOL_BITS) |
        ((words[at + 6] ^ words[first + 6]) & HIGH_HALF) |
        ((words[at + 9] ^ words[first + 9]) & LOW_HALF) |
        ((words[at + 11] ^ words[first + 11]) & flags);
      if (differs === 0) continue;
    }
    start[++run] = i;
    first = at;
    comparable = plain;
    flags = flagBits(words[at + 5]);
  }
  runs.count = run + 1;
  start[run + 1] = count;
}
