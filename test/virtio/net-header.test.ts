// The virtio-net header that a sender may write (virtio 1.3, 5.1.6.2): forms it negotiated, offsets inside the frame.
// Anything else counts as `bad_header`; what is sound reaches the receiver, and nothing that only a device may say does.

import { describe, expect, test } from "bun:test";
import * as net from "../../src/uapi/virtio_net.ts";
import {
  frame,
  GSO_ECN,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  mac,
  NEEDS_CSUM,
  type NetHeader,
  netHeader,
  readNetHeader,
} from "../support/frames.ts";
import { useRig } from "./rig.ts";

const SIZE = 200;
const sound = { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16 };
const ALL = [
  net.VIRTIO_NET_F_CSUM,
  net.VIRTIO_NET_F_HOST_TSO4,
  net.VIRTIO_NET_F_HOST_TSO6,
  net.VIRTIO_NET_F_HOST_ECN,
  net.VIRTIO_NET_F_HOST_USO,
];
const GUEST = [net.VIRTIO_NET_F_GUEST_CSUM];
const newRig = useRig();

/** How the header lies in memory: before the frame, in a buffer of its own, in pieces. */
const CUTS: Record<string, number[]> = { whole: [], "of its own": [12], "in pieces": [1, 2, 3], "of 40 bytes": [40] };

/** What the receiver is told of a frame sent with this header, or undefined where it was refused; in every cut alike. */
function pass(header: Uint8Array, features: readonly number[], guest: readonly number[] = GUEST) {
  const results = Object.values(CUTS).map((cut) => {
    const rig = newRig();
    const [sender, receiver] = [rig.guest({ features }), rig.guest({ features: guest })];
    const [{ address }] = receiver.postMany(1, 2048);
    sender.sendPieces(cut, header, frame(mac(2), mac(1), SIZE));
    rig.drain(sender, receiver);
    if (sender.count("bad_header") > 0) {
      expect(sender.reasons).toEqual({ bad_header: 1 });
      expect(receiver.receiveq.used[1]).toBe(0);
      expect(sender.transmitq.used[1]).toBe(1);
      return undefined;
    }
    expect(sender.reasons).toEqual({});
    return readNetHeader(receiver.get(address, 12));
  });
  for (const result of results) expect(result).toEqual(results[0]);
  return results[0];
}

const without = (bit: number) => ALL.filter((feature) => feature !== bit);
const uso = { flags: NEEDS_CSUM, csumStart: 34, csumOffset: 6, gsoType: GSO_UDP_L4, gsoSize: 100 };
const tso = (gsoType: number) => ({ ...sound, gsoType, gsoSize: 100 });

describe("a header that is refused", () => {
  test.each<[string, Partial<NetHeader>, readonly number[]]>([
    ["a checksum without CSUM", sound, []],
    ["TSO over IPv4 without HOST_TSO4", tso(GSO_TCPV4), without(net.VIRTIO_NET_F_HOST_TSO4)],
    ["TSO over IPv6 without HOST_TSO6", tso(GSO_TCPV6), without(net.VIRTIO_NET_F_HOST_TSO6)],
    ["ECN without HOST_ECN", tso(GSO_TCPV4 | GSO_ECN), without(net.VIRTIO_NET_F_HOST_ECN)],
    ["TSO without a checksum", { ...tso(GSO_TCPV4), flags: 0 }, ALL],
    ["TSO with a segment size of zero", { ...tso(GSO_TCPV4), gsoSize: 0 }, ALL],
    ["UFO", tso(net.VIRTIO_NET_HDR_GSO_UDP), ALL],
    ["USO without HOST_USO", uso, without(net.VIRTIO_NET_F_HOST_USO)],
    ["USO without CSUM", uso, without(net.VIRTIO_NET_F_CSUM)],
    ["USO without a checksum", { ...uso, flags: 0 }, ALL],
    ["USO with a segment size of zero", { ...uso, gsoSize: 0 }, ALL],
    ["USO with ECN, which UDP has not", { ...uso, gsoType: GSO_UDP_L4 | GSO_ECN }, ALL],
    ["an unknown gso type", tso(6), ALL],
    ["every bit of a gso type at once", tso(GSO_TCPV4 | GSO_TCPV6 | 2), ALL],
    ["ECN of no gso type", { ...sound, gsoType: GSO_ECN }, ALL],
    ["a gso type of 127", tso(127), ALL],
    ["a checksum field that ends a byte behind the frame", { ...sound, csumStart: SIZE - 17, csumOffset: 16 }, ALL],
    ["a checksum field far behind the frame", { ...sound, csumStart: 0xffff, csumOffset: 0xffff }, ALL],
    ["an offset that ends behind the frame", { ...sound, csumStart: 0, csumOffset: SIZE - 1 }, ALL],
  ])("%s", (_name, header, features) => {
    expect(pass(netHeader(header), features)).toBeUndefined();
  });
});

