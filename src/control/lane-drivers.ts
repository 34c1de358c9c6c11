// The lane drivers by name, as a LaneConfig names them: what a worker thread loads of the port kinds.

import { createNullLane } from "../ports/null.ts";
import type { LaneConfig, LaneFactory } from "../ports/port.ts";
import { createTapLane } from "../ports/tap/lane.ts";
import { createIntelLane } from "../ports/vfio/intel/lane-open.ts";
import { openVirtioNicLane } from "../ports/vfio/virtio/lane.ts";
import { openVirtqueueLane } from "../virtio/virtqueue-open.ts";

type ConfigOf<Driver> = Extract<LaneConfig, { driver: Driver }>;

export const drivers: Readonly<Record<LaneConfig["driver"], LaneFactory>> = {
  virtqueue: (config, context) => openVirtqueueLane(config as ConfigOf<"virtqueue">, context),
  tap: (config, context) => createTapLane(config as ConfigOf<"tap">, context),
  intel: (config, context) => createIntelLane(config as ConfigOf<"intel">, context),
  "virtio-nic": (config, context) => openVirtioNicLane(config as ConfigOf<"virtio-nic">, context),
  null: (_config, context) => createNullLane(context),
};
