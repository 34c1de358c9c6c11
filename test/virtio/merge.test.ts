// One frame over several receive buffers (MRG_RXBUF, virtio 1.2, 5.1.6.4): num_buffers and the used lengths are right, and
// a frame that does not find buffers enough takes none.

import { expect, test } from "bun:test";
import { MAX_FRAME } from "../../src/mem/batch.ts";
import { frame, mac, numbered, readNetHeader } from "../support/frames.ts";
import { MERGEABLE, type TestGuest, useRig } from "./rig.ts";

const BASE = 2 ** 32;
const MIB = 1 << 20;
/** What Linux posts for an MTU of 1500 where it merges: 12 + 1514. */
const BUFFER = 1526;
const newRig = useRig();

function patterned(size: number): Uint8Array {
  const bytes = numbered(mac(2), mac(1), 7, size, size);
  for (let i = 20; i < size; i++) bytes[i] = (i * 11 + (i >> 8)) & 0xff;
  return bytes;
}

/** Takes a merged frame from the receive queue, as a driver does; checks num_buffers and lengths on the way. */
function takeMerged(guest: TestGuest, addresses: Map<number, number>, bufferSize: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let wanted = 1;
  for (let n = 0; n < wanted; n++) {
    const head = guest.receiveq.takeUsed();
    const bytes = guest.get(addresses.get(head) as number, guest.receiveq.usedLength);
    if (n === 0) wanted = readNetHeader(bytes).buffers;
    if (n < wanted - 1) expect(bytes.length).toBe(bufferSize);
    expect(bytes.length).toBeGreaterThan(0);
    parts.push(bytes);
  }
  return Buffer.concat(parts).subarray(12);
}

/** Offers `count` buffers; where each is, by its head. */
function post(guest: TestGuest, count: number, size: number): Map<number, number> {
  return new Map(guest.postMany(count, size).map(({ head, address }) => [head, address]));
}

for (const size of [60, BUFFER - 12, BUFFER - 11, 2 * BUFFER - 12, 2 * BUFFER - 11, 9000, 65535, MAX_FRAME]) {
  test(`a frame of ${size} bytes over buffers of ${BUFFER}`, () => {
    const rig = newRig();
    const [sender, receiver] = [rig.guest(), rig.guest({ features: MERGEABLE })];
    const addresses = post(receiver, 64, BUFFER);
    sender.send(patterned(size));
    rig.drain(sender, receiver);
    expect(receiver.receiveq.used[1]).toBe(Math.ceil((12 + size) / BUFFER));
    expect(Buffer.compare(takeMerged(receiver, addresses, BUFFER), patterned(size))).toBe(0);
  });
}

test("frames of many sizes, over buffers of many sizes, round and round the ring", () => {
  for (const bufferSize of [13, 64, 511, 1526, 4096]) {
    const rig = newRig();
    const [sender, receiver] = [rig.guest(), rig.guest({ size: 128, features: MERGEABLE })];
    const addresses = post(receiver, 128, bufferSize);
    const data = sender.alloc(12 + 9000);
    for (let n = 0; n < 200; n++) {
      const size = 60 + ((n * 977) % Math.min(8900, 100 * bufferSize));
      sender.put(data + 12, patterned(size));
      sender.transmitq.add(data, 12 + size, false);
      sender.transmitq.publish();
      rig.drain(sender, receiver);
      sender.transmitq.takeUsed();
      expect(receiver.reasons).toEqual({});
      const before = receiver.receiveq.available;
      expect(Buffer.compare(takeMerged(receiver, addresses, bufferSize), patterned(size))).toBe(0);
      repost(receiver, addresses, bufferSize, receiver.receiveq.available - before);
    }
  }
});

/** Offers `count` free descriptors again, each with the buffer it had. */
function repost(guest: TestGuest, addresses: Map<number, number>, size: number, count: number): void {
  for (let n = 0; n < count; n++) {
    const head = guest.receiveq.add(0, size, true);
    guest.receiveq.writeDescriptor(head, addresses.get(head) as number, size, 2, 0);
  }
  guest.receiveq.publish();
}

