// Taking a virtio NIC into use and out of it: the order of the handshake, what is negotiated, which devices are refused and in
// which words, what it is told by its control queue; and that a device which fails is left silent, with nothing held.

import { afterEach, describe, expect, test } from "bun:test";
import { RingyardError } from "../../../../src/core/errors.ts";
import { OFFLOAD_ALL, OFFLOAD_CSUM, OFFLOAD_TSO4, OFFLOAD_USO } from "../../../../src/mem/batch.ts";
import type { NicOptions } from "../../../../src/ports/vfio/nic.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import type { VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import * as net from "../../../../src/uapi/virtio_net.ts";
import { featureNames } from "../../../../src/virtio/features.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { type FakeOptions, FakeVirtioNet, OFFERED } from "./fake-device.ts";
import { OPTIONS } from "./rig.ts";

const devices: FakeVirtioNet[] = [];
afterEach(() => {
  for (const device of devices.splice(0)) device.close();
});

function fakeDevice(options: FakeOptions = {}): FakeVirtioNet {
  const device = new FakeVirtioNet(options);
  devices.push(device);
  return device;
}

const without = (...bits: number[]) => OFFERED.filter((bit) => !bits.includes(bit));
const open = (device: FakeVirtioNet, options: Partial<NicOptions> = {}) =>
  virtioNetDriver.open(device, { ...OPTIONS, ...options });

/** The line that a person reads, and the device left alone. */
async function refusal(device: FakeVirtioNet, options: Partial<NicOptions> = {}): Promise<string> {
  const before = holdings();
  try {
    (await open(device, options)).stop();
    return "it opens";
  } catch (error) {
    if (!(error instanceof RingyardError)) throw error;
    // Its memory and eventfds are the device's to give back.
    device.close();
    devices.splice(devices.indexOf(device), 1);
    expect(heldDifference(before, holdings()).filter((line) => !line.startsWith("-"))).toEqual([]);
    expect(device.busMaster).toBe(false);
    return `${error.code}: ${error.advice}`;
  }
}

test("knows its devices by their ids", () => {
  const known = [0x1041, 0x1000, 0x1042, 0x1001].map((device) => virtioNetDriver.matches(0x1af4, device));
  expect(known).toEqual([true, true, false, false]);
  expect(virtioNetDriver.matches(0x8086, 0x1041)).toBe(false);
});

describe("the handshake", () => {
  test("goes by the steps of 3.1.1, with the bus mastered, and nothing to receive into before start", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    expect(device.statuses).toEqual([0, 1, 3, 11, 15]);
    expect([device.resets, device.busMaster, device.configVector]).toEqual([1, true, 0]);
    expect(device.queues.map(({ enabled }) => enabled).slice(0, 4)).toEqual([true, true, true, false]);
    expect(device.queues.map(({ vector }) => vector).slice(0, 3)).toEqual([1, 1, 0xffff]);
    const { avail } = device.queues[0];
    expect(device.at(avail + 2, 2).getUint16(0, true)).toBe(0);
    device.kicks.length = 0;
    nic.start();
    expect(device.at(avail + 2, 2).getUint16(0, true)).toBe(256);
    expect(device.kicks).toEqual([0]);
    nic.stop();
    nic.stop();
    expect([device.status, device.busMaster]).toEqual([0, false]);
    expect(device.statuses.at(-1)).toBe(0);
  });

  test("takes what it knows and the device has, and no more", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    const names = featureNames(device.driverFeatures);
    for (const name of ["VERSION_1", "ACCESS_PLATFORM", "EVENT_IDX", "MRG_RXBUF", "STATUS", "CTRL_RX", "HOST_USO"]) {
      expect(names).toContain(name);
    }
    // One pair needs no MQ; tags are nobody's to filter.
    for (const name of ["MQ", "CTRL_VLAN", "INDIRECT_DESC", "GUEST_ANNOUNCE"]) expect(names).not.toContain(name);
    expect([nic.accepts, nic.pairs, nic.mac, nic.maxFrame]).toEqual([OFFLOAD_ALL, 1, "02:00:00:00:77:01", 1522]);
    nic.stop();
  });

  const EVERY_GUEST = ["GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN", "GUEST_USO4", "GUEST_USO6"];
  const SOME = OFFLOAD_CSUM | OFFLOAD_TSO4;
  const USO = OFFLOAD_CSUM | OFFLOAD_USO;
  const { VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6 } = net;
  /** What is left out of the offer, what the port may use, what it then may send, and what the device may send. */
  const offloads: [string, readonly number[], number, number, readonly string[]][] = [
    ["only what the port may use", [], SOME, SOME, ["GUEST_TSO4"]],
    ["no segmentation without CSUM", [VIRTIO_NET_F_CSUM], OFFLOAD_ALL, 0, EVERY_GUEST],
    ["nothing where nothing is wanted", [], 0, 0, []],
    ["no super-frames from one that cannot merge buffers", [net.VIRTIO_NET_F_MRG_RXBUF], OFFLOAD_ALL, OFFLOAD_ALL, []],
    ["no ECN without TSO", [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6], OFFLOAD_ALL, USO, EVERY_GUEST],
    ["USO of both or none", [net.VIRTIO_NET_F_GUEST_USO6], USO, USO, []],
  ];
  for (const [what, left, allowed, accepts, guest] of offloads) {
    test(`offloads: ${what}`, async () => {
      const device = fakeDevice({ features: without(...left) });
      const nic = await open(device, { offload: allowed });
      expect(nic.accepts).toBe(accepts);
      const names = featureNames(device.driverFeatures);
      expect(names.filter((name) => /^GUEST_(TSO|ECN|USO)/.test(name))).toEqual([...guest]);
      nic.stop();
    });
  }

  test("a changing configuration is read again, and one that never rests is read all the same", async () => {
    const device = fakeDevice();
    device.restless = 3;
    const nic = await open(device);
    expect(nic.mac).toBe("02:00:00:00:77:04");
    device.restless = 1_000_000;
    expect(nic.link().up).toBe(true);
    nic.stop();
  });
});

