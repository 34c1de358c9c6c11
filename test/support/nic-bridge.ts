// Two NICs of a machine driven in this process, without a switch: what comes in at one goes out at the other, whenever this thread
// waits for something else. Their partners are devices of two network namespaces.
//
//   namespace a - partner ══ NIC - driver - this loop - driver - NIC ══ partner - namespace b
//
//   const { bridged, left, right } = useNicBridge("e1000e");
//   await bridged({}, async (a, b) => ping(a, b.ip));
//
// Main thread of a test process, in a virtual machine with NICs.

import { expect } from "bun:test";
import { existsSync } from "node:fs";
import type { NicModel } from "../../scripts/vm/nics.ts";
import { drivers as laneDrivers } from "../../src/control/lane-drivers.ts";
import { Batch, BURST, OFFLOAD_ALL } from "../../src/mem/batch.ts";
import { COUNTER_COUNT, FIRST_DROP, FIRST_FAULT, RX_FRAMES, TX_FRAMES } from "../../src/mem/counters.ts";
import { Transmitters } from "../../src/mem/held.ts";
import { LANE_STATE_LENGTH } from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import type { VectorKind } from "../../src/ports/vfio/device/interrupts.ts";
import { openVfioDevice } from "../../src/ports/vfio/device/open.ts";
import type { VfioDevice } from "../../src/ports/vfio/device/vfio-device.ts";
import { NIC_DRIVERS } from "../../src/ports/vfio/drivers.ts";
import type { Nic as DrivenNic, NicOptions, PciFunction } from "../../src/ports/vfio/nic.ts";
import { useCleanup } from "./cleanup.ts";
import { useNamespaces } from "./netns.ts";
import { bind, dmaFaults, type Nic, nics, partnerHost } from "./nics.ts";
import type { Host } from "./traffic.ts";

const USUAL: NicOptions = { queues: 1, rxDescriptors: 256, txDescriptors: 256, promisc: true, offload: OFFLOAD_ALL };
const EVERY = Int32Array.from({ length: BURST }, (_, i) => i);

/** The ways to a device that this kernel has. */
export const DOORS = (["type1", "iommufd"] as const).filter((door) => door === "type1" || existsSync("/dev/iommu"));
export type Door = (typeof DOORS)[number];

export interface EndOptions extends Partial<NicOptions> {
  door?: Door;
  /** What the driver is told that the device has, and no more: one vector of this kind. */
  interrupts?: VectorKind;
}

/** A NIC in use, all of its pairs in this thread. */
export class NicEnd {
  readonly counters = new Float64Array(COUNTER_COUNT);
  readonly states: Int32Array[];
  readonly lanes: Lane[];
  /** Frames that came in by each pair. */
  readonly received: number[];

  private constructor(
    readonly device: VfioDevice,
    readonly nic: DrivenNic,
    readonly windows: WindowTable,
  ) {
    this.states = Array.from({ length: nic.pairs }, () => new Int32Array(LANE_STATE_LENGTH));
    this.received = this.states.map(() => 0);
    const zeroCopy = { self: 1, iova: windows.iova, transmitters: new Transmitters(new Int32Array(0)) };
    this.lanes = this.states.map((state, pair) => {
      const config = nic.lane(pair);
      const context = { windows, state, counters: this.counters, shared: false, owner: true, zeroCopy };
      const lane = laneDrivers[config.driver](config, context);
      lane.disarm();
      return lane;
    });
    nic.start();
  }