describe("a header that is sound", () => {
  test("a checksum field that ends with the frame", () => {
    const told = pass(netHeader({ ...sound, csumStart: SIZE - 18, csumOffset: 16 }), ALL);
    expect(told).toEqual({ ...readNetHeader(netHeader(sound)), csumStart: SIZE - 18, buffers: 1 });
  });

  test("TSO with ECN keeps its type and size, and hdr_len is ours", () => {
    const header = netHeader(tso(GSO_TCPV6 | GSO_ECN));
    header.set([0xff, 0xff], 2);
    expect(pass(header, ALL)).toEqual({
      ...readNetHeader(netHeader(tso(GSO_TCPV6 | GSO_ECN))),
      hdrLen: 54,
      buffers: 1,
    });
  });

  test("USO keeps its type and size, and hdr_len ends with the UDP header", () => {
    const header = netHeader(uso);
    header.set([0xff, 0xff], 2);
    expect(pass(header, ALL)).toEqual({ ...readNetHeader(netHeader(uso)), hdrLen: 42, buffers: 1 });
  });

  test("hdr_len stays within the frame", () => {
    expect(pass(netHeader({ ...tso(GSO_TCPV4), csumStart: SIZE - 18 }), ALL)?.hdrLen).toBe(SIZE);
  });

  test("a driver cannot vouch for a checksum: DATA_VALID and unknown flags are not passed on", () => {
    for (const flags of [2, 4, 0x80, 0xfe]) {
      const told = pass(netHeader({ flags, gsoSize: 7, csumStart: 9, csumOffset: 11 }), []);
      expect(told).toEqual({ flags: 0, gsoType: 0, hdrLen: 0, gsoSize: 0, csumStart: 0, csumOffset: 0, buffers: 1 });
    }
    expect(pass(netHeader({ ...sound, flags: 0xff }), ALL)?.flags).toBe(NEEDS_CSUM);
  });

  test("num_buffers, which is the device's to write, is ignored", () => {
    const header = netHeader({});
    header.set([0xff, 0xff], 10);
    expect(pass(header, [])?.buffers).toBe(1);
  });
});

/** What is there already is compared, and left alone if it is the same. */
describe("a header that the buffer has from before", () => {
  test.each(Array.from({ length: 12 }, (_, byte) => byte))("and that differs in byte %d is written anew", (byte) => {
    const rig = newRig();
    const [sender, receiver] = [rig.guest(), rig.guest({ features: GUEST })];
    const [{ address }] = receiver.postMany(1, 2048);
    const plain = netHeader({});
    plain[10] = 1;
    receiver.put(
      address,
      plain.map((value, at) => (at === byte ? value ^ 0x80 : value)),
    );
    sender.send(frame(mac(2), mac(1), SIZE));
    rig.drain(sender, receiver);
    expect(receiver.get(address, 12)).toEqual(plain);
  });
});
