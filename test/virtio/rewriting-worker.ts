// The thread of rewriting.test.ts; what it does is in rewriting-task.ts.

import { type RewriteTask, runRewriter } from "./rewriting-task.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<RewriteTask>) => {
  runRewriter(event.data);
  self.postMessage("stopped");
};
