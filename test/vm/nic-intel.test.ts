// The drivers of Intel's NICs on a real kernel, QEMU's devices and an emulated IOMMU, without a switch: two NICs, and this process
// hands what comes in at one to the other. Their partners are devices of two network namespaces.
//
//   namespace a - partner ══ e1000e0 - driver - this loop - driver - e1000e1 ══ partner - namespace b
//
// VM: nics
// VM: qemu backports
// VM: kernels 6.12
// VM: also sid build

import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Batch, BURST, OFFLOAD_ALL } from "../../src/mem/batch.ts";
import { COUNTER_COUNT, FIRST_DROP, FIRST_FAULT, RX_FRAMES, TX_FRAMES } from "../../src/mem/counters.ts";
import { LANE_STATE_LENGTH } from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import { openVfioDevice } from "../../src/ports/vfio/device/open.ts";
import { createIntelLane, type IntelLaneConfig } from "../../src/ports/vfio/intel/lane-open.ts";
import { driver82574 } from "../../src/ports/vfio/intel/nic-82574.ts";
import { driver82576 } from "../../src/ports/vfio/intel/nic-82576.ts";
import type { Nic, NicOptions } from "../../src/ports/vfio/nic.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { type Nic as MachineNic, nics, requireNics, setCable } from "../support/nics.ts";
import { run } from "../support/process.ts";
import { useSwitch } from "../support/switch.ts";
import { address, type Host, iperf, ping, randomFile, transfer, udp } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 180_000;
const FILE_SIZE = 2_000_000;
const PCI = "/sys/bus/pci";
const EVERY = Int32Array.from({ length: BURST }, (_, i) => i);
const MODELS = { e1000e: driver82574, igb: driver82576 } as const;
type Model = keyof typeof MODELS;

const startSwitch = useSwitch();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-intel-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function bind(pci: string, driver: string): void {
  const device = `${PCI}/devices/${pci}`;
  writeFileSync(`${device}/driver_override`, `${driver}\n`);
  const link = `${device}/driver`;
  if (existsSync(link) && basename(readlinkSync(link)) !== driver) writeFileSync(`${link}/unbind`, pci);
  writeFileSync(`${PCI}/drivers_probe`, pci);
}

