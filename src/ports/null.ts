// The port kind `null:`: a sink. Every frame that the switch sends there counts as sent and is gone; none comes from it.
// For benches (what the switch costs without a receiver) and for static entries that make an address a black hole.
// It has no driver, so `mac` and `offload` say nothing about it. Control thread, but for `createNullLane` (worker, cold).

import { NullLane } from "./null-lane.ts";
import type { Lane, LaneContext, Port, PortHost, PortKind, PortSpec } from "./port.ts";

export const nullPort: PortKind = {
  kind: "null",
  summary: "takes every frame and forgets it",
  targetForm: "",
  options: {},
  probe: () => ({ available: true }),
  open: openNull,
};

/** The LaneFactory of driver "null". */
export function createNullLane(context: LaneContext): Lane {
  return new NullLane(context.counters);
}

async function openNull(spec: PortSpec, host: PortHost): Promise<Port> {
  const queues = spec.options.queues ?? 1;
  const close = async () => {
    for (let pair = 0; pair < queues; pair++) await host.closeLane(pair);
  };
  try {
    for (let pair = 0; pair < queues; pair++) await host.openLane(pair, { driver: "null" });
  } catch (error) {
    await close();
    throw error;
  }
  host.setCarrier(true);
  return { details: () => ({}), close };
}