describe("what is asked for", () => {
  test("pairs: as many as the device has, and vectors for", async () => {
    const cases: [FakeOptions, number, number][] = [
      [{}, 4, 4],
      [{}, 16, 4],
      [{ maxPairs: 8, vectors: 4 }, 8, 3],
      [{ vectors: 1 }, 4, 1],
      [{ interruptKind: "none", vectors: 0 }, 4, 4],
      [{ interruptKind: "intx", vectors: 1 }, 4, 1],
      [{ features: without(net.VIRTIO_NET_F_MQ) }, 4, 1],
      [{ features: without(net.VIRTIO_NET_F_CTRL_VQ) }, 4, 1],
    ];
    for (const [options, queues, pairs] of cases) {
      const device = fakeDevice(options);
      const nic = await open(device, { queues });
      expect(nic.pairs).toBe(pairs);
      const told = device.commands.filter(([kind]) => kind === net.VIRTIO_NET_CTRL_MQ);
      expect(told).toEqual(pairs > 1 ? [[4, 0, pairs, 0]] : []);
      nic.stop();
    }
  });

  test("each pair has queues, a doorbell, a vector and an eventfd of its own", async () => {
    const device = fakeDevice();
    const nic = await open(device, { queues: 3 });
    const lanes = [0, 1, 2].map((pair) => nic.lane(pair) as VirtioNicLaneConfig);
    expect(lanes.map(({ receive, transmit }) => [receive.index, transmit.index])).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(lanes.map(({ transmit }) => transmit.notifyOffset)).toEqual([0x3004, 0x300c, 0x3014]);
    expect(lanes.map(({ wakeFd }) => wakeFd)).toEqual(device.eventFds.slice(1));
    expect(device.queues.slice(0, 6).map(({ vector }) => vector)).toEqual([1, 1, 2, 2, 3, 3]);
    nic.stop();
  });

  test("INTx: one line, taken back and unmasked where the link is read", async () => {
    const device = fakeDevice({ interruptKind: "intx", vectors: 1 });
    const nic = await open(device);
    expect([nic.managementVector, (nic.lane(0) as VirtioNicLaneConfig).wakeFd]).toEqual([0, device.eventFds[0]]);
    device.isr = 3;
    nic.link();
    expect([device.isr, device.unmasked]).toEqual([0, 1]);
    nic.stop();
  });

  test("one vector is the pair's: nobody tells of the link", async () => {
    const device = fakeDevice({ vectors: 1 });
    const nic = await open(device);
    expect([nic.managementVector, device.configVector, device.queues[0].vector]).toEqual([-1, 0xffff, 0]);
    nic.stop();
  });

  test("rings: powers of two within what the device has", async () => {
    const device = fakeDevice({ queueSize: 512 });
    const nic = await open(device, { rxDescriptors: 1000, txDescriptors: 100 });
    expect([device.queues[0].size, device.queues[1].size]).toEqual([512, 64]);
    nic.stop();
  });

  test("MTU: the device's is the limit", async () => {
    const limited = { features: [...OFFERED, net.VIRTIO_NET_F_MTU], mtu: 1400 };
    const nic = await open(fakeDevice(limited));
    expect(nic.maxFrame).toBe(1422);
    nic.stop();
    expect(await refusal(fakeDevice(limited), { mtu: 1500 })).toBe(
      "BAD_OPTION: NIC 0000:00:05.0 has a largest MTU of 1400, not 1500: use mtu=1400 or less",
    );
    const free = await open(fakeDevice(), { mtu: 9000 });
    expect(free.maxFrame).toBe(9022);
    free.stop();
    const nonsense = fakeDevice({ ...limited, mtu: 20 });
    const silent = await open(nonsense);
    expect(silent.maxFrame).toBe(1522);
    expect(featureNames(nonsense.driverFeatures)).not.toContain("MTU");
    silent.stop();
  });

  test("MAC address and filter are told by the control queue", async () => {
    const device = fakeDevice();
    const nic = await open(device, { mac: "02:00:00:00:77:AA", promisc: false });
    expect(device.commands).toEqual([
      [0, 0, 0],
      [0, 1, 1],
      [1, 1, 2, 0, 0, 0, 0x77, 0xaa],
    ]);
    expect([nic.mac, nic.details().promisc]).toEqual(["02:00:00:00:77:aa", false]);
    nic.setPromisc(true);
    nic.setMac("02:00:00:00:77:01");
    expect(device.commands.slice(3)).toEqual([
      [0, 0, 1],
      [1, 1, 2, 0, 0, 0, 0x77, 1],
    ]);
    nic.setMac("02:00:00:00:77:01");
    expect(device.commands).toHaveLength(5);
    nic.stop();
  });

  test("a device without an address has one of its own making, and no two the same", async () => {
    const macs = [];
    for (const _ of [1, 2]) {
      const nic = await open(fakeDevice({ features: without(net.VIRTIO_NET_F_MAC) }));
      expect(Number.parseInt(nic.mac.slice(0, 2), 16) & 3).toBe(2);
      macs.push(nic.mac);
      nic.stop();
    }
    expect(macs[0]).not.toBe(macs[1]);
  });
});

