// HOT
// What segmentation does to a UDP header, as Linux does it (__udp_gso_segment): every segment is a datagram of its own, with
// its own length and checksum. As for TCP, the checksum field must hold the pseudo-header sum of the super-frame (virtio 1.3,
// 5.1.6.2); a segment whose checksum comes out as 0 says 0xffff, since 0 means "none" over IPv4 (RFC 768) and is forbidden
// over IPv6 (RFC 8200 8.1). A segment may be as small as the sender likes: how many there may be is bounded in segment.ts.
// `parsed` is the super-frame's. Called by segment.ts; any worker.

import { fold, sum16 } from "./checksum.ts";
import { PARSED_END, PARSED_L4, parseUdp, REFUSED_GSO_SIZE, read16, UDP_SIZE, write16 } from "./headers.ts";

/** Finds PAYLOAD; 0, or why the packet cannot be segmented (REFUSED_*). */
export function refuseUdp(bytes: Uint8Array, parsed: Int32Array, gsoSize: number): number {
  const outcome = parseUdp(bytes, parsed);
  if (outcome !== 0) return outcome;
  return gsoSize < 1 ? REFUSED_GSO_SIZE : 0;
}

/** Pseudo-header without the length, and ports. */
export function constantUdpSum(bytes: Uint8Array, parsed: Int32Array): number {
  const l4 = parsed[PARSED_L4];
  // Subtracting in ones complement is adding the complement: the field counts the super-frame's length.
  const pseudo = read16(bytes, l4 + 6) + (~fold(parsed[PARSED_END] - l4) & 0xffff);
  return sum16(bytes, l4, 4, pseudo);
}

/** Makes the copied header at `l4` that of a datagram with the `length` bytes at `payload`. */
export function writeUdp(bytes: Uint8Array, l4: number, payload: number, length: number, udpSum: number): void {
  const size = UDP_SIZE + length;
  write16(bytes, l4 + 4, size);
  // The length counts twice: in the pseudo-header and in the header.
  const checksum = ~sum16(bytes, payload, length, udpSum + size + size) & 0xffff;
  write16(bytes, l4 + 6, checksum === 0 ? 0xffff : checksum);
}
