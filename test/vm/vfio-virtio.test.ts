// The driver of virtio NICs on a real kernel, QEMU's devices and an emulated IOMMU, without a switch: two NICs, and this process
// hands what comes in at one to the other. Their partners are devices of two network namespaces.
//
//   namespace a - partner ══ virtio0 - driver - this loop - driver - virtio1 ══ partner - namespace b
//
// VM: nics
// VM: kernels 6.12
// VM: also sid build

import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Batch, BURST, OFFLOAD_ALL, OFFLOAD_CSUM } from "../../src/mem/batch.ts";
import {
  COUNTER_COUNT,
  FIRST_DROP,
  FIRST_FAULT,
  RX_FRAMES,
  TX_COPIED,
  TX_FRAMES,
  TX_ZERO_COPY,
} from "../../src/mem/counters.ts";
import type { DmaSpace } from "../../src/mem/dma.ts";
import { Transmitters } from "../../src/mem/held.ts";
import { LANE_STATE_LENGTH, TX_REAPED } from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import type { Lane } from "../../src/ports/port.ts";
import { openVfioDevice } from "../../src/ports/vfio/device/open.ts";
import type { Nic, NicOptions } from "../../src/ports/vfio/nic.ts";
import { virtioNetDriver } from "../../src/ports/vfio/virtio/driver.ts";
import { openVirtioNicLane, type VirtioNicLaneConfig } from "../../src/ports/vfio/virtio/lane.ts";
import { clearSignal } from "../../src/sys/fd.ts";
import { mapAnonymous, unmap } from "../../src/sys/memory.ts";
import { VIRTIO_NET_HDR_F_NEEDS_CSUM } from "../../src/uapi/virtio_net.ts";
import { build, spec4 } from "../dataplane/offload/reference.ts";
import { useCleanup } from "../support/cleanup.ts";
import { heldDifference, holdings } from "../support/leaks.ts";
import { useNamespaces } from "../support/netns.ts";
import { type Nic as MachineNic, nics, requireNics, setCable } from "../support/nics.ts";
import { run } from "../support/process.ts";
import { address, type Host, iperf, ping, randomFile, transfer, UDP_PORT, udp, udpSink } from "../support/traffic.ts";
import { until } from "../support/until.ts";

const LIMIT_MS = 180_000;
const FILE_SIZE = 3_000_000;
const PCI = "/sys/bus/pci";
const DOORS = (["type1", "iommufd"] as const).filter((door) => door === "type1" || existsSync("/dev/iommu"));
type Door = (typeof DOORS)[number];
const EVERY = Int32Array.from({ length: BURST }, (_, i) => i);
const OPTIONS: NicOptions = {
  queues: 1,
  rxDescriptors: 256,
  txDescriptors: 256,
  promisc: true,
  offload: OFFLOAD_ALL,
};

const scratch = mkdtempSync(join(tmpdir(), "ringyard-nic-"));
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
  /** State words of the first lane. */
  state: Int32Array;
  counters: Float64Array;
  space: DmaSpace;
  close(): void;
}

async function openEnd(
  machine: MachineNic,
  windows: WindowTable,
  door: Door,
  options: Partial<NicOptions>,
): Promise<End> {
  const device = openVfioDevice(machine.address, { door });
  try {
    const nic = await virtioNetDriver.open(device, { ...OPTIONS, ...options });
    const counters = new Float64Array(COUNTER_COUNT);
    const states = Array.from({ length: nic.pairs }, () => new Int32Array(LANE_STATE_LENGTH));
    const zeroCopy = { self: 1, iova: windows.iova, transmitters: new Transmitters(new Int32Array(0)) };
    const lanes = states.map((state, pair) => {
      const context = { windows, state, counters, shared: false, owner: true, zeroCopy };
      const lane = openVirtioNicLane(nic.lane(pair) as VirtioNicLaneConfig, context);
      lane.disarm();
      return lane;
    });
    nic.start();
    const close = () => {
      for (const lane of lanes) lane.close();
      nic.stop();
      device.close();
    };
    return { nic, lanes, state: states[0], counters, space: device.space, close };
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
  moved = 0;

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
      moved += count;
    });
    this.moved += moved;
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

