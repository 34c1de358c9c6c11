// Tags that the bridge takes off and puts on, on frames that still ask for something: a receiver that accepts the form gets it with its
// offsets moved along, one that does not gets what a sender without offloads would have sent with those tags.

import { expect, test } from "bun:test";
import fc from "fast-check";
import type { PortPolicy } from "../../../src/dataplane/bridge/policy.ts";
import { MAX_FRAME, OFFLOAD_ALL } from "../../../src/mem/batch.ts";
import { complete, frame, mac, NEEDS_CSUM, netHeader, offloaded, plainSegments } from "../../support/frames.ts";
import { anySpec, type FrameSpec, pattern, spec4 } from "../offload/reference.ts";
import { PlanRig, type PortOptions, usePlanRig } from "../rules/plan-rig.ts";

const newRig = usePlanRig();
const TRUNK = { mode: "trunk", allowed: [[1, 4094]], native: 1, nativeTagged: false, tpid: 0x8100, map: [] } as const;
const PLAIN: PortOptions = { accepts: 0 };
const C_TAG = 0x8100;
const S_TAG = 0x88a8;

test("a super-frame or a partial checksum leaves each port with the tag of that port", () => {
  const sent = fc.record({
    spec: fc.oneof(anySpec(3000), anySpec(3000, "udp")),
    outer: fc.option(fc.integer({ min: 0, max: 15 })),
    mss: fc.constantFrom(0, 536, 1000, 1460),
    cuts: fc.constantFrom<number[]>([], [12], [14, 15, 16, 17, 18], [64, 127], [128]),
  });
  let delivered = 0;
  const ports: Record<number, Partial<PortPolicy>> = {
    0: { vlan: { ...TRUNK, native: 20 } },
    1: { vlan: { ...TRUNK, tpid: S_TAG } },
    2: { vlan: { ...TRUNK, tpid: S_TAG } },
    3: { vlan: { mode: "access", vid: 20 } },
    4: { vlan: { mode: "access", vid: 20 } },
    5: { vlan: TRUNK },
    6: { vlan: TRUNK },
  };
  fc.assert(
    fc.property(sent, ({ spec, outer, mss, cuts }) => {
      // Of the other kind, so that they say nothing here. Two tags are what a super-frame may come with: rules look no deeper.
      const inner = spec.tags.slice(0, outer === null ? 2 : 1).map((tag) => ({ ...tag, type: S_TAG }));
      const own = (type: number, priority: number) => ({ type, tci: (priority << 12) | 20 });
      const tags = outer === null ? inner : [own(C_TAG, outer), ...inner];
      const rig = new PlanRig([{}, {}, PLAIN, {}, PLAIN, {}, PLAIN]);
      try {
        rig.policy(ports);
        const { bytes, header } = offloaded(mac(2), mac(1), { ...spec, tags }, mss);
        const inside = cuts.filter((cut) => cut < bytes.length);
        rig.put(
          [0, ...inside].map((start, k) => bytes.subarray(start, inside[k] ?? bytes.length)),
          header,
        );
        rig.run(0);
        const wanted = { s: [own(S_TAG, outer ?? 0), ...inner], bare: inner, c: [own(C_TAG, outer ?? 0), ...inner] };
        for (const [port, tagsThere] of [
          [1, wanted.s],
          [3, wanted.bare],
          [5, wanted.c],
        ] as const) {
          const moved: FrameSpec = { ...spec, tags: tagsThere };
          const expected = offloaded(mac(2), mac(1), moved, mss);
          const view = new DataView(expected.header.buffer);
          const [given] = rig.lanes[port].given;
          expect(given.bytes).toEqual(expected.bytes);
          expect(given).toMatchObject({
            gsoType: expected.header[1],
            gsoSize: mss,
            csumStart: view.getUint16(6, true),
            csumOffset: view.getUint16(8, true),
          });
          // What cannot be cut (its headers too long, say) is counted, as for any sender.
          if (rig.drops(port + 1).offload !== undefined) continue;
          const plain = mss === 0 ? [complete(mac(2), mac(1), moved)] : plainSegments(mac(2), mac(1), moved, mss);
          expect(rig.lanes[port + 1].frames).toEqual(plain);
          delivered++;
        }
      } finally {
        rig.close();
      }
    }),
    { numRuns: 300 },
  );
  expect(delivered).toBeGreaterThan(500);
}, 120_000);

