// The dataplane worker's thread: waits for its start message, then runs until told to stop.

import { DataplaneWorker, type WorkerStart } from "../dataplane/worker.ts";
import { drivers } from "./lane-drivers.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<WorkerStart>) => {
  new DataplaneWorker(event.data, drivers).run();
  process.exit(0);
};
