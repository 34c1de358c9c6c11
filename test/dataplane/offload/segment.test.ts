// TCP segments against the frames that a slow sender would have built one by one: every header byte, every checksum, and the
// payload put together again. Then what a hostile guest may write. (UDP: segment-udp.test.ts.)

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bindScratch } from "../../../src/dataplane/offload/checksum.ts";
import {
  REFUSED_GSO_SIZE,
  REFUSED_GSO_TYPE,
  REFUSED_HEADER,
  REFUSED_HEADER_AREA,
  REFUSED_HEADER_SIZE,
  REFUSED_NOT_TCP,
  REFUSED_SEGMENT_COUNT,
  REFUSED_TCP_FLAGS,
  REFUSED_TRUNCATED,
} from "../../../src/dataplane/offload/headers.ts";
import { HEADER_AREA_SIZE, MAX_GSO_SEGMENTS, segmentFrame } from "../../../src/dataplane/offload/segment.ts";
import { MIN_GSO_SIZE } from "../../../src/dataplane/offload/segment-tcp.ts";
import { anySpec, build, type FrameSpec, pattern, place, spec4, spec6 } from "./reference.ts";
import { anyPlacing, checkCutAnywhere, checkHostileBytes, checkSegments, cut, out } from "./segment-checks.ts";
import { emitted, slowSegments, verifySums } from "./slow-segments.ts";

const typeOf = (spec: FrameSpec) => (spec.version === 4 ? 1 : 4);

