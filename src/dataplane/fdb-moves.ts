// The last moves of addresses from port to port, as workers note them under the fdb's lock (fdb-learn.ts), for who looks for addresses
// that move to and fro (control/flapping.ts).
//
// A reader takes what was noted since it looked last, the newest MOVES_KEPT at most: where more of them happened, those tell enough.
// Control thread.

import { formatMac } from "../core/mac.ts";
import { FDB_MOVES, FDB_MOVES_NOTED, type Fdb, MOVE_WORDS, MOVES_KEPT } from "./fdb-layout.ts";
import { locked } from "./fdb-table.ts";

export interface Move {
  readonly mac: string;
  /** 0: none. */
  readonly vid: number;
  readonly from: number;
  readonly to: number;
  /** Of the clock that all threads have. */
  readonly second: number;
}

export class MoveReader {
  private read: number;

  constructor(private readonly fdb: Fdb) {
    this.read = fdb.words[FDB_MOVES_NOTED];
  }

  /** The moves since the last call, the oldest first. */
  take(): Move[] {
    const { fdb, read } = this;
    if (Atomics.load(fdb.words, FDB_MOVES_NOTED) === read) return [];
    // A copy of 4 KiB is what the lock is held for.
    const { noted, words } = locked(fdb, () => ({
      noted: fdb.words[FDB_MOVES_NOTED],
      words: fdb.words.slice(FDB_MOVES, FDB_MOVES + MOVES_KEPT * MOVE_WORDS),
    }));
    this.read = noted;
    const count = Math.min((noted - read) >>> 0, MOVES_KEPT);
    return Array.from({ length: count }, (_, index) => moveAt(words, (noted - count + index) & (MOVES_KEPT - 1)));
  }
}

function moveAt(words: Int32Array, index: number): Move {
  const [lo, hiVid, ports, second] = words.subarray(index * MOVE_WORDS, (index + 1) * MOVE_WORDS);
  const mac = formatMac(lo, hiVid & 0xffff);
  return { mac, vid: hiVid >>> 16, from: (ports >>> 8) & 0xff, to: ports & 0xff, second };
}
