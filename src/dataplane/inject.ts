// Frames of the control thread's own, on their way out of one port: the worker copies each into memory of its own and delivers it as
// one that a neighbour sent, under the lane's lock and the port's limits.
//
//   control thread --mailbox: { op: "send", port, frame }--> Injector.send -> deliverTo -> the port's lane
//
// No port sent it, so it counts as a copy at the port it goes to: rx + copies = tx + drops holds. Worker thread, between two bursts;
// memory is mapped for the first one. Cold.

import { RingyardError } from "../core/errors.ts";
import { Batch, MAX_FRAME } from "../mem/batch.ts";
import { COPIES, DROP_LINK_DOWN } from "../mem/counters.ts";
import type { WindowTable } from "../mem/window.ts";
import { mapAnonymous, unmap } from "../sys/memory.ts";
import type { Fallback } from "./fallback.ts";
import { deliverTo } from "./forward.ts";
import type { Tables } from "./tables.ts";

const SIZE = (MAX_FRAME + 4095) & ~4095;
const ONLY = Int32Array.of(0);

export class Injector {
  private readonly batch = new Batch(1, 1);
  private readonly address = mapAnonymous(SIZE);
  private readonly window: number;

  constructor(private readonly windows: WindowTable) {
    this.window = windows.add(this.address, SIZE);
    this.batch.pool.window[0] = this.window;
    this.batch.segments[0] = 1;
  }

  /** Delivers a plain frame. A port that never had a lane has no counters: then nothing is sent or counted. */
  send(tables: Tables, fallback: Fallback, port: number, frame: Uint8Array): void {
    if (frame.length > MAX_FRAME) throw new RingyardError("LIMIT", `a frame of ${frame.length} bytes cannot be sent`);
    const counters = tables.outCounters[port];
    if (counters === null) return;
    counters[COPIES]++;
    if (tables.outCount[port] === 0) {
      counters[DROP_LINK_DOWN]++;
      return;
    }
    const { batch, window, windows } = this;
    windows.u8[window].set(frame);
    batch.reset();
    batch.count = batch.pool.count = 1;
    batch.length[0] = batch.pool.length[0] = frame.length;
    tables.longest = frame.length;
    deliverTo(tables, fallback, batch, port, ONLY, 1);
  }

  /** The worker ends. */
  close(): void {
    this.windows.remove(this.window);
    unmap(this.address, SIZE);
  }
}
