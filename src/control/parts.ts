// A result in frames, and back. The first part has everything that is not an array; the elements of the arrays follow, as
// many in a frame as fit. Frames are made one by one, as fast as the other side reads them, so that a table of 60,000
// addresses never stands in the output queue as a whole. Pure.

import { RingyardError } from "../core/errors.ts";
import { encodeFrame, encodeItem, FRAME_SIZE_MAX, FrameError } from "./frame.ts";
import type { Reply } from "./protocol.ts";

type Result = Record<string, unknown>;

/** An array's head grows by at most so much when elements are added: 5 bytes for 2^32 of them, 1 for none. */
const ARRAY_HEAD_GROWTH = 4;

/** The frames that answer request `id` with `result`; throws LIMIT where a single thing is longer than a frame. */
export function* resultFrames(id: number, result: Result): Generator<Uint8Array> {
  const entries = Object.entries(result);
  let part: Result = Object.fromEntries(entries.map(([key, value]) => [key, Array.isArray(value) ? [] : value]));
  let size = sizeOf(id, part);
  for (const [key, elements] of entries) {
    if (!Array.isArray(elements)) continue;
    const keySize = encodeItem(key).length + 1 + ARRAY_HEAD_GROWTH;
    for (const element of elements) {
      const elementSize = encodeItem(element).length;
      if (size + elementSize + (part[key] === undefined ? keySize : 0) > FRAME_SIZE_MAX) {
        yield partFrame({ id, ok: true, more: true, result: part });
        part = {};
        size = sizeOf(id, part);
      }
      if (part[key] === undefined) {
        part[key] = [];
        size += keySize;
      }
      (part[key] as unknown[]).push(element);
      size += elementSize;
    }
  }
  yield partFrame({ id, ok: true, result: part });
}

/** Appends a part of a result to what came before. */
export function mergePart(whole: Result, part: Result): void {
  for (const [key, value] of Object.entries(part)) {
    const before = whole[key];
    if (Array.isArray(before) && Array.isArray(value)) for (const element of value) before.push(element);
    else whole[key] = value;
  }
}

/** The size of a frame with this part, and room for its arrays' heads to grow. */
function sizeOf(id: number, part: Result): number {
  return encodeItem({ id, ok: true, more: true, result: part }).length + Object.keys(part).length * ARRAY_HEAD_GROWTH;
}

function partFrame(reply: Reply): Uint8Array {
  try {
    return encodeFrame(reply);
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    throw new RingyardError("LIMIT", `the answer has a part longer than ${FRAME_SIZE_MAX} bytes`);
  }
}
