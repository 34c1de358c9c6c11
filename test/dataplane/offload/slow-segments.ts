// Segmentation the slow way: the frames that a sender would have built one by one in a super-frame's place, and a look at
// what the switch made that shares nothing with how it was made.

import { expect } from "bun:test";
import type { Segments } from "../../../src/dataplane/offload/segment.ts";
import { build, type FrameSpec, pseudoHeader, referenceSum } from "./reference.ts";

const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

/** The frames that the sender would have sent without segmentation offload, checksums complete. */
export function slowSegments(spec: FrameSpec, gsoSize: number): number[][] {
  const pieces: number[][] = [];
  for (let at = 0; at === 0 || at < spec.payload.length; at += gsoSize)
    pieces.push(spec.payload.slice(at, at + gsoSize));
  return pieces.map((payload, k) => {
    let flags = spec.flags;
    if (k !== 0 && flags >= CWR) flags -= CWR;
    if (k !== pieces.length - 1) {
      if (flags % 2 === FIN) flags -= FIN;
      if (Math.floor(flags / PSH) % 2 === 1) flags -= PSH;
    }
    const sequence = (spec.sequence + k * gsoSize) % 2 ** 32;
    return build({ ...spec, payload, flags, sequence, id: (spec.id + k) % 65536, partial: false }).bytes;
  });
}

/** Segment k of `out` as one frame. */
export function emitted(out: Segments, memory: Uint8Array, k: number): number[] {
  const header = memory.subarray(out.headerOffset[k], out.headerOffset[k] + out.headerLength);
  const payload = memory.subarray(out.payloadOffset[k], out.payloadOffset[k] + out.payloadLength[k]);
  return [...header, ...payload];
}

/** Checks the sums of a segment over its own bytes, without having built it. */
export function verifySums(frame: number[], spec: FrameSpec, l3: number, l4: number): void {
  if (spec.version === 4) expect(referenceSum(frame.slice(l3, l4))).toBe(0xffff);
  const pseudo = pseudoHeader(spec.source, spec.target, spec.transport === "tcp" ? 6 : 17, frame.length - l4);
  expect(referenceSum([...pseudo, ...frame.slice(l4)])).toBe(0xffff);
}
