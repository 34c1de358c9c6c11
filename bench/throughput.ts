// Frames per second through a switch under a client: started, measured, stopped, and cleaned up after whatever happens.

import type { Running, System } from "./peers/system.ts";
import type { Context } from "./suite.ts";
import { Undo } from "./undo.ts";

/** Drives a switch's two ports, on CPU 1. */
export interface Client {
  /** Lets frames run; returns millions received per second on both ports together, one reading a second. */
  measure(seconds: number): Promise<number[]>;
  quit(): Promise<void>;
}

/** Connects a client to the sockets of a switch. */
export type Attach = (sockets: Running["sockets"], undo: Undo) => Promise<Client>;

/** Starts a system and connects a client, for `body` to measure; ends both. */
export async function underLoad<R extends Running, C extends Client, T>(
  system: { start(quota: number, undo: Undo): Promise<R> },
  attach: (sockets: Running["sockets"], undo: Undo) => Promise<C>,
  context: Context,
  body: (running: R, client: C) => Promise<T>,
): Promise<T> {
  const undo = new Undo();
  const unwind = context.undo.defer(() => undo.unwind());
  try {
    const running = await system.start(context.quota, undo);
    const client = await attach(running.sockets, undo);
    await running.connected?.();
    const measured = await body(running, client);
    await client.quit();
    await running.stop();
    return measured;
  } finally {
    await unwind();
  }
}

export function throughput(system: System, attach: Attach, context: Context): Promise<number[]> {
  return underLoad(system, attach, context, (_, client) => client.measure(context.seconds));
}