describe("segmentFrame of TCP", () => {
  test("makes the segments that the sender would have made, for any frame", () => {
    const cases = fc.record({
      spec: anySpec(3000),
      gsoSize: fc.oneof(fc.integer({ min: MIN_GSO_SIZE, max: 200 }), fc.integer({ min: MIN_GSO_SIZE, max: 3200 })),
      ecn: fc.boolean(),
      placing: anyPlacing,
    });
    fc.assert(
      fc.property(cases, ({ spec, gsoSize, ecn, placing }) =>
        checkSegments(spec, build(spec), typeOf(spec) | (ecn ? 0x80 : 0), gsoSize, placing),
      ),
      { numRuns: 300 },
    );
  });

  test.each([
    ["IPv4", spec4({ payload: pattern(65535 - 40), flags: 0x99, sequence: 0xfffff000, id: 0xfff0 })],
    ["IPv6", spec6({ payload: pattern(65535 - 20), flags: 0x99, tags: [{ type: 0x8100, tci: 7 }] })],
  ])("cuts the largest %s super-frame at 536, 1448 and 65000 bytes", (_, spec) => {
    const frame = build(spec);
    const memory = place(frame.bytes, 2, 2 + frame.bytes.length + HEADER_AREA_SIZE, 1);
    bindScratch(memory);
    for (const gsoSize of [536, 1448, 65000]) {
      const expected = slowSegments(spec, gsoSize);
      expect(segmentFrame(memory, 2, frame.bytes.length, typeOf(spec), gsoSize, 2 + frame.bytes.length, out)).toBe(
        expected.length,
      );
      for (let k = 0; k < expected.length; k++) {
        expect(Buffer.compare(Buffer.from(emitted(out, memory, k)), Buffer.from(expected[k]))).toBe(0);
      }
    }
  });

  const run = (spec: FrameSpec, gsoSize: number, gsoType = typeOf(spec)) => cut(spec, gsoType, gsoSize);

  test("makes one segment of a payload that fits, and of none", () => {
    for (const size of [0, 1, 99, 100]) {
      expect(run(spec4({ payload: pattern(size), flags: 0x99 }), 100)).toBe(1);
      expect(out.payloadLength[0]).toBe(size);
    }
    expect(run(spec4({ payload: pattern(101) }), 100)).toBe(2);
    expect([...out.payloadLength.subarray(0, 2)]).toEqual([100, 1]);
    expect(run(spec4({ payload: pattern(200) }), 100)).toBe(2);
  });

  test("bounds what one frame may become", () => {
    expect(run(spec4({ payload: pattern(100 * MAX_GSO_SEGMENTS) }), 100)).toBe(MAX_GSO_SEGMENTS);
    expect(run(spec4({ payload: pattern(100 * MAX_GSO_SEGMENTS + 1) }), 100)).toBe(REFUSED_SEGMENT_COUNT);
    expect(out.count).toBe(0);
    for (const size of [0, 1, 8, MIN_GSO_SIZE - 1, -1, -100]) {
      expect(run(spec4({ payload: pattern(10) }), size)).toBe(REFUSED_GSO_SIZE);
    }
    expect(run(spec4({ payload: pattern(10) }), MIN_GSO_SIZE)).toBe(1);
  });

  test("refuses a type that is unknown or belongs to the other IP version", () => {
    for (const type of [0, 2, 3, 4, 6, 0x41, 0x84, 0x85, 0xff]) {
      expect([type, run(spec4({ payload: pattern(200) }), 100, type)]).toEqual([type, REFUSED_GSO_TYPE]);
    }
    expect(run(spec6({ payload: pattern(200) }), 100, 1)).toBe(REFUSED_GSO_TYPE);
    expect(run(spec6({ payload: pattern(200) }), 100, 0x84)).toBe(2);
  });

  test("refuses SYN and RST, which segmentation would multiply", () => {
    for (const flags of [0x02, 0x12, 0x04, 0x14, 0xff]) {
      expect(run(spec4({ payload: pattern(200), flags }), 100)).toBe(REFUSED_TCP_FLAGS);
    }
  });

  test("refuses headers that do not fit their slot", () => {
    const extension = (size: number) => ({ kind: 60, body: new Array(size - 2).fill(0) });
    const fits = { extensions: [extension(128)], tcpOptions: pattern(40), tags: [{ type: 0x8100, tci: 1 }] };
    expect(run(spec6({ ...fits, payload: pattern(200) }), 100)).toBe(2);
    const over = { ...fits, extensions: [extension(136)], tags: [...fits.tags, ...fits.tags] };
    expect(run(spec6({ ...over, payload: pattern(200) }), 100)).toBe(REFUSED_HEADER_SIZE);
  });

  test("refuses a segment longer than an IP packet can say", () => {
    const spec = spec4({ payload: pattern(65600) });
    const frame = build(spec);
    frame.bytes[16] = 0;
    frame.bytes[17] = 0;
    const memory = place(frame.bytes, 0, frame.bytes.length + HEADER_AREA_SIZE, 1);
    const into = (gsoSize: number) => segmentFrame(memory, 0, frame.bytes.length, 1, gsoSize, frame.bytes.length, out);
    expect(into(65535)).toBe(REFUSED_GSO_SIZE);
    expect(into(65535 - 40 + 1)).toBe(REFUSED_GSO_SIZE);
    expect(into(65535 - 40)).toBe(2);
    verifySums(emitted(out, memory, 0), spec, frame.l3, frame.l4);
    verifySums(emitted(out, memory, 1), spec, frame.l3, frame.l4);
  });

  test("refuses a header area that leaves the memory or touches the frame, and takes one beside it", () => {
    const { bytes } = build(spec4({ payload: pattern(200) }));
    const memory = place(bytes, 1024, 4096, 1);
    const before = Uint8Array.from(memory);
    const withArea = (area: number) => segmentFrame(memory, 1024, bytes.length, 1, 100, area, out);
    for (const area of [-1, 1024 - 512 + 1, 1024, 1024 + bytes.length - 1, 4096 - 512 + 1, 5000]) {
      expect([area, withArea(area)]).toEqual([area, REFUSED_HEADER_AREA]);
    }
    expect(memory).toEqual(before);
    for (const area of [0, 1024 - 512, 1024 + bytes.length, 4096 - 512])
      expect([area, withArea(area)]).toEqual([area, 2]);
  });

  test("refuses what is not TCP, and a frame whose IP length lies", () => {
    const { bytes } = build(spec4({ payload: pattern(200) }));
    const changed = (at: number, value: number) => {
      const memory = place(bytes, 0, bytes.length + HEADER_AREA_SIZE, 3);
      memory[at] = value;
      return segmentFrame(memory, 0, bytes.length, 1, 100, bytes.length, out);
    };
    expect(changed(23, 17)).toBe(REFUSED_NOT_TCP);
    expect(changed(16, 0x10)).toBe(REFUSED_HEADER);
    expect(changed(46, 0x30)).toBe(REFUSED_HEADER);
    // A total length below the TCP header, and one that makes the second half padding.
    expect(changed(17, 39)).toBe(REFUSED_TRUNCATED);
    expect(changed(17, 140)).toBe(1);
    expect(out.payloadLength[0]).toBe(100);
  });
});

test("a frame cut at any length is refused, and nothing is written", () => checkCutAnywhere(anySpec(60), typeOf));

test("hostile bytes: any outcome is a count or a code, says the same whatever lies around, and stays in its area", () => {
  const reached = [REFUSED_TRUNCATED, REFUSED_HEADER, REFUSED_GSO_TYPE, REFUSED_GSO_SIZE];
  checkHostileBytes(anySpec(400), [1, 4, 0x81, 0x84, 0, 3], reached);
});
