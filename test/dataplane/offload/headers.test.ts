// Layers are found where the builder put them, and a frame that contradicts itself gets the code that says how.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as headers from "../../../src/dataplane/offload/headers.ts";
import {
  PARSED_END,
  PARSED_L3,
  PARSED_L4,
  PARSED_PAYLOAD,
  PARSED_PROTOCOL,
  PARSED_SLOTS,
  PARSED_VERSION,
  parseIp,
  parseTcp,
  REFUSED_EXTENSIONS,
  REFUSED_FRAGMENT,
  REFUSED_HEADER,
  REFUSED_NOT_IP,
  REFUSED_NOT_TCP,
  REFUSED_TRUNCATED,
} from "../../../src/dataplane/offload/headers.ts";
import { anySpec, build, buildEthernet, buildIpv4, type FrameSpec, pattern, place, spec4, spec6 } from "./reference.ts";

const parsed = new Int32Array(PARSED_SLOTS);

/** Both parsers, as segmentation runs them. */
function parse(memory: Uint8Array, offset = 0, length = memory.length): number {
  const outcome = parseIp(memory, offset, length, parsed);
  return outcome === 0 ? parseTcp(memory, parsed) : outcome;
}

function changed(spec: FrameSpec, changes: [number, number][]): Uint8Array {
  const memory = Uint8Array.from(build(spec).bytes);
  for (const [at, value] of changes) memory[at] = value;
  return memory;
}

test("outcome codes are distinct and index the counter array", () => {
  const codes = Object.entries(headers)
    .filter(([name]) => name.startsWith("REFUSED_") && name !== "REFUSED_SLOTS")
    .map(([, code]) => code as number);
  expect(new Set(codes).size).toBe(codes.length);
  expect(Math.min(...codes)).toBe(1 - headers.REFUSED_SLOTS);
  expect(Math.max(...codes)).toBe(-1);
});

test("finds the layers of any TCP frame, with padding behind it and anything around it", () => {
  const cases = fc.record({
    spec: anySpec(100),
    offset: fc.integer({ min: 0, max: 9 }),
    padding: fc.integer({ min: 0, max: 20 }),
    noise: fc.integer(),
  });
  fc.assert(
    fc.property(cases, ({ spec, offset, padding, noise }) => {
      const frame = build(spec);
      const memory = place(frame.bytes, offset, offset + frame.bytes.length + padding + 8, noise);
      expect(parse(memory, offset, frame.bytes.length + padding)).toBe(0);
      expect(parsed[PARSED_L3]).toBe(offset + frame.l3);
      expect(parsed[PARSED_L4]).toBe(offset + frame.l4);
      expect(parsed[PARSED_PAYLOAD]).toBe(offset + frame.payload);
      expect(parsed[PARSED_END]).toBe(offset + frame.bytes.length);
      expect(parsed[PARSED_VERSION]).toBe(spec.version);
      expect(parsed[PARSED_PROTOCOL]).toBe(6);
    }),
    { numRuns: 300 },
  );
});

