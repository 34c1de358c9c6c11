// Building a lane of a TAP port in the worker that will run it: the arena, then the queue (queue.ts, hot). The descriptor
// stays the control thread's, which closes it after the lane. Cold.

import { DELIVER_STATUS, FETCH_STATUS, RING_RUNNING } from "../../mem/lane-state.ts";
import { mapAnonymous, unmap } from "../../sys/memory.ts";
import type { Lane, LaneConfig, LaneContext } from "../port.ts";
import { DELIVER_ARENA_SIZE, OWNER_ARENA_SIZE, TapQueue } from "./queue.ts";

/** The LaneFactory of driver "tap". */
export function createTapLane(config: Extract<LaneConfig, { driver: "tap" }>, context: LaneContext): Lane {
  const { windows, counters, state, owner } = context;
  const size = owner ? OWNER_ARENA_SIZE : DELIVER_ARENA_SIZE;
  const address = mapAnonymous(size);
  let arena: number;
  try {
    arena = windows.add(address, size);
  } catch (error) {
    unmap(address, size);
    throw error;
  }
  if (owner) {
    state[FETCH_STATUS] = RING_RUNNING;
    state[DELIVER_STATUS] = RING_RUNNING;
  }
  const wakeFd = owner ? config.fd : -1;
  return new TapQueue(config.accepts, wakeFd, config.fd, windows, counters, state, arena, address, size);
}
