// The memory of one capture: for each worker a ring of frames, and how many it met of what it looks for. Made when the capture begins,
// gone when no worker runs a plan that knows it.
//
//   per worker   ring (rules/event-ring.ts), records as below | frames met at each DROP_* counter: doubles
//
//   record   0 what (TAPPED_*) | 4 port | 8 reason | 12 length of the frame | 16 bytes of it that follow
//            | 20 microseconds | 24 seconds, 32 bits of them | 28 unused | those bytes                all little-endian words
//
// `port` is where the frame came in, or for TAPPED_OUT where it goes out; `reason` a DROP_* counter, or the id of a rule. A frame that finds
// no room in the ring is counted there: no worker waits for a reader. Control thread; workers make their own views by `tapLayout`.

import { COUNTER_COUNT } from "../../mem/counters.ts";
import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import { EventRing, lostEvents, ringBytes } from "../rules/event-ring.ts";

/** What a record shows. */
export const TAPPED_IN = 0;
export const TAPPED_OUT = 1;
export const TAPPED_DROP = 2;
export const TAPPED_RULE = 3;
export const TAP_HEADER_SIZE = 32;
/** The only kind of record in these rings. */
export const EVENT_TAPPED = 1;

/** Two thousand frames of 1514 bytes, or fifty of the longest. A record is an eighth of it at most. */
export const TAP_RING_SIZE = 1 << 22;
const LINE = 64;

interface Place {
  at: number;
  size: number;
}

/** Where one worker's parts are. `ring.size` is the ring's capacity. */
export interface TapLayout {
  size: number;
  ring: Place;
  met: Place;
}

export function tapLayout(workers: number, worker: number): TapLayout {
  const ring = Math.ceil(ringBytes(TAP_RING_SIZE) / LINE) * LINE;
  const met = COUNTER_COUNT * 8;
  const own = ring + met;
  return {
    size: workers * own,
    ring: { at: worker * own, size: TAP_RING_SIZE },
    met: { at: worker * own + ring, size: met },
  };
}

export class TapMemory {
  readonly address: number;
  readonly rings: readonly EventRing[];
  private readonly size: number;
  private readonly met: readonly Float64Array[];

  constructor(workers: number) {
    const layouts = Array.from({ length: workers }, (_, worker) => tapLayout(workers, worker));
    this.size = layouts[0].size;
    this.address = mapAnonymous(this.size);
    const buffer = viewOf(this.address, 0, this.size);
    this.rings = layouts.map(({ ring }) => new EventRing(buffer, ring.at, ring.size));
    this.met = layouts.map(({ met }) => new Float64Array(buffer, met.at, COUNTER_COUNT));
  }

  /** Frames dropped under a DROP_* counter that were at hand, whether the filter took them or not. */
  dropsMet(counter: number): number {
    return this.met.reduce((sum, row) => sum + row[counter], 0);
  }

  /** Frames that found no room. */
  lost(): number {
    return this.rings.reduce((sum, ring) => sum + lostEvents(ring), 0);
  }

  /** No worker knows of it any more. */
  close(): void {
    unmap(this.address, this.size);
  }
}