test("64 KiB leave with a tag, in one piece or many", () => {
  const rig = newRig({}, {}, PLAIN);
  rig.policy({ 0: { vlan: { mode: "access", vid: 9 } }, 1: { vlan: TRUNK }, 2: { vlan: TRUNK } });
  const spec = spec4({ payload: pattern(65_000) });
  const { bytes, header } = offloaded(mac(2), mac(1), spec, 1460);
  rig.put(bytes, header);
  rig.run(0);
  const tagged = { ...spec, tags: [{ type: C_TAG, tci: 9 }] };
  expect(rig.lanes[1].frames).toEqual([offloaded(mac(2), mac(1), tagged, 1460).bytes]);
  expect(rig.lanes[2].frames).toEqual(plainSegments(mac(2), mac(1), tagged, 1460));
});

test("a frame that is too long for its tag is dropped at that port only", () => {
  const rig = newRig({}, {}, {});
  rig.policy({ 0: { vlan: { mode: "access", vid: 9 } }, 1: { vlan: TRUNK }, 2: { vlan: { mode: "access", vid: 9 } } });
  const [fits, longest] = [MAX_FRAME - 4, MAX_FRAME].map((size) => frame(mac(2), mac(1), size));
  const got = rig.send(0, fits, longest);
  expect(got[1].map(({ length }) => length)).toEqual([MAX_FRAME]);
  expect(got[2]).toEqual([fits, longest]);
  expect(rig.drops(0)).toEqual({ oversized: 1 });
});

test("a port's limit holds for the frame as it leaves there", () => {
  const rig = newRig({}, { maxFrame: 1000 }, { maxFrame: 1000 });
  rig.policy({ 0: { vlan: { mode: "access", vid: 9 } }, 1: { vlan: TRUNK }, 2: { vlan: { mode: "access", vid: 9 } } });
  const bytes = frame(mac(2), mac(1), 1000);
  expect(rig.send(0, bytes)[2]).toEqual([bytes]);
  expect([rig.lanes[1].frames, rig.drops(1)]).toEqual([[], { oversized: 1 }]);
});

test("a checksum that would begin within the tag that goes, or where none can be said to begin, costs the frame", () => {
  const rig = newRig({}, {}, {});
  rig.policy({ 0: { vlan: TRUNK }, 1: { vlan: { mode: "access", vid: 5 } }, 2: { vlan: { ...TRUNK, native: 0 } } });
  const untagged = frame(mac(2), mac(1), 65_540);
  const tagged = untagged.slice();
  tagged.set([0x81, 0, 0, 5], 12);
  const header = (csumStart: number) => netHeader({ flags: NEEDS_CSUM, csumStart, csumOffset: 2 });
  for (const csumStart of [14, 17, 18]) rig.put(tagged, header(csumStart));
  for (const csumStart of [65_531, 65_532]) rig.put(untagged, header(csumStart));
  rig.run(0);
  expect(rig.lanes[1].given.map(({ csumStart }) => csumStart)).toEqual([14]);
  expect(rig.lanes[2].given.map(({ csumStart }) => csumStart)).toEqual([18, 65_535]);
  // Of VLAN 1 the access port is no member: the frame whose checksum begins too late goes nowhere at all.
  expect(rig.drops(0)).toEqual({ offload: 3 });
  expect(rig.lanes[1].given[0].needs & OFFLOAD_ALL).not.toBe(0);
});
