// Frames between two drivers on /dev/vhost-vdpa-N, which know nothing of ringyard: what one sends arrives at the other byte
// for byte, whatever its size and however either of them lays its buffers out.
//
// VM: processors 2

import { expect, test } from "bun:test";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from "../../src/uapi/virtio_ring.ts";
import { frame, mac } from "../support/frames.ts";
import type { VdpaGuest, VdpaGuestOptions } from "../support/vhost-vdpa-guest.ts";
import { requireVhostVdpa, useVdpaRig } from "../support/vhost-vdpa-rig.ts";
import { VdpaStream } from "../support/vhost-vdpa-stream.ts";

const LIMIT_MS = 400_000;
const MIN_FRAME = 14;
const MAX_FRAME = 65_535 + 14;
const [A, B] = [mac(1), mac(2)];

const suite = requireVhostVdpa();

/** Bytes that are at no other place: a piece that lands elsewhere is seen. */
function patterned(size: number, seed: number): Uint8Array {
  const bytes = frame(B, A, size);
  for (let at = MIN_FRAME; at < size; at++) bytes[at] = (at * 31 + (at >> 8) * 7 + seed) & 0xff;
  return bytes;
}

const layouts: Record<string, VdpaGuestOptions> = {
  "in one piece": {},
  "with EVENT_IDX": { features: [VIRTIO_RING_F_EVENT_IDX] },
  "in chains of small pieces": { size: 256, receive: { piece: 100 }, transmit: { piece: 13 } },
  "in indirect tables": {
    features: [VIRTIO_RING_F_INDIRECT_DESC],
    receive: { piece: 128, indirect: true },
    transmit: { piece: 50, indirect: true },
  },
  "in merged buffers": {
    size: 256,
    features: [VIRTIO_NET_F_MRG_RXBUF, VIRTIO_RING_F_EVENT_IDX],
    receive: { bufferSize: 256 },
  },
};

suite("two drivers on vhost-vdpa", () => {
  const rig = useVdpaRig({ a: "", b: "" });

  async function exchange(from: VdpaGuest, to: VdpaGuest, sizes: readonly number[]): Promise<void> {
    for (const size of sizes) {
      const sent = patterned(size, size);
      // A frame arrives before its buffers are given back, and a long one in small pieces takes most of a ring.
      await rig.until("room in the ring", () => from.send(sent), { everyMs: 0 });
      expect(await rig.receive(to)).toEqual(sent);
    }
  }

  for (const [how, options] of Object.entries(layouts)) {
    test(
      `exchange frames of every size ${how}`,
      async () => {
        const a = await rig.started("a", options);
        const b = await rig.started("b", options);
        const small = Array.from({ length: 60 }, (_, n) => MIN_FRAME + n);
        await exchange(a, b, [...small, 127, 128, 1499, 1500, 1501, 1514, 2035, 2036]);
        const { drops, errors, queues } = await rig.show("a");
        expect({ drops, errors, state: queues[0].state }).toEqual({ drops: {}, errors: {}, state: "running" });
      },
      LIMIT_MS,
    );
  }

  test(
    "exchange frames of 64 KiB",
    async () => {
      const regions = [{ guest: 0, size: 32 << 20 }];
      const big = { bufferSize: 68 << 10, piece: 4096, indirect: true };
      const features = [VIRTIO_NET_F_MRG_RXBUF, VIRTIO_RING_F_INDIRECT_DESC];
      const a = await rig.started("a", { regions, features, receive: big, transmit: big });
      const b = await rig.started("b", { regions, features, receive: { bufferSize: 1600 }, transmit: big });
      await exchange(a, b, [8192, 9014, 30_000, 65_000, MAX_FRAME]);
    },
    LIMIT_MS,
  );

  test(
    "numbered frames arrive in order and once, both ways at the same time",
    async () => {
      const features = [VIRTIO_RING_F_EVENT_IDX];
      const a = await rig.started("a", { size: 256, features });
      const b = await rig.started("b", { size: 256, features });
      // Learned on both sides, or the first frames come back as flooded copies of nobody's.
      const there = new VdpaStream(a, b, { source: 1, target: 2, window: 200 });
      const back = new VdpaStream(b, a, { source: 2, target: 1, window: 200 });
      for (let round = 0; round < 20; round++) {
        await Promise.all([there.pump(250), back.pump(250)]);
      }
      await Promise.all([there.finish(), back.finish()]);
      expect([there.repeated, back.repeated]).toEqual([0, 0]);
      expect((await rig.show("a")).drops).toEqual({});
      // Whoever has buffers to be told of was told.
      expect([a.called(a.transmitq), b.called(b.receiveq)]).toEqual([true, true]);
    },
    LIMIT_MS,
  );
});
