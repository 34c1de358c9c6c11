// A switch in this process with fake NICs (fake-nic.ts) and whatever ports a test adds: workers, the registry of DMA memory and
// running ports as control/switch.ts puts them together, with a worker entry and a kind of its own.
//
// The fake address space remembers what is mapped. It looks, whenever memory is unmapped from it, whether a NIC is still to
// read there, and whether the memory has left the process already: either is what must never happen. Main thread of a test.

import { afterEach, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { DmaRegistry } from "../../src/control/dma.ts";
import { RunningPort } from "../../src/control/running-port.ts";
import { addCounters, emptyTotals, type LaneTotals } from "../../src/control/switch-stats.ts";
import { parsePort } from "../../src/control/uri.ts";
import { kinds } from "../../src/control/wiring.ts";
import { RingyardError } from "../../src/core/errors.ts";
import { Dispatcher } from "../../src/dataplane/dispatch.ts";
import { allocateFdb, type Fdb } from "../../src/dataplane/fdb-layout.ts";
import { fdbAddStatic } from "../../src/dataplane/fdb-table.ts";
import type { DmaSpace } from "../../src/mem/dma.ts";
import type { DmaProvision, Port, PortHost, PortKind, PortSpec } from "../../src/ports/port.ts";
import { Reactor } from "../../src/sys/reactor.ts";
import { FakeNicRing, IOVA_BASE } from "./fake-nic.ts";
import type { FakeNicConfig } from "./fake-nic-entry.ts";
import { type Mac, macText } from "./frames.ts";
import { until } from "./until.ts";

export class FakeSpace implements DmaSpace {
  readonly maps = new Map<number, number>();
  /** What must not happen, and did. */
  readonly violations: string[] = [];
  readonly nics = new Set<FakeNic>();
  unmaps = 0;
  /** Bytes that may be mapped. */
  limit = Number.POSITIVE_INFINITY;

  constructor(readonly door: "type1" | "iommufd" = "type1") {}

  get mappedSize(): number {
    return [...this.maps.values()].reduce((sum, size) => sum + size, 0);
  }

  map(address: number, size: number): number {
    if (address % 4096 !== 0 || size % 4096 !== 0) this.violations.push(`map of ${address}, ${size}: no pages`);
    if (this.mappedSize + size > this.limit) throw new RingyardError("LIMIT", "too little locked memory", "raise it");
    if (!isMapped(address)) this.violations.push("map of memory that is not there");
    this.maps.set(address + IOVA_BASE, size);
    return address + IOVA_BASE;
  }

  unmap(iova: number): void {
    const size = this.maps.get(iova);
    if (size === undefined) throw new RingyardError("NOT_FOUND", "was never mapped");
    this.maps.delete(iova);
    this.unmaps++;
    for (const nic of this.nics) {
      if (nic.ring.reads(iova, size)) this.violations.push(`${nic.name} reads in memory that is unmapped`);
    }
    if (!isMapped(iova - IOVA_BASE)) this.violations.push("memory left the process before it left the space");
  }
}

/** Whether the page at `address` belongs to this process. */
function isMapped(address: number): boolean {
  return readFileSync("/proc/self/maps", "latin1")
    .split("\n")
    .some((line) => {
      const [start, end] = line
        .split(" ", 1)[0]
        .split("-")
        .map((text) => Number.parseInt(text, 16));
      return address >= start && address < end;
    });
}

/** A NIC as a port. */
export class FakeNic {
  readonly ring = FakeNicRing.make();
  resets = 0;
  /** While it is set, a reset waits for it. */
  resetBusy: Promise<void> | undefined;
  private provision: DmaProvision | undefined;

  constructor(
    readonly name: string,
    readonly space: FakeSpace,
  ) {
    space.nics.add(this);
  }

  get kind(): PortKind {
    return {
      kind: "null",
      summary: "a fake NIC",
      targetForm: "",
      options: {},
      probe: () => ({ available: true }),
      open: (_spec: PortSpec, host: PortHost) => this.open(host),
    };
  }

  private async open(host: PortHost): Promise<Port> {
    const config = { driver: "null", ring: this.ring.address } as FakeNicConfig;
    this.provision = await host.provideDma(this.space, async () => {
      this.resets++;
      await host.closeLane(0);
      await this.resetBusy;
      this.ring.clear();
      this.provision?.settle();
      await host.openLane(0, config);
    });
    await host.openLane(0, config);
    host.setCarrier(true);
    return {
      details: () => ({}),
      close: async () => {
        await host.closeLane(0);
        this.ring.clear();
        await this.provision?.withdraw();
      },
    };
  }
}

export class NicSwitch {
  readonly warnings: string[] = [];
  readonly dispatcher: Dispatcher;
  readonly dma: DmaRegistry;
  readonly fdb: Fdb = allocateFdb(64);
  readonly nics: FakeNic[] = [];
  private readonly reactor = new Reactor();
  private readonly ports = new Map<string, RunningPort>();
  private readonly retired: LaneTotals = emptyTotals();
  private nextIndex = 0;

  constructor(workers: number) {
    const entry = new URL("./fake-nic-entry.ts", import.meta.url).href;
    this.dispatcher = new Dispatcher(new Array(workers).fill(-1), this.fdb, entry, (error) => {
      throw error;
    });
    this.dma = new DmaRegistry(this.dispatcher);
  }

  /** Adds a port; frames to `mac` go there. */
  async add(name: string, uri: string, mac?: Mac, kind?: PortKind): Promise<RunningPort> {
    const spec = parsePort(name, uri, kinds);
    const log = { info() {}, warn: (_: unknown, text: string) => void this.warnings.push(text), error() {} };
    const port = new RunningPort(spec, this.nextIndex++, this.dispatcher, this.dma, this.reactor, log);
    await port.open(kind ?? kinds[spec.kind]);
    this.ports.set(name, port);
    if (mac !== undefined) fdbAddStatic(this.fdb, macText(mac), port.index);
    return port;
  }

  async addNic(name: string, mac: Mac, space: FakeSpace): Promise<FakeNic> {
    const nic = new FakeNic(name, space);
    this.nics.push(nic);
    await this.add(name, "null:", mac, nic.kind);
    return nic;
  }

  async remove(name: string): Promise<void> {
    const port = this.port(name);
    this.ports.delete(name);
    await port.close();
    await this.dispatcher.callAll({ op: "ping" });
    addCounters(this.retired, this.dispatcher, port.index);
  }

  port(name: string): RunningPort {
    const port = this.ports.get(name);
    if (port === undefined) throw new Error(`no port ${name}`);
    return port;
  }

  counts(name: string) {
    return this.port(name).info(0, 0);
  }

  totals(): LaneTotals {
    const totals = { ...this.retired };
    for (const { index } of this.ports.values()) addCounters(totals, this.dispatcher, index);
    return totals;
  }

  async lawful(): Promise<void> {
    const holds = () => {
      const { rxFrames, copies, txFrames, dropped } = this.totals();
      return rxFrames + copies === txFrames + dropped;
    };
    await until("rx + copies = tx + drops", holds, { everyMs: 1, context: () => JSON.stringify(this.totals()) });
  }

  async close(): Promise<void> {
    try {
      await this.lawful();
    } finally {
      await this.dispatcher.callAll({ op: "fetch", on: false });
      for (const name of [...this.ports.keys()]) await this.remove(name);
      await this.dispatcher.stop();
      await this.reactor.close();
    }
    for (const { name, ring, space } of this.nics) {
      expect(space.violations).toEqual([]);
      expect(space.maps.size).toBe(0);
      expect(`${name}: ${ring.wrong} wrong frames`).toBe(`${name}: 0 wrong frames`);
      ring.close();
    }
  }
}

/** Returns a function that starts a switch; it is checked and closed with its test. */
export function useNicSwitch(): (workers?: number) => NicSwitch {
  const open: NicSwitch[] = [];
  afterEach(async () => {
    for (const it of open.splice(0)) await it.close();
  });
  return (workers = 1) => {
    const it = new NicSwitch(workers);
    open.push(it);
    return it;
  };
}
