// Frames in a guest of 3 GiB (sparse: only what is touched exists): buffers at, before and across the borders of windows,
// on both sides of the switch.

import { expect, test } from "bun:test";
import { MAX_FRAME } from "../../src/mem/batch.ts";
import { WINDOW_OVERLAP, WINDOW_SPAN } from "../../src/mem/window.ts";
import { mac, numbered } from "../support/frames.ts";
import { useRig } from "../virtio/rig.ts";

const BASE = 2 ** 32;
const SIZE = 3 * 2 ** 30;
const newRig = useRig();

/** Offsets in the region where a buffer of `length` bytes starts. */
function places(length: number): number[] {
  return [1, 2, 3]
    .flatMap((n) => [n * WINDOW_SPAN, (n % 3) * WINDOW_SPAN + WINDOW_OVERLAP])
    .flatMap((border) => [-length - 1, -length, 1 - length, -length >> 1, -13, -12, -1, 0, 1].map((d) => border + d))
    .filter((offset) => offset + length <= SIZE && offset > 2 ** 19);
}

for (const size of [60, 1514, MAX_FRAME]) {
  test(`frames of ${size} bytes at the borders of windows`, () => {
    const rig = newRig();
    const options = { size: 64, regions: [{ guest: BASE, size: SIZE }] };
    const [sender, receiver] = [rig.guest(options), rig.guest(options)];
    const length = 12 + size;
    const all = places(length);
    expect(all.length).toBeGreaterThan(40);
    for (const [n, offset] of all.entries()) {
      const sent = numbered(mac(2), mac(1), 7, n, size);
      // The receiver's buffers go through the borders the other way round.
      const into = BASE + all[all.length - 1 - n];
      sender.put(BASE + offset + 12, sent);
      sender.put(BASE + offset, new Uint8Array(12));
      sender.transmitq.addChain([[BASE + offset, length]], false);
      sender.transmitq.publish();
      receiver.post([[into, length]]);
      rig.drain(sender, receiver);
      expect(receiver.receiveq.takeUsed()).toBeGreaterThanOrEqual(0);
      expect(receiver.receiveq.usedLength).toBe(length);
      expect(Buffer.compare(receiver.get(into + 12, size), sent)).toBe(0);
      sender.transmitq.takeUsed();
    }
    expect([sender.reasons, receiver.reasons]).toEqual([{}, {}]);
  });
}

test("a ring lies anywhere in a region, borders of windows included", () => {
  const rig = newRig();
  const sender = rig.guest();
  for (const offset of [WINDOW_SPAN - 512, WINDOW_SPAN, WINDOW_SPAN + WINDOW_OVERLAP - 512, 2 * WINDOW_SPAN - 16]) {
    const receiver = rig.guest({ size: 64, regions: [{ guest: BASE, size: SIZE }] });
    const { desc, avail, used } = receiver.deliver as { desc: number; avail: number; used: number };
    const moved = { desc: offset, avail: offset + 64 * 16, used: offset + 64 * 16 + 140 };
    receiver.deliver = {
      ...receiver.deliver!,
      desc: BASE + moved.desc,
      avail: BASE + moved.avail,
      used: BASE + moved.used,
    };
    receiver.open();
    const address = receiver.alloc(2048);
    receiver.post([[address, 2048]]);
    receiver.put(BASE + moved.desc, receiver.get(desc, 64 * 16));
    receiver.put(BASE + moved.avail, receiver.get(avail, 4 + 64 * 2));
    expect(used).toBeLessThan(BASE + 2 ** 20);
    sender.send(numbered(mac(2), mac(1), 7, offset, 100));
    rig.drain(sender, receiver);
    expect(Buffer.compare(receiver.get(address + 12, 100), numbered(mac(2), mac(1), 7, offset, 100))).toBe(0);
    expect([...receiver.get(BASE + moved.used + 2, 2)]).toEqual([1, 0]);
  }
});
