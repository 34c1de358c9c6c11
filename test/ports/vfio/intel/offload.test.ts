// Partial checksums and super-frames over the model, against the frames that a sender without offloads would have sent.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from "../../../../src/mem/batch.ts";
import { anySpec, type FrameSpec, pattern, spec4, spec6 } from "../../../dataplane/offload/reference.ts";
import { complete, type Mac, offloaded, plainSegments, readNetHeader } from "../../../support/frames.ts";
import { FAMILIES, type Rig, withRig } from "./rig.ts";

const TO: Mac = [2, 0, 0, 0, 0, 0xbb];
const FROM: Mac = [2, 0, 0, 0, 0, 0xaa];

/** Puts a frame as a stack with offloads hands it over, in pieces that end at `cuts`; returns its index. */
function put(rig: Rig, spec: FrameSpec, gsoSize: number, cuts: number[] = []): number {
  const { batch } = rig;
  const { bytes, header } = offloaded(TO, FROM, spec, gsoSize);
  const { flags, gsoType, gsoSize: size, csumStart, csumOffset } = readNetHeader(header);
  const ends = [...cuts.filter((cut) => cut > 0 && cut < bytes.length), bytes.length];
  const i = rig.bench.put(...ends.map((end, k) => bytes.subarray(k === 0 ? 0 : ends[k - 1], end)));
  const tso = spec.version === 4 ? OFFLOAD_TSO4 : OFFLOAD_TSO6;
  batch.needs[i] = OFFLOAD_CSUM | (gsoSize > 0 ? tso : 0);
  batch.anyNeeds |= batch.needs[i];
  batch.flags[i] = flags;
  batch.gsoType[i] = gsoType;
  batch.gsoSize[i] = size;
  batch.csumStart[i] = csumStart;
  batch.csumOffset[i] = csumOffset;
  return i;
}

function sendOne(rig: Rig, spec: FrameSpec, gsoSize: number, cuts: number[] = []): Uint8Array[] {
  rig.batch.reset();
  put(rig, spec, gsoSize, cuts);
  expect(rig.send()).toBe(1);
  return rig.model.sent.splice(0);
}

