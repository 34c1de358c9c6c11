// UDP segments against the datagrams that a slow sender would have built one by one: every header byte, every checksum, and
// the payload put together again. Then what a hostile guest may write. (TCP, and what is the same for both: segment.test.ts.)

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bindScratch } from "../../../src/dataplane/offload/checksum.ts";
import {
  REFUSED_FRAGMENT,
  REFUSED_GSO_SIZE,
  REFUSED_GSO_TYPE,
  REFUSED_HEADER,
  REFUSED_HEADER_AREA,
  REFUSED_HEADER_SIZE,
  REFUSED_NOT_IP,
  REFUSED_NOT_UDP,
  REFUSED_SEGMENT_COUNT,
  REFUSED_TRUNCATED,
} from "../../../src/dataplane/offload/headers.ts";
import {
  HEADER_AREA_SIZE,
  HEADER_STRIDE,
  MAX_GSO_SEGMENTS,
  segmentFrame,
} from "../../../src/dataplane/offload/segment.ts";
import {
  anySpec,
  build,
  type FrameSpec,
  pattern,
  place,
  pseudoHeader,
  referenceSum,
  spec4,
  spec6,
} from "./reference.ts";
import { anyPlacing, checkCutAnywhere, checkHostileBytes, checkSegments, cut, out } from "./segment-checks.ts";
import { emitted, slowSegments, verifySums } from "./slow-segments.ts";

const UDP_L4 = 5;
const udp4 = (changes: Partial<FrameSpec> = {}) => spec4({ transport: "udp", ...changes });
const udp6 = (changes: Partial<FrameSpec> = {}) => spec6({ transport: "udp", ...changes });

const run = (spec: FrameSpec, gsoSize: number, gsoType = UDP_L4) => cut(spec, gsoType, gsoSize);

