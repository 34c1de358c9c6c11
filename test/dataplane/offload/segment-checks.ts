// What holds for the segments of any super-frame, TCP's or UDP's: they are the frames that a slow sender would have built one by one,
// nothing else in memory changes, and whatever a hostile guest writes ends in a count or a code.

import { expect } from "bun:test";
import fc from "fast-check";
import { bindScratch } from "../../../src/dataplane/offload/checksum.ts";
import { REFUSED_SLOTS } from "../../../src/dataplane/offload/headers.ts";
import {
  HEADER_AREA_SIZE,
  HEADER_STRIDE,
  MAX_GSO_SEGMENTS,
  Segments,
  segmentFrame,
} from "../../../src/dataplane/offload/segment.ts";
import { build, type Frame, type FrameSpec, place } from "./reference.ts";
import { emitted, slowSegments, verifySums } from "./slow-segments.ts";

/** Where all of these put their segments. */
export const out = new Segments();

/** How a frame and its header area lie in memory, and what lies around them. */
export interface Placing {
  /** Bytes behind the frame that belong to it as padding. */
  padding: number;
  gap: number;
  areaFirst: boolean;
  /** Whether the memory is the one that checksums are fast in. */
  fast: boolean;
  noise: number;
}

export const anyPlacing: fc.Arbitrary<Placing> = fc.record({
  padding: fc.integer({ min: 0, max: 3 }),
  gap: fc.integer({ min: 0, max: 9 }),
  areaFirst: fc.boolean(),
  fast: fc.boolean(),
  noise: fc.integer(),
});

/** Cuts a frame in memory of its own, header area behind it. */
export function cut(spec: FrameSpec, gsoType: number, gsoSize: number): number {
  const { bytes } = build(spec);
  const memory = place(bytes, 0, bytes.length + HEADER_AREA_SIZE, 3);
  return segmentFrame(memory, 0, bytes.length, gsoType, gsoSize, bytes.length, out);
}

/** Cuts `frame`, which `spec` describes, and compares every byte. */
export function checkSegments(spec: FrameSpec, frame: Frame, gsoType: number, gsoSize: number, how: Placing): void {
  const { padding, gap, areaFirst, fast, noise } = how;
  const expected = slowSegments(spec, gsoSize);
  const length = frame.bytes.length + padding;
  const offset = areaFirst ? gap + HEADER_AREA_SIZE : gap;
  const area = areaFirst ? gap : gap + length;
  const memory = place(frame.bytes, offset, gap + HEADER_AREA_SIZE + length, noise);
  const before = Uint8Array.from(memory);
  bindScratch(fast ? memory : new Uint8Array(0));
  const count = segmentFrame(memory, offset, length, gsoType, gsoSize, area, out);
  expect([count, out.count, out.headerLength]).toEqual([expected.length, expected.length, frame.payload]);
  const payload: number[] = [];
  for (let k = 0; k < count; k++) {
    const segment = emitted(out, memory, k);
    expect(out.headerOffset[k]).toBe(area + k * HEADER_STRIDE);
    expect(segment).toEqual(expected[k]);
    verifySums(segment, spec, frame.l3, frame.l4);
    payload.push(...segment.slice(frame.payload));
    before.set(segment.slice(0, frame.payload), out.headerOffset[k]);
  }
  expect(payload).toEqual(spec.payload);
  // With the headers put in, memory is what it was: nothing else was written.
  expect(Buffer.compare(memory, before)).toBe(0);
}

/** A frame that ends anywhere before its payload's end is refused, and nothing is written. */
export function checkCutAnywhere(specs: fc.Arbitrary<FrameSpec>, typeOf: (spec: FrameSpec) => number): void {
  fc.assert(
    fc.property(specs, fc.integer(), (spec, noise) => {
      const { bytes } = build(spec);
      for (let length = 0; length < bytes.length; length++) {
        const memory = place(bytes.slice(0, length), 4096, 4096 + length, noise);
        const before = Uint8Array.from(memory);
        const outcome = segmentFrame(memory, 4096, length, typeOf(spec), 100, 0, out);
        expect([length, outcome < 0 && outcome > -REFUSED_SLOTS]).toEqual([length, true]);
        expect(Buffer.compare(memory, before)).toBe(0);
      }
    }),
    { numRuns: 30 },
  );
}

/**
 * Damaged frames: any outcome is a count or a code, says the same whatever lies around, and stays in its area. The generator has to
 * reach both ends: frames that pass, and each of the codes `reached`.
 */
export function checkHostileBytes(
  specs: fc.Arbitrary<FrameSpec>,
  gsoTypes: readonly number[],
  reached: readonly number[],
): void {
  const cases = fc.record({
    spec: specs,
    damage: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
    ending: fc.option(fc.nat(), { nil: undefined }),
    gsoType: fc.constantFrom(...gsoTypes),
    gsoSize: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.integer({ min: 0, max: 0xffff })),
    noise: fc.integer(),
  });
  const outcomes = new Set<number>();
  fc.assert(
    fc.property(cases, ({ spec, damage, ending, gsoType, gsoSize, noise }) => {
      const { bytes, payload } = build(spec);
      for (const [at, value] of damage) bytes[at % payload] = value;
      const length = ending === undefined ? bytes.length : ending % (bytes.length + 1);
      const frame = bytes.slice(0, length);
      const results = [noise, noise + 2].map((seed) => {
        const memory = place(frame, HEADER_AREA_SIZE, HEADER_AREA_SIZE + length, seed);
        const count = segmentFrame(memory, HEADER_AREA_SIZE, length, gsoType, gsoSize, 0, out);
        expect(Array.from(memory.subarray(HEADER_AREA_SIZE))).toEqual(frame);
        const segments: number[][] = [];
        for (let k = 0; k < count; k++) segments.push(emitted(out, memory, k));
        return { count, segments };
      });
      const count = results[0].count;
      expect(Number.isInteger(count) && count !== 0 && count > -REFUSED_SLOTS && count <= MAX_GSO_SEGMENTS).toBe(true);
      expect(results[1]).toEqual(results[0]);
      outcomes.add(Math.sign(count) === 1 ? 1 : count);
    }),
    { numRuns: 600 },
  );
  for (const outcome of [1, ...reached]) expect([outcome, outcomes.has(outcome)]).toEqual([outcome, true]);
}