  /** Opens the NIC as a port does, its lanes over `windows`. */
  static async open(pci: string, windows: WindowTable, options: EndOptions = {}): Promise<NicEnd> {
    const { door = "auto", interrupts, ...wanted } = options;
    const device = openVfioDevice(pci, { door });
    try {
      const driver = NIC_DRIVERS.find((each) => each.matches(device.vendor, device.device));
      if (driver === undefined) throw new Error(`no driver for ${pci}`);
      const shown = interrupts === undefined ? device : withOnly(device, interrupts);
      return new NicEnd(device, await driver.open(shown, { ...USUAL, ...wanted }), windows);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  close(): void {
    for (const lane of this.lanes) lane.close();
    this.nic.stop();
    this.device.close();
  }
}

/** The same device with one vector of one kind. */
function withOnly(device: VfioDevice, kind: VectorKind): PciFunction {
  return Object.create(device, {
    vectors: { value: 1 },
    interruptKind: { value: kind },
    enableInterrupts: { value: (count: number) => device.enableInterrupts(count, kind) },
  });
}

/** Two NICs joined. */
export class NicBridge {
  private readonly batch = new Batch();
  private running = true;
  private readonly done: Promise<void>;

  constructor(
    readonly a: NicEnd,
    readonly b: NicEnd,
  ) {
    this.done = this.turn();
  }

  private async turn(): Promise<void> {
    while (this.running) {
      let round = 0;
      while (round < 64 && this.move(this.a, this.b) + this.move(this.b, this.a) > 0) round++;
      // Who looks without end takes the processor from those whose frames it waits for, where there is one for all.
      await (round > 0 ? new Promise((resolve) => setImmediate(resolve)) : Bun.sleep(1));
    }
  }

  private move(from: NicEnd, to: NicEnd): number {
    let moved = 0;
    from.lanes.forEach((lane, pair) => {
      this.batch.reset();
      const count = lane.fetch(this.batch);
      if (count > 0) to.lanes[pair % to.lanes.length].deliver(this.batch, EVERY, count);
      lane.release(this.batch);
      from.received[pair] += count;
      moved += count;
    });
    return moved;
  }

  /** When this resolves, the lanes are left alone. */
  async stop(): Promise<void> {
    this.running = false;
    await this.done;
  }

  /** Ends it, and looks at what was counted; once. */
  async end(): Promise<void> {
    if (!this.running) return;
    await this.stop();
    for (const { counters } of [this.a, this.b]) {
      expect(Array.from(counters.subarray(FIRST_FAULT))).toEqual(new Array(COUNTER_COUNT - FIRST_FAULT).fill(0));
    }
    const sum = (index: number) => this.a.counters[index] + this.b.counters[index];
    let drops = 0;
    for (let index = FIRST_DROP; index < FIRST_FAULT; index++) drops += sum(index);
    expect(sum(RX_FRAMES)).toBe(sum(TX_FRAMES) + drops);
  }
}

export interface BridgedNics {
  left: Nic;
  right: Nic;
  /** Joins the two for as long as `use` runs; hosts `a` and `b` are at the ends. No fault of the IOMMU is allowed. */
  bridged(options: EndOptions, use: (a: Host, b: Host, bridge: NicBridge) => Promise<void>): Promise<void>;
}

/** Takes the first two NICs of a model for the surrounding file or describe block. */
export function useNicBridge(model: NicModel): BridgedNics {
  const defer = useCleanup();
  const namespace = useNamespaces();
  const [left, right] = nics(model);
  for (const { address: pci } of [left, right]) {
    bind(pci, "vfio-pci");
    defer(() => bind(pci, ""));
  }

  async function bridged(options: EndOptions, use: (a: Host, b: Host, bridge: NicBridge) => Promise<void>) {
    const windows = new WindowTable();
    const before = dmaFaults().length;
    const ends: NicEnd[] = [];
    const hosts: Host[] = [];
    let bridge: NicBridge | undefined;
    try {
      for (const { address: pci } of [left, right]) ends.push(await NicEnd.open(pci, windows, options));
      for (const [index, nic] of [left, right].entries()) {
        hosts.push(await partnerHost(nic, await namespace(), index + 1, options.mtu));
      }
      bridge = new NicBridge(ends[0], ends[1]);
      await use(hosts[0], hosts[1], bridge);
      await bridge.end();
    } finally {
      await bridge?.stop();
      for (const end of ends) end.close();
      for (const { inside } of hosts) inside.remove();
    }
    expect(dmaFaults().slice(before)).toEqual([]);
  }

  return { left, right, bridged };
}
