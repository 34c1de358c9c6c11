// Opening a ring: size, alignment and cover are checked once, before anything is read (virtio 1.2, 2.7, 2.7.5, 2.7.6 and
// 2.7.8), each refusal names the part, and nothing is kept.

import { expect, test } from "bun:test";
import type { RingConfig } from "../../src/virtio/virtqueue-open.ts";
import { frame, mac } from "../support/frames.ts";
import { EVENT_IDX, type Rig, type TestGuest, useRig } from "./rig.ts";

const BASE = 2 ** 32;
const MIB = 1 << 20;
const newRig = useRig();

/** Windows in use, free slots aside. */
function windowsOf(rig: Rig): number {
  return rig.windows.size.reduce((sum, size) => sum + (size > 0 ? 1 : 0), 0);
}

function expectRefused(change: Partial<RingConfig>, message: string, features: readonly number[] = []): void {
  for (const ring of ["fetch", "deliver"] as const) {
    const rig = newRig();
    const guest: TestGuest = rig.guest({ size: 64, features });
    const peer = rig.guest();
    const good = guest[ring] as RingConfig;
    const before = windowsOf(rig);
    guest[ring] = { ...good, ...change };
    expect(() => guest.open()).toThrow(message);
    // Its own lane is shut: region and scratch are gone.
    expect(windowsOf(rig)).toBe(before - 2);
    guest[ring] = good;
    guest.open();
    peer.postMany(1, 2048);
    guest.send(frame(mac(2), mac(1)));
    rig.drain(guest, peer);
    expect(peer.receiveq.used[1]).toBe(1);
  }
}

for (const size of [0, 3, 63, 65, 32767, 65536, -4]) {
  test(`a queue size of ${size} is refused`, () =>
    expectRefused({ size }, `queue size ${size} is not a power of two up to 32768`));
}

test("a descriptor table must be aligned to 16 bytes", () => {
  for (const offset of [1, 4, 8, 15]) expectRefused({ desc: BASE + offset }, "descriptor table at 0x1000000");
});

test("an avail ring must be aligned to 2 bytes", () =>
  expectRefused({ avail: BASE + 2049 }, "avail ring at 0x100000801 is not aligned to 2 bytes"));

test("a used ring must be aligned to 4 bytes", () => {
  for (const offset of [1, 2, 3]) expectRefused({ used: BASE + 2048 + offset }, "is not aligned to 4 bytes");
});

test("a ring must lie in the memory from its first to its last byte", () => {
  const places = { "descriptor table": 64 * 16, "avail ring": 4 + 64 * 2, "used ring": 4 + 64 * 8 };
  const field = { "descriptor table": "desc", "avail ring": "avail", "used ring": "used" } as const;
  for (const [name, size] of Object.entries(places)) {
    const part = name as keyof typeof field;
    const step = { "descriptor table": 16, "avail ring": 2, "used ring": 4 }[part];
    const last = BASE + MIB - Math.ceil(size / step) * step;
    expectRefused({ [field[part]]: last + step }, `${name} at 0x`);
    expectRefused({ [field[part]]: BASE + MIB }, "is not in shared memory");
    expectRefused({ [field[part]]: BASE - 4096 }, "is not in shared memory");
    expectRefused({ [field[part]]: 2 ** 53 }, "is not in shared memory");
    const rig = newRig();
    const guest = rig.guest({ size: 64 });
    guest.fetch = { ...(guest.fetch as RingConfig), [field[part]]: last };
    guest.open();
  }
});

test("with EVENT_IDX the event words must lie in the memory too", () => {
  expectRefused({ avail: BASE + MIB - (4 + 64 * 2) }, "avail ring at 0x", EVENT_IDX);
  expectRefused({ used: BASE + MIB - (4 + 64 * 8) }, "used ring at 0x", EVENT_IDX);
});

test("a ring may not lie across two regions", () => {
  const rig = newRig();
  const regions = [
    { guest: BASE, size: MIB },
    { guest: BASE + MIB, size: MIB },
  ];
  const guest = rig.guest({ size: 64, regions });
  guest.fetch = { ...(guest.fetch as RingConfig), desc: BASE + MIB - 512 };
  expect(() => guest.open()).toThrow("descriptor table at 0x1000ffe00 (1024 bytes) is not in shared memory");
});
