// The switch in this process over memory ports, as most tests of forwarding want it: send, receive, and wait until every
// frame that was sent has been accounted for. That wait is also the check of the law of the switch,
//
//   rx + copies = tx + drops        over all ports, those removed included
//
// which is done for every switch when its test ends. Main thread of a test process.

import { afterEach, expect } from "bun:test";
import type { SwitchApi, SwitchLog, SwitchSettings } from "../../src/control/api.ts";
import { createSwitch } from "../../src/control/switch.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { type MemoryDriver, memoryDriver } from "../../src/ports/memory/driver.ts";
import { PATIENCE, until } from "./until.ts";

export const quiet: SwitchLog = { info() {}, warn() {}, error() {} };

const SETTLE_LIMIT_MS = 10_000;
/** For a hook that ends switches, which have to settle before; bun's own limit is 5 s. */
export const END_LIMIT_MS = 60_000 * PATIENCE;

export interface Received {
  header: Uint8Array;
  frame: Uint8Array;
}

export class MemorySwitch {
  /** Frames that drivers took for sending; sends through other kinds of ports are added by hand. */
  sent = 0;

  constructor(readonly api: SwitchApi) {}

  /** Adds `memory:NAME`, with the options of a URI's query. */
  async add(name: string, query = ""): Promise<void> {
    await this.api.addPort(parsePort(name, `memory:${name}${query === "" ? "" : `?${query}`}`, kinds));
  }

  driver(name: string): MemoryDriver {
    return memoryDriver(name);
  }

  /** Sends in one go; the port's ring has to have room. */
  send(name: string, ...frames: Uint8Array[]): void {
    for (const frame of frames) expect(this.trySend(name, frame)).toBe(true);
  }

  trySend(name: string, frame: Uint8Array, header?: Uint8Array): boolean {
    const taken = memoryDriver(name).send(frame, header);
    if (taken) this.sent++;
    return taken;
  }

  /** The next frames that arrive at a port, with their headers. */
  async receiveAll(name: string, count: number): Promise<Received[]> {
    const frames: Received[] = [];
    const arrived = () => {
      frames.push(...this.drain(name));
      return frames.length >= count;
    };
    await until(`${count} frames at ${name}`, arrived, { everyMs: 1, context: () => `${frames.length} arrived` });
    return frames;
  }

  async receive(name: string, count: number): Promise<Uint8Array[]> {
    return (await this.receiveAll(name, count)).map(({ frame }) => frame);
  }

  /** What is there now. */
  drain(name: string): Received[] {
    const frames: Received[] = [];
    const driver = memoryDriver(name);
    for (let next = driver.receiveWithHeader(); next !== null; next = driver.receiveWithHeader()) {
      frames.push({ header: next.header.slice(), frame: next.frame.slice() });
    }
    return frames;
  }

  /** Every frame sent was fetched, and each fetched one delivered or dropped: what has not arrived by now never will. */
  async settled(timeoutMs = SETTLE_LIMIT_MS): Promise<void> {
    const totals = () => this.api.stats().totals;
    await until(
      "rx + copies = tx + drops",
      () => {
        const { rxFrames, copies, txFrames, dropped } = totals();
        return rxFrames >= this.sent && rxFrames + copies === txFrames + dropped;
      },
      { everyMs: 1, timeoutMs, context: () => JSON.stringify({ sent: this.sent, ...totals() }) },
    );
  }

  /** Drops of a port by reason. */
  drops(name: string): Record<string, number> {
    return this.api.port(name).drops;
  }
}

/** Returns a function that starts a switch with memory ports of these names; it ends, lawfully, with its test. */
export function useMemorySwitch(): (settings: SwitchSettings, ...names: string[]) => Promise<MemorySwitch> {
  const open: MemorySwitch[] = [];
  afterEach(async () => {
    for (const it of open.splice(0)) {
      try {
        await it.settled();
      } finally {
        await it.api.close();
      }
    }
  }, END_LIMIT_MS);
  return async (settings, ...names) => {
    const started = new MemorySwitch(await createSwitch(settings, quiet));
    open.push(started);
    for (const name of names) await started.add(name);
    return started;
  };
}
