// Indices that leave no way on (virtio 1.2, 2.7.6): the ring is broken, which is counted once, and stays so until the
// driver resets it. What was taken before is given back; the other ring of the pair and other ports go on.

import { expect, test } from "bun:test";
import { DELIVER_STATUS, FETCH_STATUS, RING_BROKEN, RING_RUNNING } from "../../src/mem/lane-state.ts";
import { frame, mac } from "../support/frames.ts";
import { type Rig, type TestGuest, useRig } from "./rig.ts";

const SIZE = 64;
const newRig = useRig();

function expectPasses(rig: Rig, from: TestGuest, to: TestGuest): void {
  const [{ head, address }] = to.postMany(1, 2048);
  from.send(frame(mac(2), mac(1), 100, 0x33));
  rig.drain(from, to);
  expect(to.receiveq.takeUsed()).toBe(head);
  expect(to.get(address + 12, 100)).toEqual(frame(mac(2), mac(1), 100, 0x33));
}

const jumps = { "one too far": SIZE + 1, "half way round": 0x8000, "one backwards": 0xffff };
const heads = { "just outside the table": SIZE, "the highest": 0xffff };

for (const [name, jump] of Object.entries(jumps)) {
  test(`an avail index of the transmit queue that jumps ${name} breaks that ring only`, () => {
    const rig = newRig();
    const [hostile, peer] = [rig.guest({ size: SIZE }), rig.guest()];
    expectPasses(rig, hostile, peer);
    hostile.transmitq.avail[1] = (hostile.transmitq.avail[1] + jump) & 0xffff;
    for (let turn = 0; turn < 3; turn++) expect(rig.move(hostile, peer)).toBe(0);
    expect(hostile.reasons).toEqual({ avail_index: 1 });
    expect(hostile.state[FETCH_STATUS]).toBe(RING_BROKEN);
    expect(hostile.lane.arm()).toBe(false);
    // Rebuilding the lane, as a change of memory does, is no way out.
    hostile.open();
    expect(rig.move(hostile, peer)).toBe(0);
    expect(hostile.reasons).toEqual({ avail_index: 1 });

    expectPasses(rig, peer, hostile);
    hostile.restart();
    expect(hostile.state[FETCH_STATUS]).toBe(RING_RUNNING);
    expectPasses(rig, hostile, peer);
  });

  test(`an avail index of the receive queue that jumps ${name} breaks that ring only`, () => {
    const rig = newRig();
    const [hostile, peer] = [rig.guest({ size: SIZE }), rig.guest()];
    expectPasses(rig, peer, hostile);
    hostile.receiveq.avail[1] = (hostile.receiveq.avail[1] + jump) & 0xffff;
    for (let turn = 0; turn < 3; turn++) {
      peer.send(frame(mac(2), mac(1)));
      rig.move(peer, hostile);
    }
    expect(hostile.reasons).toEqual({ avail_index: 1, no_buffer: 3 });
    expect(hostile.state[DELIVER_STATUS]).toBe(RING_BROKEN);
    expect(hostile.receiveq.used[1]).toBe(1);

    expectPasses(rig, hostile, peer);
    hostile.restart();
    expectPasses(rig, peer, hostile);
  });
}

for (const [name, head] of Object.entries(heads)) {
  test(`a head ${name} in the transmit queue breaks the ring behind the frames before it`, () => {
    const rig = newRig();
    const [hostile, peer] = [rig.guest({ size: SIZE }), rig.guest()];
    const [buffer] = peer.postMany(2, 2048);
    hostile.send(frame(mac(2), mac(1), 77));
    hostile.transmitq.push(head);
    hostile.transmitq.publish();
    rig.drain(hostile, peer);
    hostile.send(frame(mac(2), mac(1), 78));
    rig.drain(hostile, peer);
    expect(hostile.reasons).toEqual({ avail_head: 1 });
    expect(hostile.transmitq.used[1]).toBe(1);
    expect(peer.receiveq.used[1]).toBe(1);
    expect(peer.get(buffer.address + 12, 77)).toEqual(frame(mac(2), mac(1), 77));

    expectPasses(rig, peer, hostile);
    hostile.restart();
    peer.restart();
    expectPasses(rig, hostile, peer);
  });

  test(`a head ${name} in the receive queue breaks the ring behind the frames before it`, () => {
    const rig = newRig();
    const [hostile, peer] = [rig.guest({ size: SIZE }), rig.guest()];
    const [buffer] = hostile.postMany(1, 2048);
    hostile.receiveq.push(head);
    hostile.receiveq.publish();
    hostile.postMany(1, 2048);
    for (const size of [77, 78, 79]) peer.send(frame(mac(2), mac(1), size));
    rig.drain(peer, hostile);
    expect(hostile.reasons).toEqual({ avail_head: 1, no_buffer: 2 });
    expect(hostile.receiveq.used[1]).toBe(1);
    expect(hostile.get(buffer.address + 12, 77)).toEqual(frame(mac(2), mac(1), 77));

    expectPasses(rig, hostile, peer);
    hostile.restart();
    expectPasses(rig, peer, hostile);
  });
}

test("a full ring is no jump", () => {
  const rig = newRig();
  const [guest, peer] = [rig.guest({ size: 4 }), rig.guest()];
  peer.postMany(4, 2048);
  for (const size of [60, 61, 62, 63]) guest.send(frame(mac(2), mac(1), size));
  expect(rig.move(guest, peer)).toBe(4);
  expect(guest.reasons).toEqual({});
});
