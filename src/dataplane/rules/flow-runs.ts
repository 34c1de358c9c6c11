// HOT
// A burst as runs of frames that have one key: most frames are of their neighbour's flow, and where ports have policies, guards
// and rules are asked once for all of a run (rules alone: plain-flows.ts).
//
//   frames   0 1 2 3 | 4 | 5 6 7       runs   start 0 4 5 8
//
// Runs are for plain IPv4, whose keys depend on fixed places; little-endian words from the frame's start, and what counts of them:
//
//   0 1 2 addresses   3 type, version, header length, TOS   4 total length   5 fragment, protocol   6 7 8 addresses, and ports
//   in 8 and 9        11 TCP flags
//
// Lengths decide which headers are present. With 20 bytes behind the IPv4 header, every L4 header of a key is; so of frames
// that have those no more is asked. Any other frame is a run of its own.

import { BURST } from "../../mem/batch.ts";
import { type HeaderArena, PLAIN, PLAIN_BITS, SLOT_WORDS, slotStart } from "./header-arena.ts";

const FRAGMENT_PROTOCOL_BITS = 0xff00ffff | 0;
const HIGH_HALF = 0xffff0000 | 0;
const LOW_HALF = 0xffff;
const TCP = 6;
const TCP_FLAG_BITS = 0xff0f0000 | 0;
/** IPv4 and TCP headers without options: the largest L4 header of a key. */
const WHOLE_PACKET = 20 + 20;
const WHOLE_FRAME = 14 + WHOLE_PACKET;

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
  let flagBits = 0;
  let at = slotStart(0) >> 2;
  for (let i = 0; i < count; i++, at += SLOT_WORDS) {
    const word3 = words[at + 3];
    const total = words[at + 4];
    const isPlain =
      (word3 & PLAIN_BITS) === PLAIN &&
      length[i] >= WHOLE_FRAME &&
      (((total & 0xff) << 8) | ((total >>> 8) & 0xff)) >= WHOLE_PACKET;
    // First what mostly differs between flows.
    if (isPlain && comparable && words[at + 8] === words[first + 8] && words[at + 7] === words[first + 7]) {
      const differs =
        (words[at] ^ words[first]) |
        (words[at + 1] ^ words[first + 1]) |
        (words[at + 2] ^ words[first + 2]) |
        (word3 ^ words[first + 3]) |
        ((words[at + 5] ^ words[first + 5]) & FRAGMENT_PROTOCOL_BITS) |
        ((words[at + 6] ^ words[first + 6]) & HIGH_HALF) |
        ((words[at + 9] ^ words[first + 9]) & LOW_HALF) |
        ((words[at + 11] ^ words[first + 11]) & flagBits);
      if (differs === 0) continue;
    }
    start[++run] = i;
    first = at;
    comparable = isPlain;
    flagBits = words[at + 5] >>> 24 === TCP ? TCP_FLAG_BITS : 0;
  }
  runs.count = run + 1;
  start[run + 1] = count;
}
