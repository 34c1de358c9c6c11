// A switch that is killed and started again under drivers on vhost-vdpa, whose rings survive it, as a VM's do.
//
//   acknowledged   the switch has given a frame's buffer back (used.idx): then it must have arrived, once
//   in the ring    not yet: it may be taken again by whoever serves the ring next
//
// VM: processors 2
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import { VIRTIO_RING_F_EVENT_IDX } from "../../src/uapi/virtio_ring.ts";
import { frame, mac } from "../support/frames.ts";
import { sized } from "../support/scale.ts";
import { requireVhostVdpa, useVdpaRig } from "../support/vhost-vdpa-rig.ts";
import { VdpaStream } from "../support/vhost-vdpa-stream.ts";

const LIMIT_MS = 300_000;
const LIVES = sized(2, 20);
/** A burst: as many may be delivered and not yet acknowledged when the switch is killed. */
const BURST = 64;
const OPTIONS = { size: 256, features: [VIRTIO_RING_F_EVENT_IDX] };
const STREAM = { source: 1, target: 2, window: 192 };

const suite = requireVhostVdpa();

suite("a switch under drivers on vhost-vdpa", () => {
  const rig = useVdpaRig({ a: "", b: "" });

  async function adopted(): Promise<void> {
    for (const port of ["a", "b"]) expect((await rig.state(port, "running")).details.adopted).toBe(true);
  }

  test(
    "killed and started again goes on in their rings: nothing acknowledged is lost, at most a burst comes twice",
    async () => {
      const [a, b] = [await rig.started("a", OPTIONS), await rig.started("b", OPTIONS)];
      const stream = new VdpaStream(a, b, STREAM);
      for (let life = 0; life < LIVES; life++) {
        const { repeated } = stream;
        await stream.pump(1_000);
        stream.fill();
        await rig.ringyard.kill();
        // The drivers go on: their rings fill.
        stream.drain();
        stream.fill();
        expect(stream.sent).toBeGreaterThan(stream.acknowledged);
        await rig.ringyard.start();
        await stream.pump(1_000);
        await adopted();
        expect(stream.repeated - repeated).toBeLessThanOrEqual(BURST);
      }
      await stream.finish();
    },
    LIMIT_MS,
  );

  test(
    "ended in order and started again repeats nothing",
    async () => {
      const [a, b] = [await rig.started("a", OPTIONS), await rig.started("b", OPTIONS)];
      const stream = new VdpaStream(a, b, STREAM);
      await stream.pump(1_000);
      stream.fill();
      expect(await rig.ringyard.stop()).toBe(0);
      stream.drain();
      stream.fill();
      await rig.ringyard.start();
      await stream.pump(1_000);
      await adopted();
      await stream.finish();
      expect(stream.repeated).toBe(0);
    },
    LIMIT_MS,
  );

  test(
    "finds what was asked meanwhile, and answers it",
    async () => {
      const [a, b] = [await rig.started("a", OPTIONS), await rig.started("b", OPTIONS)];
      await rig.ringyard.kill();
      // The call below waits in the kernel for an answer; this switch is the one to give it.
      for (const port of ["a", "b"]) rig.setMessageTimeout(port, 0);
      const ready = rig.ringyard.start();
      a.stop();
      expect(a.device.status()).toBe(0);
      await ready;
      a.start();
      await adopted();
      a.send(frame(mac(2), mac(1), 77));
      expect(await rig.receive(b)).toEqual(frame(mac(2), mac(1), 77));
    },
    LIMIT_MS,
  );
});