/** Faults of the IOMMU in the kernel's log. */
function faults(): string[] {
  const log = Bun.spawnSync(["dmesg"]).stdout.toString();
  return log.split("\n").filter((line) => /DMAR: \[.*fault/.test(line));
}

/** A NIC in use, all of its pairs in this thread. */
interface End {
  nic: Nic;
  lanes: Lane[];
  counters: Float64Array;
  /** Frames that came in by each pair. */
  received: number[];
  interruptFd(vector: number): number;
  close(): void;
}

async function openEnd(machine: MachineNic, windows: WindowTable, options: Partial<NicOptions>): Promise<End> {
  const device = openVfioDevice(machine.address, { door: "auto" });
  try {
    const usual = { queues: 1, rxDescriptors: 256, txDescriptors: 256, promisc: true, offload: OFFLOAD_ALL };
    const nic = await MODELS[machine.model as Model].open(device, { ...usual, ...options });
    const counters = new Float64Array(COUNTER_COUNT);
    const lanes = Array.from({ length: nic.pairs }, (_, pair) => {
      const state = new Int32Array(LANE_STATE_LENGTH);
      const context = { windows, state, counters, shared: false, owner: true };
      const lane = createIntelLane(nic.lane(pair) as IntelLaneConfig, context);
      lane.disarm();
      return lane;
    });
    nic.start();
    const close = () => {
      for (const lane of lanes) lane.close();
      nic.stop();
      device.close();
    };
    const interruptFd = (vector: number) => device.interruptFd(vector);
    return { nic, lanes, counters, received: lanes.map(() => 0), interruptFd, close };
  } catch (error) {
    device.close();
    throw error;
  }
}

/** Two NICs joined by this thread whenever it waits for something else. */
class Bridge {
  private readonly batch = new Batch();
  private running = true;
  private readonly done: Promise<void>;

  constructor(
    readonly a: End,
    readonly b: End,
  ) {
    this.done = this.turn();
  }

  private async turn(): Promise<void> {
    while (this.running) {
      for (let round = 0; round < 64; round++) {
        if (this.move(this.a, this.b) + this.move(this.b, this.a) === 0) break;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private move(from: End, to: End): number {
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

  /** Ends it, and looks at what was counted; once. */
  async end(): Promise<void> {
    if (!this.running) return;
    this.running = false;
    await this.done;
    for (const { counters } of [this.a, this.b]) {
      expect(Array.from(counters.subarray(FIRST_FAULT))).toEqual(new Array(COUNTER_COUNT - FIRST_FAULT).fill(0));
    }
    const sum = (index: number) => this.a.counters[index] + this.b.counters[index];
    let drops = 0;
    for (let index = FIRST_DROP; index < FIRST_FAULT; index++) drops += sum(index);
    expect(sum(RX_FRAMES)).toBe(sum(TX_FRAMES) + drops);
  }
}

describe.each(Object.keys(MODELS) as Model[])("%s", (model) => {
  requireNics(model)("on its own", () => {
    const defer = useCleanup();
    const namespace = useNamespaces();
    const [left, right] = nics(model);
    for (const { address: pci } of [left, right]) {
      bind(pci, "vfio-pci");
      defer(() => bind(pci, ""));
    }

    /** Puts a NIC's partner into a namespace, as eth0. */
    async function partner(nic: MachineNic, number: number, mtu?: number): Promise<Host> {
      const inside = await namespace();
      // It comes back to the machine when a namespace before it has gone.
      const device = await until(
        "the partner's device",
        () => nics(model).find(({ id }) => id === nic.id)?.partner.netdev,
      );
      await run(["ip", "link", "set", device, "netns", inside.name, "name", "eth0"]);
      if (mtu !== undefined) await inside.ip(`link set eth0 mtu ${mtu}`);
      return address(inside, number);
    }

    async function bridged(options: Partial<NicOptions>, use: (a: Host, b: Host, bridge: Bridge) => Promise<void>) {
      const windows = new WindowTable();
      const before = faults().length;
      const a = await openEnd(left, windows, options);
      const b = await openEnd(right, windows, options);
      const hosts = [await partner(left, 1, options.mtu), await partner(right, 2, options.mtu)];
      const bridge = new Bridge(a, b);
      try {
        await use(hosts[0], hosts[1], bridge);
        await bridge.end();
      } finally {
        a.close();
        b.close();
        for (const { inside } of hosts) inside.remove();
      }
      expect(faults().slice(before)).toEqual([]);
    }

    test(
      "carries pings, UDP and TCP both ways",
      () =>
        bridged({}, async (a, b, { a: end }) => {
          expect([end.nic.mac, end.nic.pairs, end.nic.maxFrame]).toEqual([left.mac, 1, 1522]);
          expect(end.nic.link()).toEqual({ up: true, speedMbps: 1000, fullDuplex: true });
          await ping(a, b.ip);
          await ping(b, a.ip6);
          await ping(a, b.ip, 6000);
          await udp(a, b);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          expect(await transfer(b, a, path)).toBe(print);
          const start = performance.now();
          const bytes = await iperf(a, b, "-n", "10M");
          console.log(`TCP: ${((bytes * 8) / (performance.now() - start) / 1000).toFixed(0)} Mbit/s`);
          const counters = end.nic.counters();
          expect(counters.rx_good_packets).toBeGreaterThan(100);
          expect(counters.tx_good_packets).toBeGreaterThan(100);
          expect(counters.rx_crc_errors).toBe(0);
        }),
      LIMIT_MS,
    );

    test(
      "carries jumbo frames",
      () =>
        bridged({ mtu: 9000, queues: model === "igb" ? 4 : 1 }, async (a, b, { a: end }) => {
          expect([end.nic.pairs, end.nic.maxFrame]).toEqual([model === "igb" ? 4 : 1, 9022]);
          await ping(a, b.ip, 8972, true);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          await iperf(a, b, "-n", "10M", "-P", "16");
          // What comes in is spread over the queues: 17 connections miss two of four once in 20,000 times.
          const used = end.received.filter((count) => count > 0).length;
          expect(used).toBeGreaterThanOrEqual(Math.min(3, end.nic.pairs));
        }),
      LIMIT_MS,
    );

    test(
      "calls a driver that sleeps, tells of the cable, and changes address and filter",
      () =>
        bridged({}, async (a, b, bridge) => {
          await ping(a, b.ip);
          await bridge.end();
          const [lane] = bridge.a.lanes;
          const { nic } = bridge.a;
          const took = new Batch();
          const drain = () => {
            took.reset();
            const count = lane.fetch(took);
            lane.release(took);
            return count;
          };
          await until("an idle queue", () => drain() === 0);
          clearSignal(lane.wakeFd);
          expect(lane.arm()).toBe(false);
          expect(clearSignal(lane.wakeFd)).toBe(false);
          const asking = a.inside.run(["ping", "-c", "1", "-W", "1", b.ip], { allowFailure: true });
          await until("the interrupt", () => clearSignal(lane.wakeFd));
          lane.disarm();
          await asking;
          expect(drain()).toBeGreaterThan(0);

          const fd = bridge.a.interruptFd(nic.managementVector);
          expect(nic.link().up).toBe(true);
          clearSignal(fd);
          await setCable(left.id, false);
          await until("the interrupt of the link", () => clearSignal(fd));
          expect(nic.link().up).toBe(false);
          await setCable(left.id, true);
          await until("the link to come", () => clearSignal(fd) && nic.link().up);

          // Without promiscuous mode, frames for others stay outside.
          nic.setMac("52:54:00:99:99:99");
          nic.setPromisc(false);
          const arrives = async (mac: string) => {
            await a.inside.ip(`neigh replace 10.78.0.9 lladdr ${mac} dev eth0`);
            drain();
            await a.inside.run(["ping", "-c", "1", "-W", "1", "10.78.0.9"], { allowFailure: true });
            return drain() > 0;
          };
          await a.inside.run(["sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=1"]);
          expect(await arrives("52:54:00:99:99:99")).toBe(true);
          expect(await arrives("52:54:00:99:99:98")).toBe(false);
          nic.setPromisc(true);
          expect(await arrives("52:54:00:99:99:98")).toBe(true);
        }),
      LIMIT_MS,
    );

    test(
      "sends a container's super-frames and partial checksums as the wire wants them",
      async () => {
        const inside = await namespace();
        const far = await partner(left, 2);
        const switching = await startSwitch({
          uplink: `vfio:${left.address}`,
          web: `tap:eth0?netns=${inside.name}`,
        });
        await until("the link", async () => (await switching.port("uplink")).carrier);
        const near = await address(inside, 1);
        await ping(near, far.ip);
        await udp(near, far);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(near, far, path)).toBe(print);
        expect(await transfer(near, far, path, far.ip6)).toBe(print);
        const hardware = (await switching.port("uplink")).details.hardware as unknown as Record<string, number>;
        expect(hardware.tx_tso).toBeGreaterThan(10);
        expect(hardware.tx_tso_failed).toBe(0);
        expect(await switching.stop()).toBe(0);
        far.inside.remove();
      },
      LIMIT_MS,
    );

    test(
      "is opened and closed without leaving anything",
      async () => {
        const windows = new WindowTable();
        const once = async () => (await openEnd(left, windows, { queues: model === "igb" ? 4 : 1 })).close();
        await once();
        const before = holdings();
        for (let turn = 0; turn < 20; turn++) await once();
        expect(heldDifference(before, holdings())).toEqual([]);
      },
      LIMIT_MS,
    );
  });
});
