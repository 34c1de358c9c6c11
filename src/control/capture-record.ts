// Captured frames as they cross the control socket: the records of workers' rings (dataplane/bridge/tap-memory.ts has the picture), one
// behind the other, in pieces of a size that fits the socket. Ports are numbers there; what they are read with has the names. Pure.

import { TAP_HEADER_SIZE, TAPPED_DROP, TAPPED_IN, TAPPED_OUT, TAPPED_RULE } from "../dataplane/bridge/tap-memory.ts";
import { COUNTER_NAMES } from "../mem/counters.ts";

export interface CapturedFrame {
  what: "in" | "out" | "drop" | "rule";
  /** The port where it came in, as CaptureBatch names it; with "out", where it goes out. */
  port: number;
  /** Of a drop: its counter's name. */
  reason?: string;
  /** Microseconds since 1970. */
  timeUs: number;
  /** Of the whole frame. */
  length: number;
  bytes: Uint8Array;
}

const NAMES = { [TAPPED_IN]: "in", [TAPPED_OUT]: "out", [TAPPED_DROP]: "drop", [TAPPED_RULE]: "rule" } as const;

/** The frames of whole records, in the order of their times. A record that ends early ends the list. */
export function capturedFrames(pieces: readonly Uint8Array[]): CapturedFrame[] {
  const bytes = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: CapturedFrame[] = [];
  for (let at = 0; at + TAP_HEADER_SIZE <= bytes.length; ) {
    const word = (index: number) => view.getUint32(at + 4 * index, true);
    const what = NAMES[word(0) as keyof typeof NAMES];
    const start = at + TAP_HEADER_SIZE;
    const end = start + word(4);
    if (what === undefined || end > bytes.length) break;
    frames.push({
      ...{ what, port: word(1), length: word(3) },
      ...(what === "drop" && { reason: COUNTER_NAMES[word(2)] ?? String(word(2)) }),
      timeUs: word(6) * 1_000_000 + word(5),
      bytes: bytes.subarray(start, end),
    });
    at = end;
  }
  // Each worker's are in order already.
  return frames.sort((a, b) => a.timeUs - b.timeUs);
}
