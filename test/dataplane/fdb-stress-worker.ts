// The thread of fdb-stress.ts; what it does is in fdb-stress-task.ts.

import { runStress, type StressTask } from "./fdb-stress-task.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<StressTask>) => {
  runStress(event.data);
  self.postMessage("stopped");
};
