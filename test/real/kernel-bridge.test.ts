// Ours against Linux's bridge, without VLANs: the same frames, in the same order, and out of each port come the same bytes in the same order.
// Tags are payload then. Both ways that ours has: without policies, and as a bridge with policies that say nothing of it.
//
// Frames are of 60 bytes and more, as on a wire: shorter ones with tags Linux drops unseen, since it takes tags apart before its bridge
// sees them, and ours passes on what is no tag of its own.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { PlanRig } from "../dataplane/rules/plan-rig.ts";
import { useCleanup } from "../support/cleanup.ts";
import { KernelBridge, requireKernelPorts } from "../support/kernel-bridge.ts";
import { useNamespaces } from "../support/netns.ts";
import { anyOnWire } from "../support/random-vlans.ts";
import { sized } from "../support/scale.ts";

const PORTS = 4;

interface Burst {
  port: number;
  frames: Uint8Array[];
}

const anyBursts = fc.array(
  fc.record({ port: fc.nat({ max: PORTS - 1 }), frames: fc.array(anyOnWire, { minLength: 1, maxLength: 16 }) }),
  { minLength: 1, maxLength: 20 },
);

/** Without policies a burst's destination is looked up once: a frame to where the one before came from may be flooded, too. */
function singly({ port, frames }: Burst): Burst[] {
  return frames.map((bytes) => ({ port, frames: [bytes] }));
}

requireKernelPorts(false)("the same frames through Linux's bridge", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();

  test.each([false, true])(
    "come out of the same ports (with policies: %p)",
    async (bridged) => {
      const kernel = await KernelBridge.create(await namespace(), PORTS);
      defer(() => kernel.close());
      await fc.assert(
        fc.asyncProperty(anyBursts, async (bursts) => {
          await kernel.configure();
          const rig = new PlanRig(Array.from({ length: PORTS }, () => ({})));
          try {
            if (bridged) rig.policy({ 9: { isolated: true } });
            for (const { port, frames } of bridged ? bursts : bursts.flatMap(singly)) {
              const expected = rig.send(port, ...frames).map((list) => list.map((bytes) => bytes.toHex()));
              for (const bytes of frames) kernel.send(port, bytes);
              expect(await kernel.receiveAll(expected.map(({ length }) => length))).toEqual(expected);
            }
          } finally {
            rig.close();
          }
        }),
        { numRuns: sized(20, 500) },
      );
    },
    sized(120_000, 1_800_000),
  );
});
