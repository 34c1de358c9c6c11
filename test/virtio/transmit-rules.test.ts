// What a driver may not put into its transmit queue, one broken rule per test (virtio 1.2, 2.7.5 and 5.1.6): the chain is
// counted under the rule's name and given back, the frames around it pass, so do another port's, and a reset clears all.

import { expect, test } from "bun:test";
import { VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { frame, mac, numbered } from "../support/frames.ts";
import { MERGEABLE, type Rig, type TestGuest, useRig } from "./rig.ts";

const NEXT = VRING_DESC_F_NEXT;
const WRITE = VRING_DESC_F_WRITE;
const INDIRECT = VRING_DESC_F_INDIRECT;
const SIZE = 64;
/** Bad chains are written by hand from here on, far from the descriptors that DriverRing hands out first. */
const BAD = 32;
const MIB = 1 << 20;

const newRig = useRig();

/** Writes a chain by hand, starting at descriptor BAD. */
type Setup = (guest: TestGuest, data: number) => void;

interface Rule {
  counter: string;
  breaks: Record<string, Setup>;
}

/** [address, length, flags, next] from BAD on. */
function direct(...entries: [address: number | bigint, length: number, flags: number, next?: number][]): Setup {
  return (guest) => {
    for (const [i, [address, length, flags, next]] of entries.entries()) {
      guest.descriptor(guest.transmitq, BAD + i, address, length, flags, next);
    }
  };
}

/** The same with addresses of good memory filled in. */
function inMemory(...entries: [length: number, flags: number, next?: number][]): Setup {
  return (guest, data) =>
    direct(
      ...entries.map(
        ([length, flags, next]) => [data, length, flags, next] as [number, number, number, number | undefined],
      ),
    )(guest, data);
}

/** An indirect table, given as [length, flags, next] of entries in good memory. */
function indirect(...entries: [length: number, flags: number, next?: number][]): Setup {
  return (guest, data) => {
    const table = guest.table(entries.map(([length, flags, next]) => [data, length, flags, next]));
    guest.descriptor(guest.transmitq, BAD, table, entries.length * 16, INDIRECT);
  };
}

const BASE = 2 ** 32;

const rules: Rule[] = [
  {
    counter: "desc_loop",
    breaks: {
      "a descriptor that follows itself": inMemory([60, NEXT, BAD]),
      "two that follow each other": inMemory([60, NEXT, BAD + 1], [60, NEXT, BAD]),
      "a loop in an indirect table": indirect([60, NEXT, 1], [60, NEXT, 0]),
      "a loop into the middle of a chain": inMemory([20, NEXT, BAD + 1], [20, NEXT, BAD + 2], [20, NEXT, BAD + 1]),
    },
  },
  {
    counter: "desc_index",
    breaks: {
      "a next outside the table": inMemory([60, NEXT, SIZE]),
      "a next of 65535": inMemory([60, NEXT, 0xffff]),
      "a next outside an indirect table": indirect([60, NEXT, 2], [60, 0]),
    },
  },
  {
    counter: "desc_address",
    breaks: {
      "an address below the memory": direct([BASE - 1, 60, 0]),
      "address zero": direct([0, 60, 0]),
      "an address right behind the memory": direct([BASE + MIB, 60, 0]),
      "a buffer that ends outside": direct([BASE + MIB - 59, 60, 0]),
      "an address of 2^53": direct([2n ** 53n, 60, 0]),
      "an address of 2^53 more than a good one": direct([2n ** 53n + 2n ** 32n, 60, 0]),
      "the highest address": direct([2n ** 64n - 1n, 60, 0]),
      "an address that wraps around": direct([2n ** 64n - 30n, 60, 0]),
      "an indirect table outside the memory": direct([BASE + MIB, 32, INDIRECT]),
      "an indirect table that ends outside": direct([BASE + MIB - 16, 32, INDIRECT]),
      "an indirect table above 2^53": direct([2n ** 60n, 32, INDIRECT]),
      "an indirect entry outside the memory": (guest) => {
        const table = guest.table([[BASE + MIB, 60, 0]]);
        guest.descriptor(guest.transmitq, BAD, table, 16, INDIRECT);
      },
    },
  },
  {
    counter: "desc_length",
    breaks: {
      "a length of zero": inMemory([0, 0]),
      "a length of zero inside a chain": inMemory([40, NEXT, BAD + 1], [0, NEXT, BAD + 2], [40, 0]),
      "a length of zero in an indirect table": indirect([40, NEXT, 1], [0, 0]),
      "a length of 2^31": inMemory([2 ** 31, 0]),
      "a length of 2^32 - 1": inMemory([2 ** 32 - 1, 0]),
      "2^31 behind a good descriptor": inMemory([40, NEXT, BAD + 1], [2 ** 31, 0]),
      "more than a mebibyte at once": direct([BASE, MIB + 1, 0]),
      "more than a mebibyte together": (guest) => {
        direct([BASE, MIB / 2, NEXT, BAD + 1], [BASE, MIB / 2, NEXT, BAD + 2], [BASE, 1, 0])(guest, 0);
      },
      "lengths whose sum wraps to a small one": inMemory(
        [40, NEXT, BAD + 1],
        [2 ** 31 - 1, NEXT, BAD + 2],
        [2 ** 31 - 1, 0],
      ),
    },
  },
  {
    counter: "desc_direction",
    breaks: {
      "a device-writable buffer": inMemory([60, WRITE]),
      "a device-writable buffer behind a good one": inMemory([60, NEXT, BAD + 1], [60, WRITE]),
      "a device-writable indirect entry": indirect([60, WRITE]),
    },
  },
  {
    counter: "desc_nested",
    breaks: {
      "an indirect table in an indirect table": (guest, data) => {
        const inner = guest.table([[data, 60, 0]]);
        const outer = guest.table([[inner, 16, INDIRECT]]);
        guest.descriptor(guest.transmitq, BAD, outer, 16, INDIRECT);
      },
      "a table that names itself": (guest) => {
        const table = guest.table([[0, 16, INDIRECT]]);
        guest.put(table, new Uint8Array(new BigUint64Array([BigInt(table)]).buffer));
        guest.descriptor(guest.transmitq, BAD, table, 16, INDIRECT);
      },
    },
  },
  {
    counter: "desc_indirect",
    breaks: {
      "an indirect descriptor with NEXT": (guest, data) => {
        const table = guest.table([[data, 60, 0]]);
        guest.descriptor(guest.transmitq, BAD, table, 16, INDIRECT | NEXT, BAD + 1);
        guest.descriptor(guest.transmitq, BAD + 1, data, 60, 0);
      },
      "an empty indirect table": inMemory([0, INDIRECT]),
      "a table of a descriptor and a half": inMemory([24, INDIRECT]),
      "a table of 15 bytes": inMemory([15, INDIRECT]),
      "a table larger than the largest queue": direct([BASE, 16 * 32768 + 16, INDIRECT]),
      "a table of 2^31 bytes": inMemory([2 ** 31, INDIRECT]),
      "a table of 2^32 - 16 bytes": inMemory([2 ** 32 - 16, INDIRECT]),
    },
  },
  {
    counter: "runt",
    breaks: {
      "a header without a frame": inMemory([12, 0]),
      "a frame shorter than an Ethernet header": inMemory([12 + 13, 0]),
      "half a header": inMemory([6, 0]),
      "one byte": inMemory([1, 0]),
      "a runt in two pieces": inMemory([12, NEXT, BAD + 1], [13, 0]),
    },
  },
  {
    counter: "oversized",
    breaks: {
      "a byte more than the longest frame": direct([BASE, 12 + 65535 + 14 + 8 + 1, 0]),
      "the same in two pieces": direct([BASE, 12, NEXT, BAD + 1], [BASE, 65535 + 14 + 8 + 1, 0]),
    },
  },
];

/** A good frame passes from `from` to `to`. */
function expectPasses(rig: Rig, from: TestGuest, to: TestGuest, number: number): void {
  const [{ head, address }] = to.postMany(1, 2048);
  const sent = numbered(mac(2), mac(1), 7, number, 60 + number);
  from.send(sent);
  rig.drain(from, to);
  expect(to.receiveq.takeUsed()).toBe(head);
  expect(to.receiveq.usedLength).toBe(12 + sent.length);
  expect(to.get(address + 12, sent.length)).toEqual(sent);
}

test("a broken chain ends its burst, so that many of them cost other ports no more than good ones", () => {
  const rig = newRig();
  const [hostile, peer] = [rig.guest({ size: SIZE }), rig.guest({ size: SIZE })];
  peer.postMany(10, 2048);
  for (let n = 0; n < 5; n++) {
    hostile.send(frame(mac(2), mac(1), 60 + n));
    hostile.descriptor(hostile.transmitq, BAD, 0, 60);
    hostile.transmitq.push(BAD);
    hostile.send(frame(mac(2), mac(1), 70 + n));
  }
  const turns = Array.from({ length: 7 }, () => rig.move(hostile, peer));
  expect(turns).toEqual([1, 2, 2, 2, 2, 1, 0]);
  expect(hostile.reasons).toEqual({ desc_address: 5 });
});

test("long frames end their burst sooner: other ports wait for bytes, not for frames", () => {
  const rig = newRig();
  const [sender, peer] = [rig.guest({ size: SIZE, regions: [{ guest: BASE, size: MIB }] }), rig.guest()];
  const data = sender.alloc(12 + 60_000);
  for (let n = 0; n < 7; n++) {
    sender.descriptor(sender.transmitq, BAD + n, data, 12 + 60_000, 0);
    sender.transmitq.push(BAD + n);
  }
  sender.transmitq.publish();
  // The fifth makes it more than 256 KiB.
  expect(Array.from({ length: 3 }, () => rig.move(sender, peer))).toEqual([5, 2, 0]);
  expect(peer.reasons).toEqual({ no_buffer: 7 });
});

for (const { counter, breaks } of rules) {
  for (const [name, setup] of Object.entries(breaks)) {
    test(`${name} counts as ${counter} and harms no other frame`, () => {
      const rig = newRig();
      const [hostile, peer, other] = [rig.guest({ size: SIZE }), rig.guest({ features: MERGEABLE }), rig.guest()];
      const buffers = peer.postMany(4, 2048);
      const before = hostile.send(frame(mac(2), mac(1), 64, 0x11));
      setup(hostile, hostile.alloc(4096));
      hostile.transmitq.push(BAD);
      const after = hostile.send(frame(mac(2), mac(1), 65, 0x22));
      rig.drain(hostile, peer);

      expect(hostile.reasons).toEqual({ [counter]: 1 });
      expect(peer.reasons).toEqual({});
      // All three are given back, in order.
      expect(hostile.transmitq.used[1]).toBe(3);
      const ids = new Int32Array(hostile.transmitq.used.buffer, hostile.transmitq.used.byteOffset + 4);
      expect([ids[0], ids[2], ids[4]]).toEqual([before, BAD, after]);
      expect([ids[1], ids[3], ids[5]]).toEqual([0, 0, 0]);
      expect(peer.receiveq.used[1]).toBe(2);
      expect(peer.get(buffers[0].address + 12, 64)).toEqual(frame(mac(2), mac(1), 64, 0x11));
      expect(peer.get(buffers[1].address + 12, 65)).toEqual(frame(mac(2), mac(1), 65, 0x22));

      expectPasses(rig, other, hostile, 1);
      expectPasses(rig, hostile, other, 2);
      hostile.restart();
      expectPasses(rig, hostile, other, 3);
      expectPasses(rig, other, hostile, 4);
    });
  }
}
