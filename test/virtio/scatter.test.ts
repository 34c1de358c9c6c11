// Frames and buffers in pieces: a device makes no assumption on how a driver cuts them (virtio 1.2, 2.7.4.2), nor on how
// its memory is cut into regions. What arrives is what was sent, whatever the cuts.

import { expect, test } from "bun:test";
import { MAX_FRAME, MAX_SEGMENTS } from "../../src/mem/batch.ts";
import { VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MRG_RXBUF } from "../../src/uapi/virtio_net.ts";
import { VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { mac, NEEDS_CSUM, netHeader, numbered, readNetHeader } from "../support/frames.ts";
import { type GuestOptions, type Rig, type TestGuest, useRig } from "./rig.ts";

const BASE = 2 ** 32;
const MIB = 1 << 20;
const newRig = useRig();

function patterned(size: number): Uint8Array {
  const bytes = numbered(mac(2), mac(1), 7, size, size);
  for (let i = 20; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) & 0xff;
  return bytes;
}

/** Takes the next used receive buffer and compares what is in it. */
function expectArrives(guest: TestGuest, address: number, frame: Uint8Array): void {
  expect(guest.receiveq.takeUsed()).toBeGreaterThanOrEqual(0);
  expect(guest.receiveq.usedLength).toBe(12 + frame.length);
  expect(Buffer.compare(guest.get(address + 12, frame.length), frame)).toBe(0);
}

const CUTS = Array.from({ length: 30 }, (_, i) => i + 1);
const FORMS = [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM];
/** A header whose every field must survive the cut. */
const HEADER = netHeader({ flags: NEEDS_CSUM, csumStart: 34, csumOffset: 16 });

function checkHeader(guest: TestGuest, address: number): void {
  const { flags, csumStart, csumOffset, buffers } = readNetHeader(guest.get(address, 12));
  expect([flags, csumStart, csumOffset, buffers]).toEqual([NEEDS_CSUM, 34, 16, 1]);
}

test("a header and frame cut in two at every place of the first 30 bytes arrive whole", () => {
  for (const cut of CUTS) {
    const rig = newRig();
    const [sender, receiver] = [rig.guest({ features: FORMS }), rig.guest({ features: FORMS })];
    const [{ address }] = receiver.postMany(1, 2048);
    sender.sendPieces([cut], HEADER, patterned(100));
    rig.drain(sender, receiver);
    expectArrives(receiver, address, patterned(100));
    checkHeader(receiver, address);
  }
});

test("a header and frame cut in three at every two places of the first 30 bytes arrive whole", () => {
  for (const cut of CUTS) {
    const rig = newRig();
    const [sender, receiver] = [rig.guest({ features: FORMS }), rig.guest({ features: FORMS })];
    const buffers = receiver.postMany(15, 2048).concat(receiver.postMany(15, 2048));
    for (const second of CUTS) {
      sender.sendPieces([cut, second], HEADER, patterned(60 + second));
      rig.drain(sender, receiver);
      expectArrives(receiver, buffers[second - 1].address, patterned(60 + second));
      checkHeader(receiver, buffers[second - 1].address);
      sender.transmitq.takeUsed();
    }
  }
});

test("the same through an indirect table", () => {
  for (const cut of CUTS) {
    const rig = newRig();
    const [sender, receiver] = [rig.guest(), rig.guest()];
    const [{ address }] = receiver.postMany(1, 2048);
    const data = sender.alloc(112);
    sender.put(data + 12, patterned(100));
    const table = sender.table([
      [data, cut, VRING_DESC_F_NEXT, 2],
      [data + cut + 1, 111 - cut, 0],
      [data + cut, 1, VRING_DESC_F_NEXT, 1],
    ]);
    sender.descriptor(sender.transmitq, 0, table, 48, VRING_DESC_F_INDIRECT);
    sender.transmitq.push(0);
    sender.transmitq.publish();
    rig.drain(sender, receiver);
    expectArrives(receiver, address, patterned(100));
  }
});

test("a direct chain may end in an indirect table", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest()];
  const [{ address }] = receiver.postMany(1, 2048);
  const data = sender.alloc(112);
  sender.put(data + 12, patterned(100));
  const table = sender.table([[data + 50, 62, 0]]);
  sender.descriptor(sender.transmitq, 0, data, 50, VRING_DESC_F_NEXT, 1);
  sender.descriptor(sender.transmitq, 1, table, 16, VRING_DESC_F_INDIRECT);
  sender.transmitq.push(0);
  sender.transmitq.publish();
  rig.drain(sender, receiver);
  expectArrives(receiver, address, patterned(100));
});