requireNics("virtio-net-pci")("virtio NICs", () => {
  const defer = useCleanup();
  const namespace = useNamespaces();
  const [left, right] = nics("virtio-net-pci");
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
      () => nics("virtio-net-pci").find(({ id }) => id === nic.id)?.partner.netdev,
    );
    await run(["ip", "link", "set", device, "netns", inside.name, "name", "eth0"]);
    if (mtu !== undefined) await inside.ip(`link set eth0 mtu ${mtu}`);
    return address(inside, number);
  }

  async function bridged(
    door: Door,
    options: Partial<NicOptions>,
    traffic: (a: Host, b: Host, bridge: Bridge) => Promise<void>,
  ) {
    const windows = new WindowTable();
    const before = faults().length;
    const a = await openEnd(left, windows, door, options);
    const b = await openEnd(right, windows, door, options);
    const hosts = [await partner(left, 1, options.mtu), await partner(right, 2, options.mtu)];
    const bridge = new Bridge(a, b);
    try {
      await traffic(hosts[0], hosts[1], bridge);
      await bridge.end();
    } finally {
      a.close();
      b.close();
      for (const { inside } of hosts) inside.remove();
    }
    expect(faults().slice(before)).toEqual([]);
  }

  describe.each(DOORS)("by %s", (door) => {
    test(
      "carry pings, UDP and TCP with offloads",
      () =>
        bridged(door, {}, async (a, b, { a: end }) => {
          expect([end.nic.mac, end.nic.pairs, end.nic.maxFrame]).toEqual([left.mac, 1, 1522]);
          for (const name of ["CSUM", "HOST_TSO4", "GUEST_TSO6", "MRG_RXBUF", "EVENT_IDX", "ACCESS_PLATFORM"]) {
            expect(end.nic.details().features).toContain(name);
          }
          expect(end.nic.link()).toEqual({ up: true, speedMbps: 0, fullDuplex: true });
          await ping(a, b.ip);
          await ping(b, a.ip6);
          await ping(a, b.ip, 6000);
          await udp(a, b);
          const { path, print } = await randomFile(scratch, FILE_SIZE);
          expect(await transfer(a, b, path)).toBe(print);
          expect(await transfer(b, a, path)).toBe(print);
          await iperf(a, b, "-n", "20M");
        }),
      LIMIT_MS,
    );
  });

  test(
    "carry jumbo frames over four pairs, without offloads",
    () =>
      bridged(DOORS[0], { queues: 4, mtu: 9000, offload: 0 }, async (a, b, { a: end, b: other }) => {
        expect([end.nic.pairs, end.nic.accepts, end.nic.maxFrame]).toEqual([4, 0, 9022]);
        expect(new Set(end.lanes.map(({ wakeFd }) => wakeFd)).size).toBe(4);
        await ping(a, b.ip, 8972, true);
        const { path, print } = await randomFile(scratch, FILE_SIZE);
        expect(await transfer(a, b, path)).toBe(print);
        await udp(b, a);
        await iperf(a, b, "-n", "10M", "-P", "8");
        expect(other.nic.link()).toMatchObject({ up: true });
      }),
    LIMIT_MS,
  );

  test.each(DOORS)(
    "read frames in their sender's memory, by %s",
    async (door) => {
      const windows = new WindowTable();
      const before = faults().length;
      const end = await openEnd(left, windows, door, {});
      const host = await partner(left, 2);
      const { sink, seen } = await udpSink(host.inside, "0.0.0.0");
      const size = 1 << 20;
      const memory = mapAnonymous(size);
      const iova = end.space.map(memory, size);
      windows.mapDma({ address: memory, size, iova });
      const window = windows.add(memory, size);
      const batch = new Batch();
      const sent: string[] = [];
      let at = 0;
      for (let length = 1; length <= 1472; length += 31) {
        const payload = crypto.getRandomValues(new Uint8Array(length));
        const { bytes, l4 } = build(
          spec4({
            transport: "udp",
            source: [10, 78, 0, 99],
            target: [10, 78, 0, 2],
            payload: [...payload],
            partial: true,
          }),
        );
        bytes.splice(0, 6, ...left.partner.mac.split(":").map((byte) => Number.parseInt(byte, 16)));
        bytes.splice(l4 + 2, 2, UDP_PORT >> 8, UDP_PORT & 255);
        batch.reset();
        batch.count = 1;
        batch.length[0] = bytes.length;
        batch.needs[0] = OFFLOAD_CSUM;
        batch.flags[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        batch.gsoType[0] = 0;
        batch.csumStart[0] = l4;
        batch.csumOffset[0] = 6;
        // Headers apart from the payload, as a kernel sends them.
        const pieces = [bytes.slice(0, l4 + 8), bytes.slice(l4 + 8)];
        batch.segments[0] = pieces.length;
        pieces.forEach((piece, s) => {
          windows.u8[window].set(piece, at);
          batch.pool.window[s] = window;
          batch.pool.offset[s] = at;
          batch.pool.length[s] = piece.length;
          at += piece.length + 5;
        });
        expect(end.lanes[0].deliver(batch, EVERY, 1)).toBe(1);
        sent.push(`datagram ${length} ${new Bun.CryptoHasher("sha256").update(payload).digest("hex")}`);
        await until("the device to be done", () => {
          end.lanes[0].reap?.();
          return end.state[TX_REAPED] === sent.length;
        });
      }
      await until("the datagrams", () => {
        if (seen().join() === sent.join()) return true;
        throw new Error(`${seen().length} of ${sent.length}`);
      });
      expect([end.counters[TX_ZERO_COPY], end.counters[TX_COPIED]]).toEqual([sent.length, 0]);
      end.space.unmap(iova);
      end.close();
      windows.remove(window);
      unmap(memory, size);
      await sink.stop();
      host.inside.remove();
      expect(faults().slice(before)).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    "call a driver that sleeps, tell of the cable, and change address and filter",
    () =>
      bridged(DOORS[0], {}, async (a, b, bridge) => {
        await ping(a, b.ip);
        await bridge.end();
        const [lane] = bridge.a.lanes;
        const device = bridge.a.nic;
        clearSignal(lane.wakeFd);
        expect(lane.arm()).toBe(false);
        expect(clearSignal(lane.wakeFd)).toBe(false);
        const asking = a.inside.run(["ping", "-c", "1", "-W", "1", b.ip], { allowFailure: true });
        await until("the interrupt", () => clearSignal(lane.wakeFd));
        lane.disarm();
        await asking;
        const took = new Batch();
        expect(lane.fetch(took)).toBeGreaterThan(0);
        lane.release(took);

        const fd = device.managementVector;
        expect(fd).toBe(0);
        expect(device.link().up).toBe(true);
        await setCable(left.id, false);
        await until("the link to go", () => !device.link().up);
        await setCable(left.id, true);
        await until("the link to come", () => device.link().up);

        device.setMac("52:54:00:99:99:99");
        device.setPromisc(false);
        expect(device.mac).toBe("52:54:00:99:99:99");
        device.setPromisc(true);
      }),
    LIMIT_MS,
  );

  test(
    "are opened and closed without leaving anything",
    async () => {
      const windows = new WindowTable();
      const once = async () => (await openEnd(left, windows, DOORS[0], { queues: 4 })).close();
      await once();
      const before = holdings();
      for (let turn = 0; turn < 20; turn++) await once();
      expect(heldDifference(before, holdings())).toEqual([]);
    },
    LIMIT_MS,
  );
});