describe("the link", () => {
  test("is what the device's configuration says", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    expect(nic.link()).toEqual({ up: true, speedMbps: 0, fullDuplex: true });
    const view = new DataView(device.config8.buffer);
    view.setUint16(6, 0, true);
    view.setUint32(12, 25_000, true);
    view.setUint8(16, 0);
    expect(nic.link()).toEqual({ up: false, speedMbps: 25_000, fullDuplex: false });
    nic.stop();
  });

  test("is up where the device does not say, and down when it is gone", async () => {
    const device = fakeDevice({ features: without(net.VIRTIO_NET_F_STATUS, net.VIRTIO_NET_F_SPEED_DUPLEX) });
    new DataView(device.config8.buffer).setUint16(6, 0, true);
    const nic = await open(device);
    expect(nic.link()).toEqual({ up: true, speedMbps: 0, fullDuplex: true });
    device.gone = true;
    expect(nic.link().up).toBe(false);
    nic.stop();
    expect(nic.link().up).toBe(false);
    expect(nic.details().needs_reset).toBe(false);
  });

  test("shows that the device gave up", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    device.status |= net.VIRTIO_CONFIG_S_NEEDS_RESET;
    expect([nic.details().needs_reset, nic.link().up]).toEqual([true, false]);
    nic.stop();
  });
});

