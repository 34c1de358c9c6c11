// Looks a CBOR text over before it is decoded: a few bytes can announce an array of 2^32 elements or nest a thousand
// deep, and a decoder that believes them allocates or recurses without bound. Here nothing is built; the walk keeps one
// counter for each open array or map and reads every byte at most once.
//
//   accepted: one item, nothing after it; integers from -2^32 to 2^53, floats, UTF-8 text, bytes, arrays, maps with text
//   keys, true, false, null, undefined; definite lengths only, each covered by the bytes that follow; nesting up to DEPTH_MAX
//
// Tags are refused: they stand for dates, big numbers, references and records, none of which the protocol has.
// Pure; section numbers are those of RFC 8949.

import { isUtf8 } from "node:buffer";

/** What is wrong with a text: stable names, counted and shown. */
export type CborProblem =
  | "truncated"
  | "trailing_bytes"
  | "too_deep"
  | "too_long"
  | "indefinite_length"
  | "tag"
  | "reserved"
  | "key_not_text"
  | "text_not_utf8"
  | "number_too_big";

/** The deepest thing that the protocol says is reply, result, ports, port, queues, queue, drops. */
export const DEPTH_MAX = 8;

// Major types, section 3.1.
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const SIMPLE = 7;

/** 2^53 has this high word: from there on a number is not exact. */
const HIGH_WORD_MAX = 2 ** 21;

/** What is wrong with `bytes` as one CBOR item, or null. */
export function cborProblem(bytes: Uint8Array): CborProblem | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** Items still to come at each depth; a map's keys are the even ones. */
  const left: number[] = [1];
  const isMap: boolean[] = [false];
  let at = 0;
  for (;;) {
    while (left[left.length - 1] === 0) {
      left.pop();
      isMap.pop();
      if (left.length === 0) return at === bytes.length ? null : "trailing_bytes";
    }
    if (at >= bytes.length) return "truncated";
    const depth = left.length - 1;
    const key = isMap[depth] && left[depth] % 2 === 0;
    left[depth]--;
    const major = bytes[at] >> 5;
    const info = bytes[at] & 31;
    if (key && major !== TEXT) return "key_not_text";
    if (major === TAG) return "tag";
    if (info === 31) return "indefinite_length";
    // 28 to 30 are reserved (3); of the simple values only false, true, null and undefined (20 to 23) have a meaning (3.3).
    if (info > 27 || (major === SIMPLE && (info < 20 || info === 24))) return "reserved";
    const extra = info < 24 ? 0 : 1 << (info - 24);
    at += 1 + extra;
    if (at > bytes.length) return "truncated";
    if (major === SIMPLE) continue;
    const argument = extra === 0 ? info : readArgument(view, at - extra, extra);
    // Below -2^32 nothing is ever said, and the decoder's own arithmetic is wrong there.
    if (major === NEGATIVE && extra === 8) return "number_too_big";
    if (argument < 0) return major < BYTES ? "number_too_big" : "too_long";
    if (major < BYTES) continue;
    // An element has at least one byte, an entry of a map two: more of them than bytes left cannot come.
    const needed = major === MAP ? argument * 2 : argument;
    if (needed > bytes.length - at) return "too_long";
    if (major === BYTES || major === TEXT) {
      if (major === TEXT && !isUtf8(bytes.subarray(at, at + argument))) return "text_not_utf8";
      at += argument;
      continue;
    }
    if (depth >= DEPTH_MAX) return "too_deep";
    left.push(needed);
    isMap.push(major !== ARRAY);
  }
}

/** The argument of a head (section 3), or -1 from 2^53 on. */
function readArgument(view: DataView, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  if (size === 2) return view.getUint16(at);
  if (size === 4) return view.getUint32(at);
  const high = view.getUint32(at);
  return high >= HIGH_WORD_MAX ? -1 : high * 2 ** 32 + view.getUint32(at + 4);
}
