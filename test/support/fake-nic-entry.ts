// A dataplane worker whose "null" lanes are fake NICs (fake-nic.ts).

import { drivers } from "../../src/control/lane-drivers.ts";
import { DataplaneWorker, type WorkerStart } from "../../src/dataplane/worker.ts";
import type { LaneConfig, LaneContext } from "../../src/ports/port.ts";
import { FakeNicLane } from "./fake-nic.ts";

declare const self: Worker;

/** What the fake NIC's port opens its lane with; crosses the mailbox in the place of a NullLane's. */
export type FakeNicConfig = { driver: "null"; ring: number };

self.onmessage = (event: MessageEvent<WorkerStart>) => {
  const nic = (config: LaneConfig, context: LaneContext) => new FakeNicLane((config as FakeNicConfig).ring, context);
  new DataplaneWorker(event.data, { ...drivers, null: nic }).run();
  process.exit(0);
};
