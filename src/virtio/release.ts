// HOT
// Giving the buffers of a burst back to their driver, when its frames are no longer read.
//
//   releaseBurst   the usual case: all of them, at once
//   releaseHeld    a NIC still reads some: heads queue up (mem/held.ts) and go back in order, as far as they are free
//
// In order, since used.idx is where a restarted switch goes on. One publish and at most one call each time.

import { publish32 } from "../mem/access.ts";
import type { Batch } from "../mem/batch.ts";
import { countFree, forget, hold } from "../mem/held.ts";
import { FETCH_CALL, FETCH_USED, HELD } from "../mem/lane-state.ts";
import type { Fetcher } from "./fetch.ts";
import { publishUsed } from "./notify.ts";

/** Gives back every buffer taken: the frames are no longer read. */
export function releaseBurst(fetcher: Fetcher): void {
  const taken = fetcher.taken;
  if (taken === 0) return;
  fetcher.taken = 0;
  const ring = fetcher.ring;
  const state = fetcher.state;
  const usedRing = ring.usedRing;
  const heads = fetcher.heads;
  const previous = state[FETCH_USED];
  let next = previous;
  for (let index = 0; index < taken; index++) {
    const entry = (next & ring.mask) << 1;
    usedRing[entry] = heads[index];
    usedRing[entry + 1] = 0;
    next = (next + 1) & 0xffff;
  }
  state[FETCH_USED] = next;
  publishUsed(ring, previous, next, state, FETCH_CALL, fetcher.counters);
}

/** The same where frames of this burst, or of earlier ones, are held. Called every breath until none is. */
export function releaseHeld(fetcher: Fetcher, batch: Batch): void {
  const { held, ring, state } = fetcher;
  const before = held.count;
  holdBurst(fetcher, batch);
  const count = countFree(held, fetcher.transmitters);
  if (count > 0) {
    const { buffer, first, mask } = held;
    const { usedRing } = ring;
    const previous = state[FETCH_USED];
    let next = previous;
    for (let n = 0; n < count; n++) {
      const entry = (next & ring.mask) << 1;
      usedRing[entry] = buffer[(first + n) & mask];
      usedRing[entry + 1] = 0;
      next = (next + 1) & 0xffff;
    }
    state[FETCH_USED] = next;
    forget(held, count);
    publishUsed(ring, previous, next, state, FETCH_CALL, fetcher.counters);
  }
  if (held.count !== before) publish32(state, HELD, held.count);
}

/**
 * Appends the burst's heads. Head k has frame k, or an earlier one where chains before it gave no frame: then it waits for a
 * later frame of its burst than it has to, and for its own all the same, since that one's ticket is with a head before it.
 */
function holdBurst(fetcher: Fetcher, batch: Batch): void {
  const { heads, held, taken } = fetcher;
  const { heldBy, ticket } = batch;
  fetcher.taken = 0;
  for (let k = 0; k < taken; k++) hold(held, heads[k], heldBy[k], ticket[k]);
}
