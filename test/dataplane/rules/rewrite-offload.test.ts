// Tags that come and go on frames that still ask for something: a receiver that accepts the form gets it with its offsets moved
// along, one that does not gets what a sender without offloads would have sent with that tag.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Action } from "../../../src/dataplane/rules/rule.ts";
import { OFFLOAD_ALL } from "../../../src/mem/batch.ts";
import { complete, frame, mac, NEEDS_CSUM, netHeader, offloaded, plainSegments } from "../../support/frames.ts";
import { anySpec, type FrameSpec, pattern, spec4 } from "../offload/reference.ts";
import { PlanRig, usePlanRig } from "./plan-rig.ts";
import { rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();
const CHANGES: { action: Action; tags(tags: FrameSpec["tags"]): FrameSpec["tags"] }[] = [
  { action: { do: "strip-vlan" }, tags: (tags) => tags.slice(1) },
  {
    action: { do: "set-vlan", id: 9 },
    tags: ([first, ...rest]) =>
      first === undefined ? [{ type: 0x8100, tci: 9 }] : [{ ...first, tci: (first.tci & 0xf000) | 9 }, ...rest],
  },
];

describe("a super-frame or a partial checksum", () => {
  test("goes on as it is, moved, or as plain frames", () => {
    const anySent = fc.record({
      spec: fc.oneof(anySpec(3000), anySpec(3000, "udp")),
      mss: fc.constantFrom(0, 536, 1000, 1460),
      cuts: fc.constantFrom<number[]>([], [12], [14, 15, 16, 17, 18], [64, 127], [128]),
    });
    const run = (sent: { spec: FrameSpec; mss: number; cuts: number[] }, change: (typeof CHANGES)[number]) => {
      const { spec, mss, cuts } = sent;
      const rig = new PlanRig([{}, { accepts: OFFLOAD_ALL }, { accepts: 0 }]);
      try {
        rig.rules(rulesOf([1, {}, change.action, { do: "forward", ports: [1, 2] }]));
        const { bytes, header } = offloaded(mac(2), mac(1), spec, mss);
        const inside = cuts.filter((cut) => cut < bytes.length);
        rig.put(
          [0, ...inside].map((start, k) => bytes.subarray(start, inside[k] ?? bytes.length)),
          header,
        );
        rig.run(0);
        const moved = { ...spec, tags: change.tags(spec.tags) };
        const expected = offloaded(mac(2), mac(1), moved, mss);
        const [given] = rig.lanes[1].given;
        const view = new DataView(expected.header.buffer);
        expect(given.bytes).toEqual(expected.bytes);
        expect(given).toMatchObject({
          gsoType: expected.header[1],
          gsoSize: mss,
          csumStart: view.getUint16(6, true),
          csumOffset: view.getUint16(8, true),
        });
        // What cannot be cut (its headers too long, say) is counted, as for any sender.
        if (rig.drops(2).offload === undefined) {
          const plain = mss === 0 ? [complete(mac(2), mac(1), moved)] : plainSegments(mac(2), mac(1), moved, mss);
          expect(rig.lanes[2].frames).toEqual(plain);
        }
        return rig.lanes[2].frames.length > 0;
      } finally {
        rig.close();
      }
    };
    let delivered = 0;
    fc.assert(
      fc.property(anySent, fc.constantFrom(...CHANGES), (sent, change) => {
        if (run(sent, change)) delivered++;
      }),
      { numRuns: 400 },
    );
    expect(delivered).toBeGreaterThan(300);
  }, 60_000);

  test("of 64 KiB too", () => {
    const rig = newRig({}, { accepts: OFFLOAD_ALL }, { accepts: 0 });
    rig.rules(rulesOf([1, {}, { do: "set-vlan", id: 9 }, { do: "flood" }]));
    const spec = spec4({ payload: pattern(65_000) });
    const { bytes, header } = offloaded(mac(2), mac(1), spec, 1460);
    rig.put(bytes, header);
    rig.run(0);
    const moved = { ...spec, tags: [{ type: 0x8100, tci: 9 }] };
    expect(rig.lanes[1].frames).toEqual([offloaded(mac(2), mac(1), moved, 1460).bytes]);
    expect(rig.lanes[2].frames).toEqual(plainSegments(mac(2), mac(1), moved, 1460));
  });

  test("whose checksum would begin within the tag that goes is dropped", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "strip-vlan" }, { do: "flood" }]));
    const tagged = frame(mac(2), mac(1), 100);
    tagged.set([0x81, 0, 0, 5], 12);
    for (const csumStart of [14, 17, 18, 40]) {
      rig.put(tagged, netHeader({ flags: NEEDS_CSUM, csumStart, csumOffset: 16 }));
    }
    rig.run(0);
    expect(rig.lanes[1].given.map(({ csumStart }) => csumStart)).toEqual([14, 36]);
    expect(rig.drops(0)).toEqual({ offload: 2 });
  });

  // In 16 bits it would begin anew within the addresses, and its field be the new tag.
  test("whose checksum would begin where no net header can say is dropped when a tag comes", () => {
    const rig = newRig({}, {});
    rig.rules(rulesOf([1, {}, { do: "set-vlan", id: 7 }, { do: "flood" }]));
    const plain = frame(mac(2), mac(1), 65_550);
    const tagged = plain.slice();
    tagged.set([0x81, 0, 0, 5], 12);
    const header = (csumStart: number) => netHeader({ flags: NEEDS_CSUM, csumStart, csumOffset: 11 });
    rig.put(plain, header(65_531));
    rig.put(plain, header(65_532));
    rig.put(plain, header(65_535));
    rig.put(tagged, header(65_535));
    rig.run(0);
    expect(rig.lanes[1].given.map(({ csumStart }) => csumStart)).toEqual([65_535, 65_535]);
    expect(rig.drops(0)).toEqual({ offload: 2 });
  });
});
