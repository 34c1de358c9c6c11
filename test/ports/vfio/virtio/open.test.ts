// Taking a virtio NIC into use and out of it: the order of the handshake, what is negotiated and allocated, what it is told by its
// control queue. (What is refused: refused.test.ts.)

import { describe, expect, test } from "bun:test";
import { OFFLOAD_ALL, OFFLOAD_CSUM, OFFLOAD_TSO4, OFFLOAD_USO } from "../../../../src/mem/batch.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import type { VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import { clearSignal } from "../../../../src/sys/fd.ts";
import * as net from "../../../../src/uapi/virtio_net.ts";
import { featureNames } from "../../../../src/virtio/features.ts";
import { heldDifference, holdings } from "../../../support/leaks.ts";
import { type FakeOptions, FakeVirtioNet, OFFERED } from "./fake-device.ts";
import { open, useFakeDevices, without } from "./opening.ts";

const { fakeDevice, refusal } = useFakeDevices();

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

  test("lets the device reach memory after its reset only: a driver that was killed has left it running", async () => {
    const device = fakeDevice();
    device.functionReset = false;
    device.status = 15;
    const nic = await open(device);
    expect(device.masteredAt).toEqual([0]);
    nic.stop();
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

  test("INTx: one line, taken back and unmasked where the link is read, which wakes the lane for its queue", async () => {
    const device = fakeDevice({ interruptKind: "intx", vectors: 1 });
    const nic = await open(device);
    const { wakeFd } = nic.lane(0) as VirtioNicLaneConfig;
    // Not the line's own: two that wait for one eventfd take its signals from each other.
    expect([nic.managementVector, device.eventFds.includes(wakeFd), wakeFd >= 0]).toEqual([0, false, true]);
    const woken = [0, 1, 2, 3].map((isr) => {
      device.isr = isr;
      nic.link();
      return clearSignal(wakeFd);
    });
    expect(woken).toEqual([false, true, false, true]);
    expect([device.isr, device.unmasked]).toEqual([0, 4]);
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

test("opening and closing leaves nothing", async () => {
  const once = async () => {
    for (const options of [{}, { interruptKind: "intx", vectors: 1 }] as const) {
      const device = new FakeVirtioNet(options);
      const nic = await open(device, { queues: 4 });
      nic.lane(0);
      nic.stop();
      device.close();
    }
  };
  await once();
  const before = holdings();
  for (let turn = 0; turn < 20; turn++) await once();
  expect(heldDifference(before, holdings())).toEqual([]);
});
