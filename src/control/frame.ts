// Frames on the control socket, the same both ways:
//
//   0       4                            4 + length
//   | length | one CBOR item             |   length: uint32, little-endian, of the item alone, at most 16 KiB
//
// A stream that breaks the rule cannot be read on: the reader throws a FrameError and the connection ends. Pure.

import { Encoder } from "cbor-x/index-no-eval";
import { type CborProblem, cborProblem } from "./cbor-guard.ts";

/** Room for about 200 fdb entries; what is longer comes in parts (`parts.ts`). */
export const FRAME_SIZE_MAX = 16 * 1024;
const HEADER_SIZE = 4;

export type FrameProblem = CborProblem | "frame_too_long" | "frame_empty";

export class FrameError extends Error {
  constructor(readonly problem: FrameProblem) {
    super(problem.replaceAll("_", " "));
  }
}

// Plain maps with text keys, which any CBOR library reads; not the library's own records and tags. Its native and
// eval-built decoders are left out: frames are small and rare.
const options = {
  useRecords: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
  int64AsNumber: true,
};
const codec = new Encoder(options);

export function encodeItem(value: unknown): Uint8Array {
  return codec.encode(value);
}

export function encodeFrame(value: unknown): Uint8Array {
  const item = encodeItem(value);
  if (item.length > FRAME_SIZE_MAX) throw new FrameError("frame_too_long");
  const frame = new Uint8Array(HEADER_SIZE + item.length);
  new DataView(frame.buffer).setUint32(0, item.length, true);
  frame.set(item, HEADER_SIZE);
  return frame;
}

/** Checks and decodes the item of one frame. */
export function decodeItem(item: Uint8Array): unknown {
  const problem = cborProblem(item);
  if (problem !== null) throw new FrameError(problem);
  return codec.decode(item);
}

/** Puts frames together from the pieces in which a stream arrives; holds at most one unfinished frame. */
export class FrameReader {
  readonly #pending = new Uint8Array(HEADER_SIZE + FRAME_SIZE_MAX);
  #size = 0;

  /** Whether the stream stands inside a frame. */
  get partial(): boolean {
    return this.#size > 0;
  }

  /** Calls `take` with the item of each frame that `bytes` completes. Throws FrameError; then the stream is at its end. */
  push(bytes: Uint8Array, take: (item: unknown) => void): void {
    let at = 0;
    while (at < bytes.length) {
      at += this.#fill(bytes, at, HEADER_SIZE);
      if (this.#size < HEADER_SIZE) return;
      const length = new DataView(this.#pending.buffer).getUint32(0, true);
      if (length > FRAME_SIZE_MAX) throw new FrameError("frame_too_long");
      if (length === 0) throw new FrameError("frame_empty");
      at += this.#fill(bytes, at, HEADER_SIZE + length);
      if (this.#size < HEADER_SIZE + length) return;
      this.#size = 0;
      take(decodeItem(this.#pending.slice(HEADER_SIZE, HEADER_SIZE + length)));
    }
  }

  /** Copies until `want` bytes are pending, as far as `bytes` reaches; returns how many it took. */
  #fill(bytes: Uint8Array, at: number, want: number): number {
    const count = Math.max(0, Math.min(want - this.#size, bytes.length - at));
    this.#pending.set(bytes.subarray(at, at + count), this.#size);
    this.#size += count;
    return count;
  }
}
