// The thread of rewriting-header-task.ts.

import { runToggleTask, type ToggleTask } from "./rewriting-header-task.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<ToggleTask>) => {
  runToggleTask(event.data);
  self.postMessage("stopped");
};
