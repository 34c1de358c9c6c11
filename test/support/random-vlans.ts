// Ports with VLANs and frames for them, at random, so that they meet: few VLANs, few stations, tags of both kinds, up to three deep, cut
// anywhere. For fast-check.

import fc from "fast-check";
import type { VlanMembership } from "../../src/dataplane/bridge/policy.ts";
import type { ModelPort } from "../dataplane/bridge/vlan-model.ts";
import { BROADCAST, mac } from "./frames.ts";

const VIDS = [1, 2, 10, 20, 100, 4094];
export const anyVid = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...VIDS) }, fc.integer({ min: 1, max: 4094 }));

const anyRange = fc.oneof(
  anyVid.map((vid): [number, number] => [vid, vid]),
  fc.tuple(anyVid, anyVid).map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]),
);

/** Ids and VLANs, each once. */
const anyMap = fc.uniqueArray(fc.tuple(anyVid, anyVid), {
  maxLength: 3,
  comparator: ([id, vid], [otherId, otherVid]) => id === otherId || vid === otherVid,
});

export const anyTrunk = fc.record({
  mode: fc.constant("trunk" as const),
  allowed: fc.array(anyRange, { maxLength: 3 }),
  native: fc.oneof(fc.constant(0), anyVid),
  nativeTagged: fc.boolean(),
  tpid: fc.constantFrom(0x8100, 0x88a8),
  map: fc.oneof(fc.constant([]), anyMap),
});

export const anyMembership: fc.Arbitrary<VlanMembership> = fc.oneof(
  fc.record({ mode: fc.constant("access" as const), vid: anyVid }),
  { weight: 2, arbitrary: anyTrunk },
  fc.record({ mode: fc.constant("tunnel" as const), vid: anyVid }),
);

export const anyPort: fc.Arbitrary<ModelPort> = fc.record(
  { vlan: anyMembership, priority: fc.integer({ min: 0, max: 7 }), priorityTags: fc.boolean() },
  { requiredKeys: [] },
);

const anyTag = fc.tuple(
  fc.constantFrom(0x8100, 0x88a8),
  fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 15 })),
  fc.oneof({ weight: 6, arbitrary: anyVid }, fc.constantFrom(0, 4095)),
);

const anyStation = fc.constantFrom(...[1, 2, 3, 4, 5].map(mac));

/** A frame of at least 14 bytes, with up to three tags, perhaps cut short. */
export const anyTagged: fc.Arbitrary<Uint8Array> = fc
  .record({
    to: fc.oneof(anyStation, fc.constant(BROADCAST)),
    from: anyStation,
    tags: fc.oneof(fc.array(anyTag, { maxLength: 1 }), fc.array(anyTag, { maxLength: 3 })),
    /** Plain IPv4, of which less is copied, or no protocol at all. */
    type: fc.constantFrom([0x08, 0x00, 0x45, 0x00], [0x88, 0xb5, 0, 0]),
    payload: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(42, 46, 108, 110, 114, 300) }, fc.nat({ max: 60 })),
    cut: fc.option(fc.integer({ min: 14, max: 30 }), { freq: 6 }),
    fill: fc.nat({ max: 255 }),
  })
  .map(({ to, from, tags, type, payload, cut, fill }) => {
    const tagBytes = tags.flatMap(([tpid, priority, id]) => [
      tpid >> 8,
      tpid & 0xff,
      (priority << 4) | (id >> 8),
      id & 0xff,
    ]);
    const rest = Array.from({ length: payload }, (_, k) => (fill + k) & 0xff);
    return Uint8Array.from([...to, ...from, ...tagBytes, ...type, ...rest]).subarray(0, cut ?? undefined);
  });

const LEAST_ON_WIRE = 60;

/** The same as a wire carries them: filled up to what Ethernet demands. */
export const anyOnWire: fc.Arbitrary<Uint8Array> = anyTagged.map((bytes) => {
  const whole = new Uint8Array(Math.max(bytes.length, LEAST_ON_WIRE));
  whole.set(bytes);
  return whole;
});