for (const family of FAMILIES) {
  describe(`${family} offloads`, () => {
    test("it says which", () =>
      withRig(family, {}, ({ nic, lane }) => {
        expect(nic.accepts).toBe(OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6);
        expect(lane.accepts).toBe(nic.accepts);
        expect(nic.accepts & (OFFLOAD_ECN | OFFLOAD_USO)).toBe(0);
      }));

    test("only those that the port may use", () =>
      withRig(family, { offload: OFFLOAD_CSUM | OFFLOAD_USO }, ({ nic }) => expect(nic.accepts).toBe(OFFLOAD_CSUM)));

    const plain: [string, FrameSpec][] = [
      ["TCP on IPv4", spec4({ payload: pattern(300) })],
      ["UDP on IPv4", spec4({ transport: "udp", payload: pattern(301) })],
      ["TCP on IPv6", spec6({ payload: pattern(300) })],
      ["UDP on IPv6", spec6({ transport: "udp", payload: pattern(1) })],
      ["behind a VLAN tag", spec4({ tags: [{ type: 0x8100, tci: 7 }], payload: pattern(80) })],
      ["behind IPv4 options", spec4({ ipOptions: [1, 1, 1, 0, 1, 1, 1, 0], payload: pattern(80) })],
    ];
    for (const [name, spec] of plain) {
      test(`the checksum of ${name} is the device's`, () =>
        withRig(family, {}, (rig) => {
          expect(sendOne(rig, spec, 0)).toEqual([complete(TO, FROM, spec)]);
          expect(rig.model.contexts).toBe(1);
        }));
    }

    const strange: [string, FrameSpec][] = [
      ["behind two tags", spec4({ tags: [0x88a8, 0x8100].map((type) => ({ type, tci: 3 })), payload: pattern(99) })],
      ["behind a tag of 802.1ad", spec4({ tags: [{ type: 0x88a8, tci: 3 }], payload: pattern(99) })],
      [
        "behind extension headers",
        spec6({ extensions: [{ kind: 60, body: [1, 4, 0, 0, 0, 0] }], payload: pattern(9) }),
      ],
    ];
    for (const [name, spec] of strange) {
      test(`the checksum of a frame ${name} is completed here`, () =>
        withRig(family, {}, (rig) => {
          expect(sendOne(rig, spec, 0)).toEqual([complete(TO, FROM, spec)]);
          expect(rig.model.contexts).toBe(0);
        }));
    }

    test("a checksum of UDP that comes out as zero is sent as ones", () =>
      withRig(family, {}, (rig) => {
        const udp = (payload: number[]) => spec4({ transport: "udp", tags: [{ type: 0x88a8, tci: 3 }], payload });
        const field = complete(TO, FROM, udp([0, 0])).slice(14 + 4 + 20 + 6, 14 + 4 + 20 + 8);
        const spec = udp([...field]);
        expect([...complete(TO, FROM, spec).slice(44, 46)]).toEqual([0xff, 0xff]);
        expect(sendOne(rig, spec, 0)).toEqual([complete(TO, FROM, spec)]);
      }));

    test("the checksum of an inner frame is completed here", () =>
      withRig(family, {}, (rig) => {
        // VXLAN-like: an outer UDP datagram without a checksum, in it 8 bytes and a whole frame with a partial one.
        const inner = offloaded(TO, FROM, spec4({ payload: pattern(64) }), 0);
        const whole = complete(TO, FROM, spec4({ payload: pattern(64) }));
        const outer = (frame: Uint8Array) => {
          const bytes = complete(TO, FROM, spec4({ transport: "udp", payload: [...pattern(8), ...frame] }));
          bytes.set([0, 0], 14 + 20 + 6);
          return bytes;
        };
        rig.batch.reset();
        const i = rig.bench.put(outer(inner.bytes));
        rig.batch.needs[i] = OFFLOAD_CSUM;
        rig.batch.csumStart[i] = 14 + 20 + 8 + 8 + 14 + 20;
        rig.batch.csumOffset[i] = 16;
        expect(rig.send()).toBe(1);
        expect(rig.model.sent).toEqual([outer(whole)]);
        expect(rig.model.contexts).toBe(0);
      }));

    test("a long frame's checksum is completed over the end of the buffers", () =>
      withRig(family, { mtu: 9000 }, (rig) => {
        for (let round = 0; round < 70; round++) {
          const spec = spec6({ extensions: [{ kind: 60, body: pattern(6) }], payload: pattern(8801 + round) });
          expect(sendOne(rig, spec, 0)).toEqual([complete(TO, FROM, spec)]);
        }
      }));

    test("a context is said once for frames that ask the same, between plain ones too", () =>
      withRig(family, {}, (rig) => {
        const asked = [spec4({ payload: pattern(10) }), spec4({ payload: pattern(700), id: 9 })];
        for (let round = 0; round < 30; round++) {
          rig.batch.reset();
          put(rig, asked[0], 0);
          rig.bench.put(Uint8Array.from(pattern(64)));
          put(rig, asked[1], 0);
          expect(rig.send()).toBe(3);
          const expected = [complete(TO, FROM, asked[0]), Uint8Array.from(pattern(64)), complete(TO, FROM, asked[1])];
          expect(rig.model.sent.splice(0)).toEqual(expected);
        }
        expect(rig.model.contexts).toBe(1);
        sendOne(rig, spec6({ payload: pattern(10) }), 0);
        expect(sendOne(rig, asked[0], 0)).toEqual([complete(TO, FROM, asked[0])]);
        // The 82574 is told where TCP begins, which is another place; so is the 82576.
        expect(rig.model.contexts).toBe(3);
      }));

    test("super-frames of TCP, up to 64 KiB, over the end of the ring", () =>
      withRig(family, {}, (rig) => {
        for (let round = 0; round < 8; round++) {
          for (const make of [spec4, spec6]) {
            const spec = make({ payload: pattern(65535 - 60 - round), flags: 0x19, tcpOptions: [1, 1, 1, 0] });
            expect(sendOne(rig, spec, 1400, [70, 4096, 40000])).toEqual(plainSegments(TO, FROM, spec, 1400));
          }
        }
      }));

    test("any frame, whatever its headers are", () =>
      withRig(family, { mtu: 9000 }, (rig) =>
        fc.assert(
          fc.property(
            anySpec(6000).map(withoutCwr),
            fc.integer({ min: 48, max: 8000 }),
            fc.array(fc.nat(6000)),
            (spec, mss, cuts) => {
              cuts.sort((a, b) => a - b);
              const fits = complete(TO, FROM, spec).length <= 9022;
              if (fits) expect(sendOne(rig, { ...spec }, 0, cuts)).toEqual([complete(TO, FROM, spec)]);
              // A super-frame has more than one segment's bytes, headers that the device can take, and segments that fit.
              const header = complete(TO, FROM, { ...spec, payload: [] }).length;
              if (spec.payload.length === 0 || header > 255 || header + mss > 9022) return;
              expect(sendOne(rig, spec, mss, cuts)).toEqual(plainSegments(TO, FROM, spec, mss));
            },
          ),
          { numRuns: 150 },
        ),
      ));

    for (const [name, change] of [
      ["a segment size of 1", { gsoSize: 1 }],
      ["the other IP version", { gsoType: 4 }],
      ["a checksum that is not TCP's", { csumOffset: 6 }],
      ["TCP where it is not", { csumStart: 38 }],
      ["headers to the end of the frame", { csumStart: 360 }],
      ["no room for an IP header", { csumStart: 20 }],
    ] as const) {
      test(`a super-frame with ${name} is dropped and counted, and its neighbours go out`, () =>
        withRig(family, {}, (rig) => {
          const spec = spec4({ payload: pattern(320) });
          rig.batch.reset();
          rig.bench.put(Uint8Array.from(pattern(64)));
          const i = put(rig, spec, 100);
          rig.bench.put(Uint8Array.from(pattern(65)));
          for (const [field, value] of Object.entries(change)) rig.batch[field as "gsoSize"][i] = value;
          expect(rig.send()).toBe(2);
          expect(rig.model.sent.map((frame) => frame.length)).toEqual([64, 65]);
          expect(rig.bench.drops).toEqual({ offload: 1 });
        }));
    }

    test("a super-frame whose segments are too long is dropped as such", () =>
      withRig(family, {}, (rig) => {
        rig.batch.reset();
        put(rig, spec4({ payload: pattern(4000) }), 1469);
        expect(rig.send()).toBe(0);
        expect(rig.bench.drops).toEqual({ oversized: 1 });
        expect(sendOne(rig, spec4({ payload: pattern(4000) }), 1468)).toHaveLength(3);
      }));

    test("a checksum that leaves the frame, or begins at an odd place, is dropped and counted", () =>
      withRig(family, {}, (rig) => {
        for (const [start, offset] of [
          [50, 16],
          [35, 16],
          [34, 15],
          [60_000, 6],
        ]) {
          rig.batch.reset();
          const i = put(rig, spec4({ payload: [] }), 0);
          rig.batch.csumStart[i] = start;
          rig.batch.csumOffset[i] = offset;
          expect(rig.send()).toBe(0);
        }
        expect(rig.bench.drops).toEqual({ offload: 4 });
        expect(rig.model.sent).toEqual([]);
      }));
  });
}

/** Devices copy CWR into every segment, so frames with it are of another form (OFFLOAD_ECN), which is not accepted. */
function withoutCwr(spec: FrameSpec): FrameSpec {
  return { ...spec, flags: spec.flags & ~0x80 };
}
