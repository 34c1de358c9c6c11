// What a negotiation means for a lane: which forms a driver may send and accepts, and what is offered for each option word.

import { describe, expect, test } from "bun:test";
import { OFFLOAD_ALL, OFFLOAD_CSUM, OFFLOAD_USO } from "../../src/mem/batch.ts";
import * as net from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../src/uapi/virtio_ring.ts";
import {
  deviceFeatures,
  featureNames,
  featureSet,
  hasFeature,
  OFFLOAD_NAMES,
  offloadForms,
  offloadNames,
  receiverForms,
  senderForms,
} from "../../src/virtio/features.ts";

const USO = [net.VIRTIO_NET_F_GUEST_USO4, net.VIRTIO_NET_F_GUEST_USO6, net.VIRTIO_NET_F_HOST_USO];
const offered = (offload?: string[]) => deviceFeatures({ offload, mac: false, mtu: false, pairs: 1 });

describe("UDP segmentation", () => {
  test("is offered both ways unless the port does without it, and never without checksums", () => {
    for (const bit of USO) {
      expect(hasFeature(offered(), bit)).toBe(true);
      expect(hasFeature(offered(["csum", "uso"]), bit)).toBe(true);
      expect(hasFeature(offered(["csum", "tso4", "tso6", "ecn"]), bit)).toBe(false);
      expect(hasFeature(offered(["uso"]), bit)).toBe(false);
      expect(hasFeature(offered([]), bit)).toBe(false);
    }
    expect(featureNames(featureSet(USO))).toEqual(["GUEST_USO4", "GUEST_USO6", "HOST_USO"]);
  });

  test("may be sent with HOST_USO, and is accepted with both of GUEST_USO4 and GUEST_USO6", () => {
    const [guest4, guest6, host] = USO;
    expect(senderForms(featureSet([host]))).toBe(OFFLOAD_USO);
    expect(senderForms(featureSet([guest4, guest6]))).toBe(0);
    expect(receiverForms(featureSet([guest4, guest6]))).toBe(OFFLOAD_USO);
    // A frame's header does not tell the two apart, so one alone is as good as none.
    for (const one of [guest4, guest6, host]) expect(receiverForms(featureSet([one]))).toBe(0);
  });
});

test("words and forms say the same", () => {
  expect(offloadNames(OFFLOAD_ALL)).toEqual([...OFFLOAD_NAMES]);
  expect(offloadForms(undefined)).toBe(OFFLOAD_ALL);
  expect(offloadNames(offloadForms(["uso", "csum"]))).toEqual(["csum", "uso"]);
  expect(offloadForms(["csum", "uso"])).toBe(OFFLOAD_CSUM | OFFLOAD_USO);
  expect([offloadNames(0), offloadForms([])]).toEqual([[], 0]);
});

test("a device that offers all may be used with all, both ways", () => {
  expect(senderForms(offered())).toBe(OFFLOAD_ALL);
  expect(receiverForms(offered())).toBe(OFFLOAD_ALL);
});

describe("the names of features", () => {
  test("are those of the headers, of a network device and of any", () => {
    const taken = [net.VIRTIO_F_ORDER_PLATFORM, net.VIRTIO_NET_F_SPEED_DUPLEX, VIRTIO_RING_F_EVENT_IDX];
    expect(featureNames(featureSet(taken))).toEqual(["EVENT_IDX", "ORDER_PLATFORM", "SPEED_DUPLEX"]);
  });

  test("are of every bit that ringyard offers", () => {
    const all = deviceFeatures({ mac: true, mtu: true, pairs: 2 });
    const bits = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => hasFeature(all, bit));
    expect(featureNames(all).length).toBe(bits.length);
  });
});
