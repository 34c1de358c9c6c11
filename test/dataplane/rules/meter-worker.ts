// The thread of meter-task.ts.

import { type MeterTask, runMeterTask } from "./meter-task.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<MeterTask>) => self.postMessage(runMeterTask(event.data));
