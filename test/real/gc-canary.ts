// A dataplane worker with a flaw, for gc.test.ts: its lanes make a small object for each burst that they fetch, of some 150 bytes: a few thousand
// bursts are a collection, so that there is one in a window of a busy machine, too.

import { drivers } from "../../src/control/lane-drivers.ts";
import { DataplaneWorker, type WorkerStart } from "../../src/dataplane/worker.ts";
import type { LaneFactory } from "../../src/ports/port.ts";

declare const self: Worker;

let last = { count: 0, sizes: [0] };

const virtqueue: LaneFactory = (config, context) => {
  const lane = drivers.virtqueue(config, context);
  const fetch = lane.fetch.bind(lane);
  lane.fetch = (batch) => {
    const count = fetch(batch);
    if (count > 0) last = { count, sizes: Array.from(batch.length.subarray(0, 16)) };
    return count;
  };
  return lane;
};

self.onmessage = (event: MessageEvent<WorkerStart>) => {
  new DataplaneWorker(event.data, { ...drivers, virtqueue }).run();
  // What is never read need not be made.
  process.exit(last.count < 0 ? 1 : 0);
};