describe("is refused, in words", () => {
  const NIC = "NIC 0000:00:05.0";
  const cases: [string, FakeOptions, (device: FakeVirtioNet) => void, Partial<NicOptions>, string][] = [
    [
      "a legacy device",
      {},
      (device) => device.capabilities.splice(1, 1),
      {},
      `UNSUPPORTED: ${NIC} is no modern virtio device: it has no common configuration capability: with QEMU, start it with disable-modern=off`,
    ],
    [
      "a structure outside its BAR",
      {},
      (device) => (device.capabilities[1].offset = 0x3f00),
      {},
      `UNSUPPORTED: ${NIC} is no modern virtio device: it has its common configuration outside its BARs: with QEMU, start it with disable-modern=off`,
    ],
    [
      "a structure in a BAR that there is not",
      {},
      (device) => (device.capabilities[4].bar = 2),
      {},
      `UNSUPPORTED: ${NIC} is no modern virtio device: it has its notification outside its BARs: with QEMU, start it with disable-modern=off`,
    ],
    [
      "doorbells outside the registers",
      {},
      (device) => (device.capabilities[4].multiplier = 0x2000),
      {},
      `PROTOCOL: ${NIC}: the doorbell of queue 1 is in no register`,
    ],
    [
      "a device that goes around the IOMMU",
      { features: without(net.VIRTIO_F_ACCESS_PLATFORM) },
      () => {},
      {},
      `UNSUPPORTED: ${NIC} does not offer ACCESS_PLATFORM: it would go around the IOMMU; with QEMU, add iommu_platform=on`,
    ],
    [
      "a device of another version",
      { features: without(net.VIRTIO_F_VERSION_1) },
      () => {},
      {},
      `UNSUPPORTED: ${NIC} does not offer VERSION_1: with QEMU, start it with disable-modern=off`,
    ],
    [
      "one that takes its offer back",
      {},
      (device) => (device.refuseFeatures = true),
      {},
      `UNSUPPORTED: ${NIC} does not accept the features it offered`,
    ],
    [
      "one that is gone",
      {},
      (device) => (device.gone = true),
      {},
      `SYSTEM: ${NIC} does not answer: its registers are gone`,
    ],
    [
      "one that lacks a queue it promised",
      { queueSize: 0 },
      () => {},
      {},
      `PROTOCOL: ${NIC} has no queue 0, which its features promise`,
    ],
    [
      "one that has no vectors after all",
      {},
      (device) => (device.vectorLimit = 1),
      {},
      `SYSTEM: ${NIC}: queue 0 cannot have MSI-X vector 1`,
    ],
    [
      "a MAC address that it cannot have",
      { features: without(net.VIRTIO_NET_F_CTRL_MAC_ADDR) },
      () => {},
      { mac: "02:00:00:00:77:02" },
      `UNSUPPORTED: ${NIC} keeps its own MAC address: leave out mac=`,
    ],
    [
      "one that refuses a command",
      {},
      (device) => (device.ack = 1),
      { queues: 4 },
      `UNSUPPORTED: ${NIC} refuses 4 queue pairs (control queue answer 1)`,
    ],
  ];
  for (const [what, options, spoil, wanted, line] of cases) {
    test(what, async () => {
      const device = fakeDevice(options);
      spoil(device);
      expect(await refusal(device, wanted)).toBe(line);
    });
  }

  test("one that does not answer its control queue; it is not asked again", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    device.ack = -1;
    const next = "give it back and take it again: ringyard nic give, ringyard nic take";
    const asked = device.commands.length;
    for (const _ of [1, 2]) {
      expect(() => nic.setPromisc(false)).toThrow(
        new RingyardError("SYSTEM", `${NIC} does not answer promiscuous mode on its control queue`, next),
      );
    }
    expect(device.commands).toHaveLength(asked);
    expect(nic.details().promisc).toBe(true);
    nic.stop();
  });

  test("one that does not come out of its reset, also at its end: then the function is reset", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    device.stuckReset = true;
    nic.stop();
    expect([device.resets, device.status, device.busMaster]).toEqual([2, 0, false]);
  });
});

test("opening and closing leaves nothing", async () => {
  const once = async () => {
    const device = new FakeVirtioNet();
    (await open(device, { queues: 4 })).stop();
    device.close();
  };
  await once();
  const before = holdings();
  for (let turn = 0; turn < 20; turn++) await once();
  expect(heldDifference(before, holdings())).toEqual([]);
});
