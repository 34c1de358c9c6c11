// What a VDUSE port offers: features that today's kernels take, and an address that stays.

import { expect, test } from "bun:test";
import { queueChoices, stableMac, vduseFeatures } from "../../../src/ports/vduse/device-config.ts";
import * as net from "../../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from "../../../src/uapi/virtio_ring.ts";
import { hasFeature } from "../../../src/virtio/features.ts";

const ONE = { pairs: 1, controlQueue: false };
const CONTROL = [
  net.VIRTIO_NET_F_CTRL_VQ,
  net.VIRTIO_NET_F_CTRL_RX,
  net.VIRTIO_NET_F_CTRL_VLAN,
  net.VIRTIO_NET_F_CTRL_MAC_ADDR,
  net.VIRTIO_NET_F_GUEST_ANNOUNCE,
  net.VIRTIO_NET_F_MQ,
];

test("several pairs are asked for with a control queue, and one without it after that", () => {
  expect(queueChoices({})).toEqual([ONE]);
  expect(queueChoices({ queues: 1 })).toEqual([ONE]);
  expect(queueChoices({ queues: 4 })).toEqual([{ pairs: 4, controlQueue: true }, ONE]);
});

test("what kernels demand is offered, and nothing that needs a control queue where there is none", () => {
  const offered = vduseFeatures({}, ONE);
  for (const bit of [
    net.VIRTIO_F_VERSION_1,
    net.VIRTIO_F_ACCESS_PLATFORM,
    net.VIRTIO_NET_F_MAC,
    net.VIRTIO_NET_F_STATUS,
    net.VIRTIO_NET_F_MRG_RXBUF,
    net.VIRTIO_NET_F_GUEST_TSO4,
    net.VIRTIO_NET_F_HOST_USO,
    VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_RING_F_INDIRECT_DESC,
  ]) {
    expect({ bit, offered: hasFeature(offered, bit) }).toEqual({ bit, offered: true });
  }
  expect(CONTROL.filter((bit) => hasFeature(offered, bit))).toEqual([]);
  expect(hasFeature(offered, net.VIRTIO_NET_F_MTU)).toBe(false);
});

test("options decide about mtu, offloads and queues", () => {
  expect(hasFeature(vduseFeatures({ mtu: 9000 }, ONE), net.VIRTIO_NET_F_MTU)).toBe(true);
  const plain = vduseFeatures({ offload: [] }, ONE);
  expect([net.VIRTIO_NET_F_CSUM, net.VIRTIO_NET_F_GUEST_TSO6].filter((bit) => hasFeature(plain, bit))).toEqual([]);
  const many = vduseFeatures({ queues: 2 }, { pairs: 2, controlQueue: true });
  expect(hasFeature(many, net.VIRTIO_NET_F_MQ) && hasFeature(many, net.VIRTIO_NET_F_CTRL_VQ)).toBe(true);
});

test("a port's own address is unicast, local, the same each time, and another for another name or machine", () => {
  const mac = stableMac("web", "machine");
  expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
  expect(stableMac("web", "machine")).toBe(mac);
  expect(stableMac("db", "machine")).not.toBe(mac);
  expect(stableMac("web", "other")).not.toBe(mac);
});