test("refuses a frame cut anywhere, whatever lies behind the cut", () => {
  fc.assert(
    fc.property(anySpec(20), fc.integer(), (spec, noise) => {
      const { bytes } = build(spec);
      for (let length = 0; length < bytes.length; length++) {
        // The memory goes on with noise, or ends right at the cut.
        for (const rest of [0, 300]) {
          const memory = place(bytes.slice(0, length), 0, length + rest, noise);
          const outcome = parse(memory, 0, length);
          expect([length, outcome < 0 && outcome > -headers.REFUSED_SLOTS]).toEqual([length, true]);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("reads an IP length of 0 as up to the end, and then refuses a frame cut inside its headers only", () => {
  const tags = [
    { type: 0x88a8, tci: 1 },
    { type: 0x8100, tci: 2 },
  ];
  const extensions = [
    { kind: 0, body: pattern(6) },
    { kind: 60, body: pattern(14) },
  ];
  const payload = pattern(10);
  for (const spec of [
    spec4({ payload }),
    spec4({ payload, tags }),
    spec6({ payload }),
    spec6({ payload, extensions }),
  ]) {
    const frame = build(spec);
    const at = frame.l3 + (spec.version === 4 ? 2 : 4);
    const whole = changed(spec, [
      [at, 0],
      [at + 1, 0],
    ]);
    for (let length = 0; length <= whole.length; length++) {
      // The memory goes on behind the cut, or ends there.
      for (const memory of [whole, whole.slice(0, length)]) {
        const ip = parseIp(memory, 0, length, parsed);
        expect([length, ip]).toEqual([length, length < frame.l4 ? REFUSED_TRUNCATED : 0]);
        expect([length, parse(memory, 0, length)]).toEqual([length, length < frame.payload ? REFUSED_TRUNCATED : 0]);
        if (length >= frame.payload) expect(parsed[PARSED_END]).toBe(length);
      }
    }
  }
});

describe("refuses", () => {
  const body = { payload: pattern(10) };
  const tag = (type: number) => ({ type, tci: 1 });
  const extension = (kind: number) => ({ kind, body: [0, 0, 0, 0, 0, 0] });
  /** A header of 60 bytes in a packet of 59. */
  const LONG_HEADER: [number, number][] = [
    [14, 0x4f],
    [17, 59],
  ];
  const cases: [string, number, Uint8Array][] = [
    ["a third VLAN tag", REFUSED_NOT_IP, changed(spec4({ tags: [tag(0x88a8), tag(0x8100), tag(0x8100)] }), [])],
    ["ARP", REFUSED_NOT_IP, Uint8Array.from(buildEthernet([], 0x0806, pattern(28)))],
    ["an 802.3 length", REFUSED_NOT_IP, Uint8Array.from(buildEthernet([], 46, pattern(46)))],
    ["IPv6 under IPv4's EtherType", REFUSED_HEADER, changed(spec4(body), [[14, 0x65]])],
    ["IPv4 under IPv6's EtherType", REFUSED_HEADER, changed(spec6(body), [[14, 0x45]])],
    ["an IPv4 header of 16 bytes", REFUSED_HEADER, changed(spec4(body), [[14, 0x44]])],
    ["an IPv4 header past the frame", REFUSED_TRUNCATED, changed(spec4({}), [[14, 0x4f]])],
    ["an IPv4 header past the total length", REFUSED_HEADER, changed(spec4({ payload: pattern(40) }), LONG_HEADER)],
    ["a total length past the frame", REFUSED_HEADER, changed(spec4(body), [[17, 51]])],
    ["a total length below the header", REFUSED_HEADER, changed(spec4(body), [[17, 19]])],
    ["a first fragment", REFUSED_FRAGMENT, changed(spec4(body), [[20, 0x20]])],
    ["a later fragment", REFUSED_FRAGMENT, changed(spec4(body), [[21, 0x01]])],
    ["an IPv6 payload length past the frame", REFUSED_HEADER, changed(spec6(body), [[19, 31]])],
    ["an IPv6 fragment header", REFUSED_FRAGMENT, changed(spec6({ extensions: [extension(44)] }), [])],
    ["one behind another header", REFUSED_FRAGMENT, changed(spec6({ extensions: [extension(60), extension(44)] }), [])],
    ["nine extension headers", REFUSED_EXTENSIONS, changed(spec6({ extensions: Array(9).fill(extension(60)) }), [])],
    ["an extension past the packet", REFUSED_TRUNCATED, changed(spec6({ extensions: [extension(0)] }), [[55, 255]])],
    ["UDP", REFUSED_NOT_TCP, Uint8Array.from(buildEthernet([], 0x0800, buildIpv4(spec4(), 17, pattern(40))))],
    ["IPv6 no next header", REFUSED_NOT_TCP, changed(spec6(body), [[20, 59]])],
    ["a TCP header of 16 bytes", REFUSED_HEADER, changed(spec4(body), [[46, 0x40]])],
    ["a TCP header past the packet", REFUSED_TRUNCATED, changed(spec4(body), [[46, 0xf0]])],
  ];
  test.each(cases)("%s", (_, outcome, memory) => {
    expect(parse(memory)).toBe(outcome);
  });

  test("a frame that is not inside the memory", () => {
    const memory = changed(spec4(body), []);
    expect(parse(memory, -1, memory.length)).toBe(REFUSED_TRUNCATED);
    expect(parse(memory, 1, memory.length)).toBe(REFUSED_TRUNCATED);
    expect(parse(memory, 0, -5)).toBe(REFUSED_TRUNCATED);
  });
});