test("a receive buffer cut in three at every two places of its first 30 bytes is filled in order", () => {
  for (const cut of CUTS) {
    const rig = newRig();
    const [sender, receiver] = [rig.guest(), rig.guest({ size: 128 })];
    for (const second of CUTS) {
      const pieces = [cut, second, 300].map((size) => [receiver.alloc(size, 0, 1), size] as const);
      receiver.post(pieces);
      sender.send(patterned(200));
      rig.drain(sender, receiver);
      receiver.receiveq.takeUsed();
      sender.transmitq.takeUsed();
      expect(receiver.receiveq.usedLength).toBe(212);
      // Allocated without gaps, so the pieces are one run of bytes.
      expect(Buffer.compare(receiver.get(pieces[0][0] + 12, 200), patterned(200))).toBe(0);
      expect(readNetHeader(receiver.get(pieces[0][0], 12)).buffers).toBe(1);
    }
  }
});

test("a frame in single bytes goes into a buffer of single bytes", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest({ size: 256 }), rig.guest({ size: 256 })];
  const address = receiver.alloc(200, 0, 1);
  receiver.post(Array.from({ length: 200 }, (_, i) => [address + i, 1] as const));
  sender.sendPieces(new Array(112).fill(1), new Uint8Array(12), patterned(100));
  rig.drain(sender, receiver);
  expectArrives(receiver, address, patterned(100));
});

/** Memory in two regions that meet at `border`, with the rings in the first. */
function split(border: number): GuestOptions {
  return {
    size: 128,
    regions: [
      { guest: border - MIB, size: MIB },
      { guest: border, size: MIB },
    ],
  };
}

function expectCrosses(rig: Rig, options: GuestOptions, border: number): void {
  for (const before of [1, 11, 12, 13, 25, 26, 27, 40, 111]) {
    const [sender, receiver] = [rig.guest(options), rig.guest(options)];
    const at = border - before;
    sender.put(at, new Uint8Array(12));
    sender.put(at + 12, patterned(100));
    receiver.post([[at, 2048]]);
    sender.transmitq.addChain([[at, 112]], false);
    sender.transmitq.publish();
    rig.drain(sender, receiver);
    expect(sender.reasons).toEqual({});
    expectArrives(receiver, at, patterned(100));
  }
}

test("buffers lie across two adjacent regions", () => expectCrosses(newRig(), split(BASE + 5 * MIB), BASE + 5 * MIB));

test("buffers lie across two regions that meet at 4 GiB", () => expectCrosses(newRig(), split(BASE), BASE));

test("buffers lie across 4 GiB inside one region", () => {
  expectCrosses(newRig(), { size: 128, regions: [{ guest: BASE - MIB, size: 2 * MIB }] }, BASE);
});

test("buffers lie across two regions that end at 2^53", () => {
  expectCrosses(newRig(), split(2 ** 53 - MIB), 2 ** 53 - MIB);
});

test("a buffer across a gap between two regions is outside the memory", () => {
  const rig = newRig();
  const [sender, receiver] = [
    rig.guest({
      regions: [
        { guest: BASE, size: MIB },
        { guest: BASE + MIB + 4096, size: MIB },
      ],
    }),
    rig.guest(),
  ];
  receiver.postMany(1, 2048);
  sender.transmitq.addChain([[BASE + MIB - 60, 112]], false);
  sender.transmitq.publish();
  rig.drain(sender, receiver);
  expect(sender.reasons).toEqual({ desc_address: 1 });
});

