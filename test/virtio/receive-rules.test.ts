// What a driver may not post into its receive queue, one broken rule per test: the buffer comes back empty and counts as
// `bad_buffer`, the frame goes into the next one; only the driver itself loses by it. And how much work such buffers may
// cause within one burst.

import { expect, test } from "bun:test";
import { BURST } from "../../src/mem/batch.ts";
import { VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { frame, mac } from "../support/frames.ts";
import { MERGEABLE, PLAIN, type TestGuest, useRig } from "./rig.ts";

const NEXT = VRING_DESC_F_NEXT;
const WRITE = VRING_DESC_F_WRITE;
const INDIRECT = VRING_DESC_F_INDIRECT;
const SIZE = 64;
const BASE = 2 ** 32;
const MIB = 1 << 20;
const BAD = 32;

const newRig = useRig();

type Entry = [address: number | bigint, length: number, flags: number, next?: number];

function direct(...entries: Entry[]): (guest: TestGuest) => void {
  return (guest) => {
    for (const [i, [address, length, flags, next]] of entries.entries()) {
      guest.descriptor(guest.receiveq, BAD + i, address, length, flags, next);
    }
  };
}

const GOOD = BASE + MIB / 2;

const broken: Record<string, (guest: TestGuest) => void> = {
  "a descriptor loop": direct([GOOD, 60, WRITE | NEXT, BAD]),
  "a next outside the table": direct([GOOD, 60, WRITE | NEXT, SIZE]),
  "an address outside the memory": direct([BASE + MIB, 2048, WRITE]),
  "an address above 2^53": direct([2n ** 53n + 2n ** 32n, 2048, WRITE]),
  "a buffer that ends outside the memory, after room for the frame": direct([BASE + MIB - 2048, 4096, WRITE]),
  "a buffer that ends outside the memory": direct([BASE + MIB - 60, 2048, WRITE]),
  "a length of zero": direct([GOOD, 0, WRITE]),
  "a length of 2^31": direct([GOOD, 2 ** 31, WRITE]),
  "a length of 2^32 - 1": direct([GOOD, 2 ** 32 - 1, WRITE]),
  "more than a mebibyte together": direct(
    [BASE, MIB / 2, WRITE | NEXT, BAD + 1],
    [BASE, MIB / 2, WRITE | NEXT, BAD + 2],
    [BASE, 1, WRITE],
  ),
  "a device-readable buffer": direct([GOOD, 2048, 0]),
  "a device-readable buffer behind a good one": direct([GOOD, 20, WRITE | NEXT, BAD + 1], [GOOD, 2048, 0]),
  "an indirect table outside the memory": direct([BASE + MIB, 32, INDIRECT]),
  "a table of 24 bytes": direct([GOOD, 24, INDIRECT]),
  "an indirect table followed by NEXT": (guest) => {
    const table = guest.table([[GOOD, 2048, WRITE]]);
    direct([table, 16, INDIRECT | NEXT, BAD + 1], [GOOD, 2048, WRITE])(guest);
  },
  "nested indirect tables": (guest) => {
    const table = guest.table([[GOOD, 16, INDIRECT]]);
    direct([table, 16, INDIRECT])(guest);
  },
};

/** Where the rule is only seen when the whole buffer is looked at, a frame that fits before the end goes in unharmed. */
const HARMLESS = new Set(["a buffer that ends outside the memory, after room for the frame"]);

for (const features of [PLAIN, MERGEABLE]) {
  const how = features.length > 0 ? "merged" : "single";
  for (const [name, setup] of Object.entries(broken)) {
    test(`${name} comes back empty, ${how} buffers`, () => {
      const rig = newRig();
      const [sender, hostile, other] = [rig.guest(), rig.guest({ size: SIZE, features }), rig.guest()];
      setup(hostile);
      hostile.receiveq.push(BAD);
      const [{ head, address }] = hostile.postMany(1, 2048);
      const sent = frame(mac(2), mac(1), 200);
      sender.send(sent);
      rig.drain(sender, hostile);

      const ids = new Int32Array(hostile.receiveq.used.buffer, hostile.receiveq.used.byteOffset + 4);
      if (HARMLESS.has(name)) {
        expect(hostile.reasons).toEqual({});
        expect([hostile.receiveq.used[1], ids[0], ids[1]]).toEqual([1, BAD, 212]);
        expect(hostile.get(BASE + MIB - 2048 + 12, 200)).toEqual(sent);
      } else {
        expect(hostile.reasons).toEqual({ bad_buffer: 1 });
        expect([hostile.receiveq.used[1], ids[0], ids[1], ids[2], ids[3]]).toEqual([2, BAD, 0, head, 212]);
        expect(hostile.get(address + 12, 200)).toEqual(sent);
      }
      expect(sender.reasons).toEqual({});

      const [good] = other.postMany(1, 2048);
      sender.send(sent);
      rig.drain(sender, other);
      expect(other.get(good.address + 12, 200)).toEqual(sent);

      hostile.restart();
      const [again] = hostile.postMany(1, 2048);
      sender.send(sent);
      rig.drain(sender, hostile);
      expect(hostile.get(again.address + 12, 200)).toEqual(sent);
    });
  }
}

test("a bad buffer behind the first of a frame's is met when it comes first", () => {
  const rig = newRig();
  const [sender, hostile] = [rig.guest(), rig.guest({ size: SIZE, features: MERGEABLE })];
  const [small] = hostile.postMany(1, 100);
  direct([BASE + MIB, 2048, WRITE])(hostile);
  hostile.receiveq.push(BAD);
  const [last] = hostile.postMany(1, 2048);
  sender.send(frame(mac(2), mac(1), 200));
  rig.drain(sender, hostile);
  expect(hostile.reasons).toEqual({ no_buffer: 1 });
  expect(hostile.receiveq.used[1]).toBe(0);

  sender.send(frame(mac(2), mac(1), 60));
  sender.send(frame(mac(2), mac(1), 201));
  rig.drain(sender, hostile);
  expect(hostile.reasons).toEqual({ no_buffer: 1, bad_buffer: 1 });
  expect(hostile.get(small.address + 12, 60)).toEqual(frame(mac(2), mac(1), 60));
  expect(hostile.get(last.address + 12, 201)).toEqual(frame(mac(2), mac(1), 201));
});

test("a burst looks at a limited number of bad buffers", () => {
  const size = 4096;
  const rig = newRig();
  const [sender, hostile] = [rig.guest(), rig.guest({ size, regions: [{ guest: BASE, size: 2 * MIB }] })];
  hostile.descriptor(hostile.receiveq, 0, 0, 2048, WRITE);
  for (let n = 0; n < size; n++) hostile.receiveq.push(0);
  hostile.receiveq.publish();
  sender.send(frame(mac(2), mac(1)));
  sender.send(frame(mac(2), mac(1)));
  rig.move(sender, hostile);
  expect(hostile.reasons).toEqual({ bad_buffer: BURST, no_buffer: 2 });
  expect(hostile.receiveq.used[1]).toBe(BURST);
});
