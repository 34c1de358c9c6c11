// HOT
// Frames of plain IPv4, as most are: no tags, no IPv4 options, every L4 header of a key whole. Their keys depend on fixed places, so
// that two of them are of one flow if these words of the headers are alike; little-endian, from the frame's start:
//
//   0 1 2 addresses   3 type, version, header length, TOS   4 total length   5 fragment, protocol   6 7 8 addresses, and ports
//   in 8 and 9        11 TCP flags
//
// Lengths decide which headers are present. With 20 bytes behind the IPv4 header, every L4 header of a key is; so of frames that have
// those no more is asked. Whoever adds a field to the key (key.ts) adds its bits here and in plain-columns.ts. Any worker thread.

import { IPPROTO_TCP } from "../../uapi/in.ts";

/** Word 3: type 0800, version 4, a header of five words. The fourth byte is TOS. */
export const PLAIN = 0x450008;
export const PLAIN_BITS = 0xffffff;
// What counts of words 5, 6, 9, and of 11 where the protocol is TCP.
export const FRAGMENT_PROTOCOL_BITS = 0xff00ffff | 0;
export const HIGH_HALF = 0xffff0000 | 0;
export const LOW_HALF = 0xffff;
const TCP_FLAG_BITS = 0xff0f0000 | 0;
/** IPv4 and TCP headers without options: the largest L4 header of a key. */
const WHOLE_PACKET = 20 + 20;
const WHOLE_FRAME = 14 + WHOLE_PACKET;

/** Whether the frame of `length` bytes that has these words is plain. */
export function isPlain(word3: number, word4: number, length: number): boolean {
  return (
    (word3 & PLAIN_BITS) === PLAIN &&
    length >= WHOLE_FRAME &&
    (((word4 & 0xff) << 8) | ((word4 >>> 8) & 0xff)) >= WHOLE_PACKET
  );
}

/** What counts of word 11 in a frame with this word 5. */
export function flagBits(word5: number): number {
  return word5 >>> 24 === IPPROTO_TCP ? TCP_FLAG_BITS : 0;
}