describe("segmentFrame of UDP", () => {
  test("makes the datagrams that the sender would have sent, for any frame", () => {
    const cases = fc
      .record({
        spec: anySpec(3000, "udp"),
        wanted: fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 3200 })),
        unsaid: fc.boolean(),
        placing: anyPlacing,
      })
      .map((it) => ({ ...it, gsoSize: Math.max(it.wanted, Math.ceil(it.spec.payload.length / MAX_GSO_SEGMENTS)) }));
    fc.assert(
      fc.property(cases, ({ spec, gsoSize, unsaid, placing }) => {
        const frame = build(spec);
        // The datagram's length may be left to the device.
        if (unsaid) frame.bytes.fill(0, frame.l4 + 4, frame.l4 + 6);
        checkSegments(spec, frame, UDP_L4, gsoSize, placing);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["IPv4", udp4({ payload: pattern(65535 - 28), id: 0xfff0 })],
    ["IPv6", udp6({ payload: pattern(65535 - 8), tags: [{ type: 0x8100, tci: 7 }] })],
  ])("cuts the largest %s super-frame at 512, 1472 and 65000 bytes, the last one shorter", (_, spec) => {
    const frame = build(spec);
    const memory = place(frame.bytes, 2, 2 + frame.bytes.length + HEADER_AREA_SIZE, 1);
    bindScratch(memory);
    for (const gsoSize of [512, 1472, 65000]) {
      const expected = slowSegments(spec, gsoSize);
      expect(segmentFrame(memory, 2, frame.bytes.length, UDP_L4, gsoSize, 2 + frame.bytes.length, out)).toBe(
        expected.length,
      );
      expect(out.payloadLength[expected.length - 1]).toBeLessThan(gsoSize);
      for (let k = 0; k < expected.length; k++) {
        expect(Buffer.compare(Buffer.from(emitted(out, memory, k)), Buffer.from(expected[k]))).toBe(0);
      }
    }
  });

  test.each([
    ["IPv4", udp4()],
    ["IPv6", udp6()],
  ])("says 0xffff over %s where the checksum of a segment comes out as 0", (_, base) => {
    // Three segments whose second has, as its last word, what is missing to a sum of 0xffff.
    const size = 40;
    const head = [0x30, 0x39, 0x14, 0x51, 0, 8 + size];
    const data = pattern(size - 2);
    const pseudo = pseudoHeader(base.source, base.target, 17, 8 + size);
    const missing = 0xffff - referenceSum([...pseudo, ...head, 0, 0, ...data]);
    const payload = [...pattern(size), ...data, missing >> 8, missing & 255, 1, 2, 3];
    const frame = build({ ...base, payload });
    const memory = place(frame.bytes, 0, frame.bytes.length + HEADER_AREA_SIZE, 3);
    expect(segmentFrame(memory, 0, frame.bytes.length, UDP_L4, size, frame.bytes.length, out)).toBe(3);
    const fields = [0, 1, 2].map((k) => emitted(out, memory, k).slice(frame.l4 + 6, frame.l4 + 8));
    expect(fields[1]).toEqual([0xff, 0xff]);
    for (const field of [fields[0], fields[2]]) expect(field).not.toEqual([0, 0]);
    for (let k = 0; k < 3; k++) verifySums(emitted(out, memory, k), base, frame.l3, frame.l4);
  });

  test("makes one segment of a payload that fits, and of none", () => {
    for (const size of [0, 1, 99, 100]) {
      expect(run(udp4({ payload: pattern(size) }), 100)).toBe(1);
      expect(out.payloadLength[0]).toBe(size);
    }
    expect(run(udp4({ payload: pattern(101) }), 100)).toBe(2);
    expect([...out.payloadLength.subarray(0, 2)]).toEqual([100, 1]);
    expect(run(udp6({ payload: pattern(200) }), 100)).toBe(2);
  });

  test("bounds what one frame may become, and lets segments be of one byte", () => {
    expect(run(udp4({ payload: pattern(MAX_GSO_SEGMENTS) }), 1)).toBe(MAX_GSO_SEGMENTS);
    expect(run(udp4({ payload: pattern(MAX_GSO_SEGMENTS + 1) }), 1)).toBe(REFUSED_SEGMENT_COUNT);
    expect(out.count).toBe(0);
    for (const size of [0, -1, -100]) expect(run(udp6({ payload: pattern(10) }), size)).toBe(REFUSED_GSO_SIZE);
  });

  test("refuses types of TCP and of fragmentation, and ECN, which UDP has not", () => {
    for (const type of [0, 1, 3, 4, 0x85, 0xff]) {
      const outcome = run(udp4({ payload: pattern(200) }), 100, type);
      expect([type, outcome < 0]).toEqual([type, true]);
    }
    expect(run(udp4({ payload: pattern(200) }), 100, 0x85)).toBe(REFUSED_GSO_TYPE);
    expect(run(udp4({ payload: pattern(200) }), 100, 3)).toBe(REFUSED_GSO_TYPE);
    expect(run(spec4({ payload: pattern(200) }), 100)).toBe(REFUSED_NOT_UDP);
  });

  test("refuses headers that do not fit their slot", () => {
    const extension = (size: number) => ({ kind: 60, body: new Array(size - 2).fill(0) });
    const after = (size: number) => run(udp6({ extensions: [extension(size)], payload: pattern(200) }), 100);
    expect(after(HEADER_STRIDE - 14 - 40 - 8 - 2)).toBe(2);
    expect(after(HEADER_STRIDE - 14 - 40 - 8 + 6)).toBe(REFUSED_HEADER_SIZE);
  });

  test("refuses a header area that leaves the memory or touches the frame", () => {
    const { bytes } = build(udp4({ payload: pattern(200) }));
    const memory = place(bytes, 1024, 4096, 1);
    const before = Uint8Array.from(memory);
    const withArea = (area: number) => segmentFrame(memory, 1024, bytes.length, UDP_L4, 100, area, out);
    for (const area of [-1, 1024 - 512 + 1, 1024, 1024 + bytes.length - 1, 4096 - 512 + 1, 5000]) {
      expect([area, withArea(area)]).toEqual([area, REFUSED_HEADER_AREA]);
    }
    expect(memory).toEqual(before);
    expect(withArea(0)).toBe(2);
  });

  test("refuses what is not UDP, a fragment, and lengths that lie", () => {
    const { bytes } = build(udp4({ payload: pattern(200) }));
    const changed = (...changes: [number, number][]) => {
      const memory = place(bytes, 0, bytes.length + HEADER_AREA_SIZE, 3);
      for (const [at, value] of changes) memory[at] = value;
      return segmentFrame(memory, 0, bytes.length, UDP_L4, 100, bytes.length, out);
    };
    expect(changed()).toBe(2);
    expect(changed([23, 6])).toBe(REFUSED_NOT_UDP);
    expect(changed([12, 0x88])).toBe(REFUSED_NOT_IP);
    expect(changed([20, 0x20])).toBe(REFUSED_FRAGMENT);
    expect(changed([16, 0x10])).toBe(REFUSED_HEADER);
    // A datagram longer or shorter than the packet; a packet that ends in the UDP header.
    expect(changed([39, 209])).toBe(REFUSED_HEADER);
    expect(changed([39, 207])).toBe(REFUSED_HEADER);
    expect(changed([39, 8])).toBe(REFUSED_HEADER);
    expect(changed([17, 27], [39, 7])).toBe(REFUSED_TRUNCATED);
    // Half of it is padding, and both lengths say so.
    expect(changed([17, 128], [39, 108])).toBe(1);
    expect(out.payloadLength[0]).toBe(100);
  });
});

test("a UDP frame cut at any length is refused, and nothing is written", () => {
  checkCutAnywhere(anySpec(60, "udp"), () => UDP_L4);
});

test("hostile bytes of UDP: any outcome is a count or a code, says the same whatever lies around, and stays in its area", () => {
  // Another protocol takes one byte's luck: the cases above have it.
  const reached = [REFUSED_TRUNCATED, REFUSED_HEADER, REFUSED_GSO_TYPE];
  checkHostileBytes(anySpec(400, "udp"), [UDP_L4, UDP_L4, UDP_L4, 1, 3, 0x85], reached);
});
