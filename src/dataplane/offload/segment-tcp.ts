// HOT
// What segmentation does to a TCP header, as Linux does it (tcp_gso_segment): the sequence advances; FIN and PSH stay on the
// last segment, CWR on the first (RFC 3168 6.1.2), all else on every one; an urgent pointer is copied unchanged. As there,
// the checksum field must hold the pseudo-header sum of the super-frame (virtio 1.2, 5.1.6.2): a field that lies makes
// checksums that fail, on the sender's own frames only. `parsed` is the super-frame's. Called by segment.ts; any worker.

import { fold, sum16 } from "./checksum.ts";
import {
  PARSED_END,
  PARSED_L4,
  PARSED_PAYLOAD,
  parseTcp,
  REFUSED_GSO_SIZE,
  REFUSED_TCP_FLAGS,
  read16,
  write16,
} from "./headers.ts";

/** Least MSS that Linux takes from a path, less all option space: TCP_MIN_MSS 88 - MAX_TCP_OPTION_SPACE 40. */
export const MIN_GSO_SIZE = 48;

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const CWR = 0x80;

/** Finds PAYLOAD; 0, or why the packet cannot be segmented (REFUSED_*). */
export function refuseTcp(bytes: Uint8Array, parsed: Int32Array, gsoSize: number): number {
  const outcome = parseTcp(bytes, parsed);
  if (outcome !== 0) return outcome;
  if (gsoSize < MIN_GSO_SIZE) return REFUSED_GSO_SIZE;
  // One SYN or RST would become a hundred; no stack sends either with more than one segment of payload.
  return (bytes[parsed[PARSED_L4] + 13] & (SYN | RST)) !== 0 ? REFUSED_TCP_FLAGS : 0;
}

/** Pseudo-header and TCP header without the lengths, sequence (4), offset and flags (12) and checksum (16). */
export function constantTcpSum(bytes: Uint8Array, parsed: Int32Array): number {
  const l4 = parsed[PARSED_L4];
  // Subtracting in ones complement is adding the complement: the field counts the super-frame's length.
  const pseudo = read16(bytes, l4 + 16) + (~fold(parsed[PARSED_END] - l4) & 0xffff);
  const ports = sum16(bytes, l4, 4, pseudo);
  const acknowledgment = sum16(bytes, l4 + 8, 4, ports);
  const window = sum16(bytes, l4 + 14, 2, acknowledgment);
  return sum16(bytes, l4 + 18, parsed[PARSED_PAYLOAD] - l4 - 18, window);
}

/** Makes the copied header at `l4` that of a segment: `advance` bytes into the payload, the first or the last of them. */
export function writeTcp(bytes: Uint8Array, l4: number, advance: number, isFirst: boolean, isLast: boolean): void {
  const low = read16(bytes, l4 + 6) + (advance & 0xffff);
  const high = read16(bytes, l4 + 4) + (advance >>> 16) + (low >>> 16);
  write16(bytes, l4 + 4, high & 0xffff);
  write16(bytes, l4 + 6, low & 0xffff);
  bytes[l4 + 13] &= ~((isFirst ? 0 : CWR) | (isLast ? 0 : FIN | PSH));
}

/** Completes the checksum of a written header that ends at `headerEnd`, for `length` bytes at `payload`. */
export function writeTcpChecksum(
  bytes: Uint8Array,
  l4: number,
  headerEnd: number,
  payload: number,
  length: number,
  tcpSum: number,
): void {
  const sequence = read16(bytes, l4 + 4) + read16(bytes, l4 + 6);
  const known = tcpSum + (headerEnd - l4 + length) + sequence + read16(bytes, l4 + 12);
  write16(bytes, l4 + 16, ~sum16(bytes, payload, length, known) & 0xffff);
}
