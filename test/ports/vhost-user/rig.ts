// A switch in this process with vhost-user ports on sockets of its own and two memory ports, `left` and `right`, that have
// to go on whatever the front ends do. One switch serves a file's tests; front ends are closed with each test.
//
// Main thread of a test process.

import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SwitchLog, SwitchSettings } from "../../../src/control/api.ts";
import { createSwitch } from "../../../src/control/switch.ts";
import { parsePort } from "../../../src/control/uri.ts";
import { kinds } from "../../../src/control/wiring.ts";
import { frame, type Mac, mac } from "../../support/frames.ts";
import { FrontEnd, type FrontEndOptions } from "../../support/frontend.ts";
import { END_LIMIT_MS, MemorySwitch } from "../../support/memory-switch.ts";
import { until } from "../../support/until.ts";

export const LEFT: Mac = mac(0xa1);
export const RIGHT: Mac = mac(0xa2);
export const VM: Mac = mac(0xb1);

export class VhostRig {
  readonly scratch = mkdtempSync(join(tmpdir(), "ringyard-vhost-"));
  /** Warnings of the switch, in order. */
  readonly warnings: string[] = [];
  readonly frontEnds = new Set<FrontEnd>();
  memory!: MemorySwitch;

  async open(settings: SwitchSettings): Promise<void> {
    const log: SwitchLog = { info() {}, warn: (_facts, text) => this.warnings.push(text), error() {} };
    this.memory = new MemorySwitch(await createSwitch(settings, log));
    await this.memory.add("left");
    await this.memory.add("right");
    // Known places: frames between them go nowhere else.
    this.memory.api.fdbAdd("02:00:00:00:00:a1", "left");
    this.memory.api.fdbAdd("02:00:00:00:00:a2", "right");
  }

  get api() {
    return this.memory.api;
  }

  path(name: string): string {
    return join(this.scratch, `${name}.sock`);
  }

  async add(name: string, query = ""): Promise<void> {
    const uri = `vhost-user:${this.path(name)}${query === "" ? "" : `?${query}`}`;
    await this.api.addPort(parsePort(name, uri, kinds));
  }

  /** A front end of this port that is not connected yet. */
  frontEnd(name: string, options?: FrontEndOptions): FrontEnd {
    const made = new FrontEnd(this.path(name), options);
    this.frontEnds.add(made);
    return made;
  }

  async connected(name: string, options?: FrontEndOptions): Promise<FrontEnd> {
    const made = this.frontEnd(name, options);
    await made.connect();
    return made;
  }

  async started(name: string, options?: FrontEndOptions): Promise<FrontEnd> {
    const made = await this.connected(name, options);
    await made.start();
    return made;
  }

  /** A frame from `left` to `right` and one back. */
  async othersPass(): Promise<void> {
    this.memory.send("left", frame(RIGHT, LEFT, 100));
    expect(await this.memory.receive("right", 1)).toEqual([frame(RIGHT, LEFT, 100)]);
    this.memory.send("right", frame(LEFT, RIGHT, 101));
    expect(await this.memory.receive("left", 1)).toEqual([frame(LEFT, RIGHT, 101)]);
  }

  /** A frame from a front end to `left`, and one back. */
  async passes(vm: FrontEnd, size = 80, pair = 0): Promise<void> {
    const there = frame(LEFT, VM, size);
    expect(vm.send(there, undefined, pair)).toBe(true);
    expect(await this.memory.receive("left", 1)).toEqual([there]);
    const back = frame(VM, LEFT, size + 1);
    this.memory.send("left", back);
    expect(await vm.receive()).toEqual(back);
  }

  /** Hangs a front end up and waits until nothing of it is left. */
  async drop(vm: FrontEnd, name: string): Promise<void> {
    this.frontEnds.delete(vm);
    vm.close();
    await this.idle(name);
  }

  /** A well-behaved front end comes to a port, passes frames and goes; so do frames between others. */
  async expectUsable(name: string): Promise<void> {
    const vm = await this.started(name);
    await this.passes(vm);
    await this.othersPass();
    await this.drop(vm, name);
  }

  /** Errors counted on a port, by name. */
  error(port: string, name: string): number {
    return this.api.port(port).errors[name] ?? 0;
  }

  /** Waits until a port has no connection, and all that it held has been given back. */
  async idle(name: string): Promise<void> {
    await until(`${name} to be disconnected`, () => this.api.port(name).details.connected === false, { everyMs: 1 });
  }

  closeFrontEnds(): void {
    for (const frontEnd of this.frontEnds) frontEnd.close();
    this.frontEnds.clear();
  }

  async close(): Promise<void> {
    this.closeFrontEnds();
    try {
      await this.memory.settled();
    } finally {
      await this.api.close();
      rmSync(this.scratch, { recursive: true });
    }
  }
}

/** A rig for the file, its switch open before the first test; `ports` are vhost-user ports by name and query. */
export function useVhostRig(ports: Record<string, string>, settings: SwitchSettings = {}): VhostRig {
  const rig = new VhostRig();
  beforeAll(async () => {
    await rig.open(settings);
    for (const [name, query] of Object.entries(ports)) await rig.add(name, query);
  });
  afterEach(async () => {
    rig.closeFrontEnds();
    for (const name of Object.keys(ports)) await rig.idle(name);
    rig.warnings.length = 0;
  }, END_LIMIT_MS);
  afterAll(() => rig.close(), END_LIMIT_MS);
  return rig;
}
