// Whether the transmitter stands still: it has descriptors and a link, and nothing leaves. A device that hangs says so nowhere else.
// control/dma.ts looks after frames that are read in their senders' memory; copies have no tickets, and a NIC that is given nothing
// else would drop all that comes, for good.
//
//   look 1: TDH 7, TDT 9, 500 packets    look 2: the same    look 3, three seconds later: the same -> still
//
// Control thread, about once a second.

import type { Registers } from "../registers.ts";
import { E1000_STATUS, E1000_STATUS_LU } from "./registers.ts";
import { GONE } from "./reset.ts";

/** As long as control/dma.ts waits, and as often as it looks after the first time. */
const STILL_MS = 3000;
const STILL_LOOKS = 2;
/** TDH is two registers before TDT, in both families. */
const HEAD_BEFORE_TAIL = 8;

export class TransmitWatch {
  /** True for good: only a reset helps, which comes with another watch. */
  still = false;
  private readonly seen = new Map<number, { head: number; sinceMs: number; looks: number }>();
  private packets = -1;

  constructor(
    private readonly registers: Registers,
    /** Offsets of the queues' tail registers. */
    private readonly tails: readonly number[],
  ) {}

  /** `packets`: how many the device has sent so far, by any queue: a busy ring may have the same head in several looks. */
  look(packets: number, nowMs: number): void {
    const { registers, seen } = this;
    const status = registers.read32(E1000_STATUS);
    // Without a link nothing can leave, and nothing is wrong.
    if (status === GONE || (status & E1000_STATUS_LU) === 0 || packets !== this.packets) seen.clear();
    this.packets = packets;
    if (status === GONE || (status & E1000_STATUS_LU) === 0) return;
    for (const tail of this.tails) {
      const head = registers.read32(tail - HEAD_BEFORE_TAIL);
      const before = seen.get(tail);
      if (head === registers.read32(tail)) seen.delete(tail);
      else if (before?.head !== head) seen.set(tail, { head, sinceMs: nowMs, looks: 1 });
      else if (++before.looks > STILL_LOOKS && nowMs - before.sinceMs >= STILL_MS) this.still = true;
    }
  }
}
