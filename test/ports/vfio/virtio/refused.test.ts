// Virtio NICs that cannot be driven, or stop to answer: each in its own words, and left silent.

import { describe, expect, test } from "bun:test";
import { RingyardError } from "../../../../src/core/errors.ts";
import type { NicOptions } from "../../../../src/ports/vfio/nic.ts";
import * as net from "../../../../src/uapi/virtio_net.ts";
import type { FakeOptions, FakeVirtioNet } from "./fake-device.ts";
import { open, useFakeDevices, without } from "./opening.ts";

const NIC = "NIC 0000:00:05.0";

const { fakeDevice, refusal } = useFakeDevices();

describe("a virtio NIC is refused, in words", () => {
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
});

describe("a virtio NIC that fails", () => {
  test("to answer its control queue is not asked again", async () => {
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

  test("to come out of its reset at its end is reset as a function", async () => {
    const device = fakeDevice();
    const nic = await open(device);
    device.stuckReset = true;
    nic.stop();
    expect([device.resets, device.status, device.busMaster]).toEqual([2, 0, false]);
  });
});