test("an indirect table lies anywhere in the memory, however aligned, but in one region", () => {
  const rig = newRig();
  const border = BASE + 5 * MIB;
  const [sender, receiver] = [rig.guest(split(border)), rig.guest()];
  const [{ address }] = receiver.postMany(1, 2048);
  const data = sender.alloc(112);
  sender.put(data + 12, patterned(100));
  const entry = sender.get(sender.table([[data, 112, 0]]), 16);
  for (const [head, at] of [border - 1000 + 3, border - 8].entries()) {
    sender.put(at, entry);
    sender.descriptor(sender.transmitq, head, at, 16, VRING_DESC_F_INDIRECT);
    sender.transmitq.push(head);
    sender.transmitq.publish();
  }
  rig.drain(sender, receiver);
  expectArrives(receiver, address, patterned(100));
  expect(sender.reasons).toEqual({ desc_address: 1 });
});

test("a chain as long as the segment pool passes, a longer one counts as desc_loop", () => {
  const rig = newRig();
  const roomy = { size: 4096, regions: [{ guest: BASE, size: 4 * MIB }] };
  const [sender, receiver] = [rig.guest(roomy), rig.guest({ features: [VIRTIO_NET_F_MRG_RXBUF] })];
  const [{ address }] = receiver.postMany(1, 65536);
  const data = sender.alloc(MAX_SEGMENTS * 20);
  const bytes = new Uint8Array(MAX_SEGMENTS * 20);
  bytes.set(patterned(bytes.length - 12), 12);
  sender.put(data, bytes);
  const chain = Array.from({ length: MAX_SEGMENTS }, (_, i) => [data + i * 20, 20] as const);
  sender.transmitq.addChain([...chain, [data, 1]], false);
  sender.transmitq.publish();
  rig.drain(sender, receiver);
  expect(sender.reasons).toEqual({ desc_loop: 1 });
  expect(sender.transmitq.takeUsed()).toBeGreaterThanOrEqual(0);
  sender.transmitq.addChain(chain, false);
  sender.transmitq.publish();
  rig.drain(sender, receiver);
  expectArrives(receiver, address, patterned(bytes.length - 12));
});

test("frames that do not fit the pool together go in several bursts", () => {
  const rig = newRig();
  const [sender, receiver] = [
    rig.guest({ size: 8192, regions: [{ guest: BASE, size: 4 * MIB }] }),
    rig.guest({ size: 64 }),
  ];
  const buffers = receiver.postMany(64, 2048);
  for (let i = 0; i < 64; i++) sender.sendPieces(new Array(100).fill(2), new Uint8Array(12), patterned(200 + i));
  expect(rig.move(sender, receiver)).toBe(Math.floor(MAX_SEGMENTS / 101));
  rig.drain(sender, receiver);
  expect([sender.reasons, receiver.reasons]).toEqual([{}, {}]);
  for (let i = 0; i < 64; i++) expectArrives(receiver, buffers[i].address, patterned(200 + i));
});

test("the shortest and the longest frame pass", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest()];
  for (const size of [14, 15, 16, 17, MAX_FRAME - 1, MAX_FRAME]) {
    const [{ address }] = receiver.postMany(1, 12 + MAX_FRAME);
    sender.send(patterned(Math.max(size, 20)).subarray(0, size));
    rig.drain(sender, receiver);
    expectArrives(receiver, address, patterned(Math.max(size, 20)).subarray(0, size));
  }
});

test("an indirect receive buffer is filled", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest()];
  const address = receiver.alloc(400);
  const table = receiver.table([
    [address, 100, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1],
    [address + 100, 300, VRING_DESC_F_WRITE],
  ]);
  receiver.descriptor(receiver.receiveq, 0, table, 32, VRING_DESC_F_INDIRECT);
  receiver.receiveq.push(0);
  receiver.receiveq.publish();
  sender.send(patterned(200));
  rig.drain(sender, receiver);
  expectArrives(receiver, address, patterned(200));
});
