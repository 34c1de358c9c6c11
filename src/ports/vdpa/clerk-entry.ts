// The clerk's Worker: takes one order at a time, in the order they came, and answers each. Ends when told to.

import { RingyardError } from "../../core/errors.ts";
import { endThread } from "../../sys/fd.ts";
import { attachNetns, attachVm, inspect, list, remove } from "./attach.ts";
import { vdpaAdd } from "./bus.ts";

declare const self: Worker;

const TASKS = { add: vdpaAdd, remove, inspect, list, attachNetns, attachVm };
export type Tasks = typeof TASKS;

/** What the control thread posts; `task` null ends the Worker. */
export type Order =
  | { [T in keyof Tasks]: { id: number; task: T; args: Parameters<Tasks[T]> } }[keyof Tasks]
  | { task: null };

/** What comes back. Errors cross as plain data. */
export type Answer =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; code: RingyardError["code"]; message: string; next?: string };

self.onmessage = ({ data: order }: MessageEvent<Order>) => {
  if (order.task === null) {
    endThread();
    process.exit(0);
  }
  self.postMessage(carryOut(order));
};

function carryOut({ id, task, args }: Exclude<Order, { task: null }>): Answer {
  try {
    return { id, ok: true, value: (TASKS[task] as (...args: unknown[]) => unknown)(...args) };
  } catch (error) {
    if (error instanceof RingyardError) {
      return { id, ok: false, code: error.code, message: error.message, next: error.next };
    }
    return { id, ok: false, code: "SYSTEM", message: `vdpa: ${error instanceof Error ? error.message : error}` };
  }
}
