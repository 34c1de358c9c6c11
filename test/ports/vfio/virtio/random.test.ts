// A virtio NIC that writes anything anywhere it reaches: used rings, descriptor tables, avail rings, headers, in any order
// between honest frames. Whatever it does, no call throws, a frame's pieces lie in the NIC's own buffers, and every frame is
// counted once. What it did is found again by the seed that a failure prints.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_FRAME, MIN_FRAME } from "../../../../src/mem/batch.ts";
import { FAULT_COMPLETION } from "../../../../src/mem/counters.ts";
import { virtioNetDriver } from "../../../../src/ports/vfio/virtio/driver.ts";
import type { VirtioNicLaneConfig } from "../../../../src/ports/vfio/virtio/lane.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../../src/uapi/virtio_net.ts";
import { driverQueueLayout } from "../../../../src/virtio/driver-queue.ts";
import { sized } from "../../../support/scale.ts";
import { pattern } from "../../lane-bench.ts";
import { FakeVirtioNet, OFFERED } from "./fake-device.ts";
import { NicRig, OPTIONS, whole } from "./rig.ts";

const SIZE = 16;
const LIMIT_MS = 120_000;

const word = fc.oneof(fc.nat(SIZE), fc.nat(5000), fc.constantFrom(0xffffffff, 0x80000000, 4160, 4161));
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("complete" as const), id: fc.nat(SIZE), length: word, buffers: fc.nat(3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("index" as const), queue: fc.nat(1), by: fc.integer({ min: -2, max: 5 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("finish" as const), id: word }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("scribble" as const),
      queue: fc.nat(1),
      at: fc.nat(SIZE * 16),
      value: word,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("header" as const), id: fc.nat(SIZE - 1), at: fc.nat(2), value: word }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      lengths: fc.array(fc.integer({ min: 14, max: 9000 }), { maxLength: 9 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("take" as const, "reach" as const, "reap" as const, "arm" as const, "rebuild" as const),
    }),
  },
);

test(
  "whatever a device writes costs its own traffic only",
  async () => {
    let broken = 0;
    const property = fc.asyncProperty(
      fc.boolean(),
      fc.array(step, { minLength: 5, maxLength: 80 }),
      async (merged, steps) => {
        const features = OFFERED.filter((bit) => merged || bit !== VIRTIO_NET_F_MRG_RXBUF);
        const fake = new FakeVirtioNet({ queueSize: SIZE, features });
        const rig = new NicRig(fake, await virtioNetDriver.open(fake, OPTIONS));
        const { receive } = rig.nic.lane(0) as VirtioNicLaneConfig;
        const buffer = (id: number) =>
          fake.at(receive.iova + driverQueueLayout(SIZE).buffers + (id % SIZE) * receive.chunk, 12);
        const used = [0, 1].map((queue) => fake.at(fake.queues[queue].used, 4 + SIZE * 8));
        const put = (queue: number, id: number, length: number) => {
          const view = used[queue];
          const idx = view.getUint16(2, true);
          view.setUint32(4 + (idx % SIZE) * 8, id >>> 0, true);
          view.setUint32(8 + (idx % SIZE) * 8, length >>> 0, true);
          view.setUint16(2, (idx + 1) & 0xffff, true);
        };
        let reach = false;
        try {
          for (const each of steps) {
            if (each.do === "complete") {
              buffer(each.id).setUint16(10, each.buffers, true);
              put(0, each.id, each.length);
            } else if (each.do === "index") {
              const view = used[each.queue];
              view.setUint16(2, (view.getUint16(2, true) + each.by) & 0xffff, true);
            } else if (each.do === "finish") put(1, each.id, 0);
            else if (each.do === "scribble") {
              const { desc, avail } = fake.queues[each.queue];
              fake.at(desc, SIZE * 16 + 4).setUint32(each.at - (each.at % 4), each.value, true);
              fake.at(avail + 4, SIZE * 2).setUint16((each.at % SIZE) * 2, each.value & 0xffff, true);
            } else if (each.do === "header") buffer(each.id).setUint32(each.at * 4, each.value, true);
            else if (each.do === "send") rig.send(whole(...each.lengths.map((length, n) => pattern(length, n))));
            else if (each.do === "take") {
              rig.take();
              checkPieces(rig, SIZE * receive.chunk);
            } else if (each.do === "reach") {
              reach = !reach;
              rig.reach(reach);
            } else if (each.do === "reap") rig.lane.reap();
            else if (each.do === "arm") {
              rig.lane.arm();
              rig.lane.disarm();
            } else {
              rig.lane.close();
              rig.openLane();
            }
          }
          broken += rig.host.counters[FAULT_COMPLETION];
          expect(rig.host.counters[FAULT_COMPLETION]).toBeLessThanOrEqual(2);
        } finally {
          rig.close();
        }
      },
    );
    await fc.assert(property, { numRuns: sized(300, 10_000) });
    // The device did harm at all.
    expect(broken).toBeGreaterThan(50);
  },
  LIMIT_MS,
);

/** Frames of the batch are of lengths that there are, and of pieces inside the buffers of `size` bytes. */
function checkPieces({ host: { batch } }: NicRig, size: number): void {
  for (let i = 0; i < batch.count; i++) {
    const { length, offset } = batch.pool;
    let sum = 0;
    for (let s = batch.first[i]; s < batch.first[i] + batch.segments[i]; s++) {
      if (offset[s] < 0 || length[s] <= 0 || offset[s] + length[s] > size) throw new Error(`piece ${s} is outside`);
      sum += length[s];
    }
    expect(sum).toBe(batch.length[i]);
    expect(sum >= MIN_FRAME && sum <= MAX_FRAME).toBe(true);
    expect(length[batch.first[i]]).toBeGreaterThanOrEqual(MIN_FRAME);
  }
}
