// Ours against Linux's bridge with VLAN filtering: the same VLANs on the same ports, the same frames, and out of each port come the same
// bytes in the same order. Both kinds of tag (vlan_protocol), ports as Linux has them: some VLANs, and one of untagged frames.
//
// By intent ours differs in
//   - a native VLAN's frame that carries a tag of the trunk's kind leaves a trunk with its own tag before that: Linux lets it out as a frame
//     of the VLAN that its sender wrote inside (asLinux takes our tag off);
//   - a tunnel port looks into no tag. Linux has no such ports: an access port of a bridge for 802.1ad is one, but for S-tags, which
//     it refuses or takes off (so none comes in at tunnels here).
//
// Frames are of 60 bytes and more, as on a wire: Linux drops shorter ones with tags unseen, where it cannot take those apart.
//
// VM: kernels 6.12
// VM: also sid

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { VlanMembership } from "../../src/dataplane/bridge/policy.ts";
import { PlanRig } from "../dataplane/rules/plan-rig.ts";
import { useCleanup } from "../support/cleanup.ts";
import { KernelBridge, type KernelPort, requireKernelPorts } from "../support/kernel-bridge.ts";
import { useNamespaces } from "../support/netns.ts";
import { anyOnWire, anyTrunk, anyVid } from "../support/random-vlans.ts";
import { sized } from "../support/scale.ts";

const PORTS = 5;
const ROUNDS = sized(8, 500);
const BURSTS = 8;
const C_TAG = 0x8100;
const S_TAG = 0x88a8;

const at16 = (bytes: Uint8Array, at: number) => bytes[at] * 256 + bytes[at + 1];

const anyBridge = fc.constantFrom(C_TAG, S_TAG).chain((tpid) => {
  const access = fc.record({ mode: fc.constant("access" as const), vid: anyVid });
  const tunnel = fc.record({ mode: fc.constant("tunnel" as const), vid: anyVid });
  // Linux's bridge has one kind of tag, and no ids but its VLANs' own.
  const trunk = anyTrunk.map((it) => ({ ...it, tpid, map: [] }));
  const vlan: fc.Arbitrary<VlanMembership> = fc.oneof(trunk, tpid === C_TAG ? access : tunnel);
  return fc.record({
    tpid: fc.constant(tpid),
    vlans: fc.array(vlan, { minLength: PORTS, maxLength: PORTS }),
    bursts: fc.array(
      fc.record({ port: fc.nat({ max: PORTS - 1 }), frames: fc.array(anyOnWire, { minLength: 1, maxLength: 12 }) }),
      { minLength: BURSTS, maxLength: BURSTS },
    ),
  });
});

function kernelPort(vlan: VlanMembership): KernelPort {
  if (vlan.mode !== "trunk") return { vids: [], pvid: vlan.vid, untagged: true };
  return { vids: vlan.allowed, pvid: vlan.native, untagged: !vlan.nativeTagged };
}

/** Whether both are asked about a frame. */
function isCompared(vlan: VlanMembership, bytes: Uint8Array): boolean {
  return vlan.mode !== "tunnel" || at16(bytes, 12) !== S_TAG;
}

/** A frame of ours as Linux would have sent it. */
function asLinux(vlan: VlanMembership, bytes: Uint8Array): Uint8Array {
  if (vlan.mode !== "trunk" || vlan.nativeTagged) return bytes;
  const isNative = at16(bytes, 12) === vlan.tpid && at16(bytes, 14) % 4096 === vlan.native;
  // Ours leave a tag on the native VLAN's frames for no other reason.
  return isNative ? Uint8Array.from([...bytes.subarray(0, 12), ...bytes.subarray(16)]) : bytes;
}

requireKernelPorts(true)("the same VLANs and the same frames", () => {
  const namespace = useNamespaces();
  const defer = useCleanup();

  test(
    "come out of the same ports with the same tags",
    async () => {
      const kernel = await KernelBridge.create(await namespace(), PORTS);
      defer(() => kernel.close());
      let [compared, sent, mended] = [0, 0, 0];
      await fc.assert(
        fc.asyncProperty(anyBridge, async ({ tpid, vlans, bursts }) => {
          await kernel.configureVlans(tpid === C_TAG ? "802.1Q" : "802.1ad", vlans.map(kernelPort));
          const rig = new PlanRig(vlans.map(() => ({})));
          try {
            rig.policy(Object.fromEntries(vlans.map((vlan, port) => [port, { vlan }])));
            for (const { port, frames } of bursts) {
              const chosen = frames.filter((bytes) => isCompared(vlans[port], bytes));
              const ours = rig.send(port, ...chosen);
              const expected = ours.map((list, out) => list.map((bytes) => asLinux(vlans[out], bytes).toHex()));
              for (const bytes of chosen) kernel.send(port, bytes);
              const seen = await kernel.receiveAll(expected.map(({ length }) => length));
              expect(seen).toEqual(expected);
              compared += chosen.length;
              sent += expected.flat().length;
              mended += ours.flat().filter((bytes) => !expected.flat().includes(bytes.toHex())).length;
            }
          } finally {
            rig.close();
          }
        }),
        { numRuns: ROUNDS },
      );
      // Neither all dropped nor all alike: a quarter of random frames are sent, of few a fifth.
      expect(sent).toBeGreaterThan(compared / 10);
      expect(mended).toBeLessThan(sent / 4);
    },
    sized(300_000, 3_600_000),
  );
});
