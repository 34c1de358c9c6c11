// A well-behaved front end, in every shape that the protocol allows: rings and frames, queue pairs, regions.

import { expect, test } from "bun:test";
import { signal } from "../../../src/sys/fd.ts";
import { VIRTIO_NET_F_MQ, VIRTIO_NET_F_MRG_RXBUF } from "../../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../src/uapi/virtio_ring.ts";
import { frame, mac } from "../../support/frames.ts";
import { until } from "../../support/until.ts";
import { LEFT, useVhostRig, VM } from "./rig.ts";

const rig = useVhostRig({ vm: "" });

test.each([
  ["plain", {}],
  ["with EVENT_IDX", { features: [VIRTIO_RING_F_EVENT_IDX] }],
  ["with merged buffers", { features: [VIRTIO_NET_F_MRG_RXBUF, VIRTIO_RING_F_EVENT_IDX] }],
  ["with rings of 2", { size: 2 }],
  ["without protocol features chosen", { protocol: [] }],
])("frames pass %s", async (_name, options) => {
  const vm = await rig.started("vm", options);
  for (let n = 0; n < 10; n++) await rig.passes(vm, 60 + n);
  expect(rig.api.port("vm").drops).toEqual({});
});

test("two queue pairs are served, and one flow stays on one of them", async () => {
  const vm = await rig.started("vm", { pairs: 2, features: [VIRTIO_NET_F_MQ] });
  for (const pair of [0, 1]) {
    vm.send(frame(LEFT, VM, 70 + pair), undefined, pair);
    expect(await rig.memory.receive("left", 1)).toEqual([frame(LEFT, VM, 70 + pair)]);
  }
  const counts = [0, 0];
  for (let flow = 0; flow < 16; flow++) {
    const pairs: number[] = [];
    for (let n = 0; n < 3; n++) {
      rig.memory.send("left", frame(VM, mac(0x100 * (flow + 1)), 60 + n));
      pairs.push(
        await until("a frame on one of the pairs", () => {
          const pair = [0, 1].find((candidate) => vm.poll(candidate) !== null);
          return pair === undefined ? undefined : { pair };
        }).then(({ pair }) => pair),
      );
    }
    expect(new Set(pairs).size).toBe(1);
    counts[pairs[0]]++;
  }
  expect(Math.min(...counts)).toBeGreaterThan(0);
});

test("a ring in memory of eight regions, above and below 4 GiB, with holes between", async () => {
  const regions = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => ({ guest: n * 0x4000_0000, size: 1 << 20, offset: n * 4096 }));
  const vm = await rig.started("vm", { regions });
  await rig.passes(vm);
  const { details } = rig.api.port("vm");
  expect([details.memoryRegions, details.memoryMiB, details.memorySealed]).toEqual([8, 8, true]);
  // Frames from and into a region other than the rings'.
  const { ring } = vm.transmitRing();
  const there = frame(LEFT, VM, 99);
  vm.ram.view(regions[6].guest + 12, 99).set(there);
  ring.addChain([[regions[6].guest, 111]], false);
  if (ring.publish()) signal(vm.transmitRing().kickFd);
  expect(await rig.memory.receive("left", 1)).toEqual([there]);
});

test("memory that can be shrunk is served, and shown as not sealed", async () => {
  const vm = await rig.started("vm", { sealed: false });
  await rig.passes(vm);
  expect(rig.api.port("vm").details.memorySealed).toBe(false);
});
