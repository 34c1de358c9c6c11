// Frames as they come out of the arena: whole, in order, whatever pieces they came in, and with a header that their sender can no
// longer change.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEADER_BYTES } from "../../../src/dataplane/rules/key.ts";
import { BURST, MAX_FRAME, MAX_SEGMENTS } from "../../../src/mem/batch.ts";
import { complete, frame, mac, numbered } from "../../support/frames.ts";
import { pattern, spec4 } from "../offload/reference.ts";
import { type PlanRig, usePlanRig } from "./plan-rig.ts";
import { macNumber, rulesOf } from "./rules-of.ts";

const newRig = usePlanRig();

function passing(): PlanRig {
  const rig = newRig({}, {}, {});
  rig.rules(rulesOf([1, {}, { do: "forward", ports: [1] }]));
  return rig;
}

function noise(size: number, seed: number): Uint8Array {
  const bytes = frame(mac(2), mac(1), size);
  for (let k = 14; k < size; k++) bytes[k] = (k * 31 + seed * 7 + (k >> 8)) & 0xff;
  return bytes;
}

/** Pieces of `size` bytes each. */
function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, k) => bytes.subarray(k * size, (k + 1) * size));
}

describe("a frame arrives as it was sent", () => {
  test("of every length up to 300 bytes, and of some up to the longest", () => {
    const rig = passing();
    const sizes = Array.from({ length: 287 }, (_, k) => 14 + k).concat(1514, 2036, 9014, 32_768, 65_535, MAX_FRAME);
    for (const size of sizes) {
      const bytes = noise(size, size);
      expect(Buffer.compare(rig.send(0, bytes)[1][0], bytes)).toBe(0);
    }
  });

  test.each([1, 2, 3, 13, 14, 127, 128, 129])("in pieces of %i bytes", (size) => {
    const rig = passing();
    for (const length of [14, 15, 60, 127, 128, 129, 256, 1000]) {
      const bytes = noise(length, size);
      rig.put(cut(bytes, size));
      rig.lanes[1].given.length = 0;
      rig.run(0);
      expect(rig.lanes[1].frames.length).toBe(1);
      expect(Buffer.compare(rig.lanes[1].frames[0], bytes)).toBe(0);
    }
  });

  test("in bursts of anything, one behind the other", () => {
    const rig = passing();
    const anyFrame = fc.record({ size: fc.integer({ min: 14, max: 400 }), piece: fc.integer({ min: 1, max: 450 }) });
    fc.assert(
      fc.property(fc.array(anyFrame, { minLength: 1, maxLength: BURST }), (frames) => {
        const sent = frames.map(({ size }, k) => noise(size, k));
        let segments = 0;
        let count = 0;
        for (const [k, { piece }] of frames.entries()) {
          const pieces = cut(sent[k], piece);
          segments += pieces.length;
          if (segments > MAX_SEGMENTS) break;
          rig.put(pieces);
          count++;
        }
        rig.lanes[1].given.length = 0;
        rig.run(0);
        expect(rig.lanes[1].frames).toEqual(sent.slice(0, count));
      }),
      { numRuns: 200 },
    );
  });
});

test("a burst that fills the segment pool has room for both forms of every frame", () => {
  const rig = newRig({}, {}, {});
  rig.rules(rulesOf([1, {}, { do: "mirror", port: 2 }, { do: "set-vlan", id: 5 }, { do: "forward", ports: [1] }]));
  const each = MAX_SEGMENTS / BURST;
  const sent = Array.from({ length: BURST }, (_, k) => noise(HEADER_BYTES + 2 * each, k));
  for (const bytes of sent) {
    const pieces = cut(bytes.subarray(HEADER_BYTES), Math.ceil((2 * each) / (each - 1)));
    rig.put([bytes.subarray(0, HEADER_BYTES), ...pieces]);
  }
  rig.run(0);
  const tagged = sent.map((bytes) => Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, 0, 5, ...bytes.subarray(12)]));
  expect(rig.lanes[2].frames).toEqual(sent);
  expect(rig.lanes[1].frames).toEqual(tagged);
});

test("frames after one that was scattered or tagged begin where frames begin", () => {
  const rig = newRig({}, {});
  rig.rules(
    rulesOf(
      [2, { "eth.src": macNumber(mac(7)) }, { do: "set-vlan", id: 5 }, { do: "forward", ports: [1] }],
      [1, {}, { do: "forward", ports: [1] }],
    ),
  );
  const tag = (bytes: Uint8Array) => Uint8Array.from([...bytes.subarray(0, 12), 0x81, 0, 0, 5, ...bytes.subarray(12)]);
  for (let round = 0; round < 4; round++) {
    const plain = numbered(mac(2), mac(1), 0, round, 200);
    const other = numbered(mac(2), mac(7), 0, round, 200);
    rig.put(cut(plain, 50));
    rig.put(other);
    rig.put(plain);
    rig.lanes[1].given.length = 0;
    rig.run(0);
    expect(rig.lanes[1].frames).toEqual([plain, tag(other), plain]);
    expect(rig.send(0, plain, plain)[1]).toEqual([plain, plain]);
  }
});

test.each([
  ["of any kind", HEADER_BYTES, noise(1000, 1)],
  ["of plain IPv4", 64, complete(mac(2), mac(1), spec4({ payload: pattern(900) }))],
  [
    "of IPv4 with options",
    HEADER_BYTES,
    complete(mac(2), mac(1), spec4({ payload: pattern(900), ipOptions: [1, 1, 1, 0] })),
  ],
  ["of plain IPv4 that rules see whole", 128, complete(mac(2), mac(1), spec4({ payload: pattern(74) }))],
])("what rules look at is out of the sender's reach, what is behind stays there: a frame %s", (_, size, bytes) => {
  const rig = passing();
  const [at] = rig.put(bytes);
  const lane = rig.lanes[1];
  const deliver = lane.deliver.bind(lane);
  // Between judging and copying, the sender writes all over its frame.
  lane.deliver = (batch, list, count) => {
    rig.bytes.fill(0xee, at, at + bytes.length);
    return deliver(batch, list, count);
  };
  rig.run(0);
  const [got] = lane.frames;
  expect(got.subarray(0, size)).toEqual(bytes.subarray(0, size));
  expect(got.subarray(size).every((byte) => byte === 0xee)).toBe(true);
});
