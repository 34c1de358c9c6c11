// A lane of a real NIC, whose worker the test is.

import { Batch } from "../../src/mem/batch.ts";
import type { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { macText } from "./frames.ts";
import { until } from "./until.ts";

/** Takes one burst of what waits at a lane; returns how many frames that were. */
export function drained(lane: Lane): number {
  const took = new Batch();
  const count = lane.fetch(took);
  lane.release(took);
  return count;
}

/** Takes all that waits at a lane over `windows`; returns how many frames of it are for `mac`. */
export function drainedFor(mac: string, lane: Lane, windows: WindowTable): number {
  const took = new Batch();
  let found = 0;
  for (;;) {
    took.reset();
    const count = lane.fetch(took);
    for (let i = 0; i < count; i++) {
      const start = took.pool.offset[took.first[i]];
      const bytes = windows.u8[took.pool.window[took.first[i]]].subarray(start, start + 6);
      if (macText([...bytes]) === mac) found++;
    }
    lane.release(took);
    if (count === 0) return found;
  }
}

/**
 * Arms the lane when nothing waits there: then it has no work, and no interrupt comes. Again and again, since the kernel at the
 * other end of the cable may speak at any time. `looked` runs before each look, to put away what else signals.
 */
export async function asleep(lane: Lane, looked?: () => void): Promise<void> {
  await until("a lane without work or an interrupt", () => {
    if (drained(lane) > 0) return false;
    looked?.();
    clearSignal(lane.wakeFd);
    if (!lane.arm() && !clearSignal(lane.wakeFd)) return true;
    lane.disarm();
    return false;
  });
}