test("merged buffers may be chains of descriptors of their own", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest({ features: MERGEABLE })];
  const start = receiver.alloc(6 * 700, 0, 1);
  for (const buffer of [0, 2100]) {
    receiver.post([0, 700, 1400].map((offset) => [start + buffer + offset, 700] as const));
  }
  sender.send(patterned(3000));
  rig.drain(sender, receiver);
  expect(receiver.receiveq.takeUsed()).toBeGreaterThanOrEqual(0);
  expect(receiver.receiveq.usedLength).toBe(2100);
  expect(receiver.receiveq.takeUsed()).toBeGreaterThanOrEqual(0);
  expect(receiver.receiveq.usedLength).toBe(3012 - 2100);
  expect(Buffer.compare(receiver.get(start + 12, 3000), patterned(3000))).toBe(0);
  expect(readNetHeader(receiver.get(start, 12)).buffers).toBe(2);
});

test("a frame that needs more buffers than there are takes none, and a smaller one behind it passes", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest({ features: MERGEABLE })];
  const addresses = post(receiver, 3, BUFFER);
  sender.send(patterned(3 * BUFFER - 11));
  sender.send(patterned(3 * BUFFER - 12));
  rig.drain(sender, receiver);
  expect(receiver.reasons).toEqual({ no_buffer: 1 });
  expect(receiver.receiveq.used[1]).toBe(3);
  expect(takeMerged(receiver, addresses, BUFFER)).toEqual(Buffer.from(patterned(3 * BUFFER - 12)));
});

test("a frame longer than all of a ring's buffers together is dropped, again and again, and harms no other", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest({ size: 4, features: MERGEABLE })];
  const addresses = post(receiver, 4, BUFFER);
  for (let n = 0; n < 10; n++) sender.send(patterned(9000));
  rig.drain(sender, receiver);
  expect(receiver.reasons).toEqual({ no_buffer: 10 });
  sender.send(patterned(4000));
  rig.drain(sender, receiver);
  expect(takeMerged(receiver, addresses, BUFFER)).toEqual(Buffer.from(patterned(4000)));
});

test("more pieces than one frame's list of segments holds count as no_buffer", () => {
  const rig = newRig();
  const [sender, receiver] = [
    rig.guest(),
    rig.guest({ size: 2048, features: MERGEABLE, regions: [{ guest: BASE, size: 4 * MIB }] }),
  ];
  const addresses = post(receiver, 2048, 13);
  sender.send(patterned(13 * 1024 - 11));
  sender.send(patterned(13 * 1024 - 12));
  rig.drain(sender, receiver);
  expect(receiver.reasons).toEqual({ no_buffer: 1 });
  expect(takeMerged(receiver, addresses, 13)).toEqual(Buffer.from(patterned(13 * 1024 - 12)));
});

test("without MRG_RXBUF a frame too long for the next buffer is dropped, and a smaller one behind it passes", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest()];
  const addresses = post(receiver, 3, BUFFER);
  sender.send(patterned(BUFFER - 11));
  sender.send(patterned(BUFFER - 12));
  rig.drain(sender, receiver);
  expect(receiver.reasons).toEqual({ buffer_too_small: 1 });
  expect(receiver.receiveq.used[1]).toBe(1);
  expect(takeMerged(receiver, addresses, BUFFER)).toEqual(Buffer.from(patterned(BUFFER - 12)));
});

test("no receive buffer at all counts as no_buffer", () => {
  const rig = newRig();
  const [sender, receiver] = [rig.guest(), rig.guest()];
  for (let n = 0; n < 5; n++) sender.send(frame(mac(2), mac(1)));
  rig.drain(sender, receiver);
  expect(receiver.reasons).toEqual({ no_buffer: 5 });
  expect(receiver.receiveq.used[1]).toBe(0);
});
