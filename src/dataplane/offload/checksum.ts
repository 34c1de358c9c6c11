// HOT
// The Internet checksum (RFC 1071) in software, for receivers that did not negotiate VIRTIO_NET_F_GUEST_CSUM.
//
//   sum over big-endian 16-bit words | even offset: high byte | odd offset: low byte | an odd last byte is a high byte
//
// A ones-complement sum does not care about byte order until the end (RFC 1071 2 (B)), so the long middle of a range is
// added as little-endian 32-bit words into doubles (exact: 2^53 / 2^32 words are 8 MiB), and the result is swapped.
// Words need an aligned view of the same memory: `bindScratch`, once per worker. Other memory is summed byte by byte.
// Measured on an EPYC, 1448 bytes: 60 ns/KiB by words, 120 by bytes. Little-endian processors only, as is Bun.
// Limits: a range of at most 128 KiB (its byte lanes add up below 2^32), above any frame; the range lies in `bytes`.

import { IPPROTO_TCP, IPPROTO_UDP } from "../../uapi/in.ts";
import {
  PARSED_L3,
  PARSED_L4,
  PARSED_PROTOCOL,
  PARSED_SLOTS,
  parseIp,
  REFUSED_CSUM_FIELD,
  REFUSED_NOT_IP,
  write16,
} from "./headers.ts";

/** Below this the two ends and the swaps cost more than the words save. */
const WORDS_MIN_SIZE = 192;

/** Offset of the checksum in the UDP header, and in those built like it (UDP-Lite, DCCP). */
const UDP_CSUM_OFFSET = 6;
const TCP_CSUM_OFFSET = 16;

const parsed = new Int32Array(PARSED_SLOTS);
let scratch: Uint8Array = new Uint8Array(0);
let scratchWords: Uint32Array = new Uint32Array(0);

/** Names the memory that sums are fast in: this worker's scratch, 4-byte aligned. Cold; results do not depend on it. */
export function bindScratch(bytes: Uint8Array): void {
  if ((bytes.byteOffset & 3) !== 0) return;
  scratch = bytes;
  scratchWords = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
}

/** Adds `length` bytes to `initial` (below 2^31); returns the 16-bit ones-complement sum, not yet complemented. */
export function sum16(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  const end = offset + length;
  if (length < WORDS_MIN_SIZE || bytes !== scratch) return fold(initial + sumBytes(bytes, offset, end));
  const from = (offset + 3) & ~3;
  const to = end & ~3;
  const head = sumBytes(bytes, offset, from);
  const rest = fold(swap(sumWords(scratchWords, from >> 2, to >> 2)) + sumBytes(bytes, to, end));
  // After an odd number of bytes, what follows has its high and low bytes exchanged.
  return fold(initial + head + ((offset & 1) === 0 ? rest : swap(rest)));
}

/**
 * Completes a NEEDS_CSUM frame (virtio 1.2, 5.1.6.2): sums from `csumStart` to the end, over the pseudo-header sum that
 * the sender left in the field, and writes the complement there. Returns 0, or REFUSED_* with the frame untouched.
 */
export function completeChecksum(
  bytes: Uint8Array,
  frameOffset: number,
  frameLength: number,
  csumStart: number,
  csumOffset: number,
): number {
  const outcome = parseIp(bytes, frameOffset, frameLength, parsed);
  if (outcome !== 0 && outcome !== REFUSED_NOT_IP) return outcome;
  const start = frameOffset + csumStart;
  const field = start + csumOffset;
  const end = frameOffset + frameLength;
  if (csumStart < 0 || csumOffset < 0 || field + 2 > end) return REFUSED_CSUM_FIELD;
  if (field < lowestField(outcome)) return REFUSED_CSUM_FIELD;
  const checksum = ~sum16(bytes, start, end - start, 0) & 0xffff;
  // 0 means "no checksum" in UDP over IPv4 (RFC 768) and is forbidden over IPv6 (RFC 8200 8.1).
  write16(bytes, field, checksum === 0 && csumOffset === UDP_CSUM_OFFSET ? 0xffff : checksum);
  return 0;
}

/**
 * Where a checksum field may begin at the earliest. The field is written after the switch has judged the frame by its
 * addresses, ports and flags; a guest must not have it rewrite those. Behind the transport's own checksum anything goes:
 * an encapsulated packet may have its checksum there. Unknown payloads (PPPoE, say) begin after the Ethernet header.
 */
function lowestField(outcome: number): number {
  if (outcome === REFUSED_NOT_IP) return parsed[PARSED_L3];
  const protocol = parsed[PARSED_PROTOCOL];
  if (protocol === IPPROTO_TCP) return parsed[PARSED_L4] + TCP_CSUM_OFFSET;
  // The least offset of any other protocol is ICMP's, behind type and code.
  return parsed[PARSED_L4] + (protocol === IPPROTO_UDP ? UDP_CSUM_OFFSET : 2);
}

/** Adds the carries of a number below 2^32 back in until 16 bits are left. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

/** Folded sum of a range whose first byte is a high byte. */
function sumBytes(bytes: Uint8Array, from: number, end: number): number {
  let high = 0;
  let low = 0;
  let at = from;
  for (const unrolled = end - 7; at < unrolled; at += 8) {
    high = (high + bytes[at] + bytes[at + 2] + bytes[at + 4] + bytes[at + 6]) | 0;
    low = (low + bytes[at + 1] + bytes[at + 3] + bytes[at + 5] + bytes[at + 7]) | 0;
  }
  for (; at + 1 < end; at += 2) {
    high += bytes[at];
    low += bytes[at + 1];
  }
  if (at < end) high += bytes[at];
  // Below 2^32 up to the size limit: 65536 * 255 * 257.
  return fold((high << 8) + low);
}

/** Folded sum of little-endian words, in their byte order. */
function sumWords(words: Uint32Array, from: number, end: number): number {
  let a = 0;
  let b = 0;
  let at = from;
  for (const unrolled = end - 7; at < unrolled; at += 8) {
    a += words[at] + words[at + 1] + words[at + 2] + words[at + 3];
    b += words[at + 4] + words[at + 5] + words[at + 6] + words[at + 7];
  }
  for (; at < end; at++) a += words[at];
  // Split into int32 pieces by division: shifts would first squeeze the double through a slow conversion.
  const sum = a + b;
  const top = (sum / 0x1_0000_0000) | 0;
  const rest = sum - top * 0x1_0000_0000;
  const middle = (rest / 0x1_0000) | 0;
  return fold(fold(top) + middle + (rest - middle * 0x1_0000));
}
