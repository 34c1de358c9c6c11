// Whether a receive ring has room for anything, as a lane says it without its lock.

import { expect, test } from "bun:test";
import { DELIVER_NEXT } from "../../src/mem/lane-state.ts";
import { frame, mac } from "../support/frames.ts";
import { useRig } from "./rig.ts";

const newRig = useRig();

test("there is room while a buffer waits, also where indexes begin anew, and none in a broken ring", () => {
  const rig = newRig();
  const [guest, peer] = [rig.guest(), rig.guest()];
  expect(guest.lane.hasRoom()).toBe(false);
  for (const from of [0, 0xffff]) {
    guest.state[DELIVER_NEXT] = from;
    guest.receiveq.avail[1] = from;
    expect(guest.lane.hasRoom()).toBe(false);
    guest.receiveq.avail[1] = (from + 1) & 0xffff;
    expect(guest.lane.hasRoom()).toBe(true);
  }
  guest.restart();
  guest.postMany(2, 2048);
  for (const left of [true, false]) {
    peer.send(frame(mac(2), mac(1)));
    rig.move(peer, guest);
    expect(guest.lane.hasRoom()).toBe(left);
  }
  guest.receiveq.avail[1] = (guest.receiveq.avail[1] + 0x8000) & 0xffff;
  peer.send(frame(mac(2), mac(1)));
  rig.move(peer, guest);
  expect(guest.reasons).toEqual({ avail_index: 1, no_buffer: 1 });
  expect(guest.lane.hasRoom()).toBe(false);
});

test("a lane that delivers nowhere is asked to deliver, and counts why it does not", () => {
  const rig = newRig();
  const guest = rig.guest();
  guest.deliver = null;
  guest.open();
  expect(guest.lane.hasRoom()).toBe(true);
});
