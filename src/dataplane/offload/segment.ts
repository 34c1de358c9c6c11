// HOT
// TCP and UDP segmentation in software, for receivers that did not negotiate VIRTIO_NET_F_GUEST_TSO4, TSO6 or USO4 and USO6.
//
//   super-frame   | Ethernet, VLAN, IP, TCP or UDP | payload ........................................... |
//                                                   \-- gsoSize --/\-- gsoSize --/\-- the rest --/
//   header area   | header 0 .. | header 1 .. | header 2 .. |      HEADER_STRIDE bytes apart
//   segment k     = header k (own lengths, id, transport fields, complete checksums) + a piece of the payload where it lies
//
// The payload is not copied. What becomes of each field is what Linux does: the IPv4 identification advances as in
// inet_gso_segment, TCP's fields in segment-tcp.ts, UDP's in segment-udp.ts. Nothing is written outside the header area, and
// nothing at all when a frame is refused. Any worker thread.

import {
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP_L4,
} from "../../uapi/virtio_net.ts";
import { fold, sum16 } from "./checksum.ts";
import {
  IPV6_SIZE,
  PARSED_END,
  PARSED_L3,
  PARSED_L4,
  PARSED_PAYLOAD,
  PARSED_SLOTS,
  PARSED_VERSION,
  parseIp,
  REFUSED_GSO_SIZE,
  REFUSED_GSO_TYPE,
  REFUSED_HEADER_AREA,
  REFUSED_HEADER_SIZE,
  REFUSED_SEGMENT_COUNT,
  read16,
  write16,
} from "./headers.ts";
import { constantTcpSum, refuseTcp, writeTcp, writeTcpChecksum } from "./segment-tcp.ts";
import { constantUdpSum, refuseUdp, writeUdp } from "./segment-udp.ts";

/** Ethernet and two tags 22 + IPv4 60 + TCP 60 = 142; 22 + IPv6 40 + 128 of extension headers + TCP 60 = 250. */
export const HEADER_STRIDE = 256;
/**
 * What one descriptor chain may cost. 64 KiB at the 536 byte segments that every host accepts (RFC 9293 3.7.1) are 123; of
 * UDP, Linux sends at most 128 at once (UDP_MAX_SEGMENTS, linux/udp.h).
 */
export const MAX_GSO_SEGMENTS = 128;
export const HEADER_AREA_SIZE = MAX_GSO_SEGMENTS * HEADER_STRIDE;

const MAX_IP_SIZE = 0xffff;

/** The segments of one super-frame; offsets count from the start of `bytes`. Preallocated, one per worker. */
export class Segments {
  count = 0;
  /** The same for all of them. */
  headerLength = 0;
  readonly headerOffset = new Int32Array(MAX_GSO_SEGMENTS);
  readonly payloadOffset = new Int32Array(MAX_GSO_SEGMENTS);
  readonly payloadLength = new Int32Array(MAX_GSO_SEGMENTS);
}

const parsed = new Int32Array(PARSED_SLOTS);

/** Cuts the super-frame at `frameOffset` into `out`. Returns the count of segments, at least 1, or REFUSED_*. */
export function segmentFrame(
  bytes: Uint8Array,
  frameOffset: number,
  frameLength: number,
  gsoType: number,
  gsoSize: number,
  headerArea: number,
  out: Segments,
): number {
  out.count = 0;
  const isUdp = gsoType === VIRTIO_NET_HDR_GSO_UDP_L4;
  const refused = refuse(bytes, frameOffset, frameLength, gsoType, gsoSize);
  if (refused !== 0) return refused;
  const payload = parsed[PARSED_PAYLOAD];
  const payloadSize = parsed[PARSED_END] - payload;
  const count = payloadSize <= gsoSize ? 1 : Math.ceil(payloadSize / gsoSize);
  if (count > MAX_GSO_SEGMENTS) return REFUSED_SEGMENT_COUNT;
  if (!areaIsFree(bytes, frameOffset, frameLength, headerArea, count * HEADER_STRIDE)) return REFUSED_HEADER_AREA;
  const headerLength = payload - frameOffset;
  const ipSum = parsed[PARSED_VERSION] === 4 ? constantIpv4Sum(bytes) : 0;
  const l4Sum = isUdp ? constantUdpSum(bytes, parsed) : constantTcpSum(bytes, parsed);
  for (let k = 0; k < count; k++) {
    const header = headerArea + k * HEADER_STRIDE;
    const at = payload + k * gsoSize;
    const length = k === count - 1 ? payloadSize - k * gsoSize : gsoSize;
    bytes.copyWithin(header, frameOffset, payload);
    writeIp(bytes, header + parsed[PARSED_L3] - frameOffset, header + headerLength, length, k, ipSum);
    const l4 = header + parsed[PARSED_L4] - frameOffset;
    if (isUdp) {
      writeUdp(bytes, l4, at, length, l4Sum);
    } else {
      writeTcp(bytes, l4, k * gsoSize, k === 0, k === count - 1);
      writeTcpChecksum(bytes, l4, header + headerLength, at, length, l4Sum);
    }
    out.headerOffset[k] = header;
    out.payloadOffset[k] = at;
    out.payloadLength[k] = length;
  }
  out.headerLength = headerLength;
  out.count = count;
  return count;
}

/** Parses the frame into `parsed`; 0, or why it cannot be segmented. */
function refuse(bytes: Uint8Array, frameOffset: number, frameLength: number, gsoType: number, gsoSize: number): number {
  let outcome = parseIp(bytes, frameOffset, frameLength, parsed);
  if (outcome !== 0) return outcome;
  if (gsoType === VIRTIO_NET_HDR_GSO_UDP_L4) {
    outcome = refuseUdp(bytes, parsed, gsoSize);
  } else {
    // Whether the ECN bit is set matters to receivers of super-frames only: segments are cut the same way.
    const type = gsoType & ~VIRTIO_NET_HDR_GSO_ECN;
    const expected = parsed[PARSED_VERSION] === 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    outcome = type === expected ? refuseTcp(bytes, parsed, gsoSize) : REFUSED_GSO_TYPE;
  }
  if (outcome !== 0) return outcome;
  const payload = parsed[PARSED_PAYLOAD];
  const payloadSize = parsed[PARSED_END] - payload;
  const ipSize = payload - parsed[PARSED_L3] + Math.min(payloadSize, gsoSize);
  if (ipSize > MAX_IP_SIZE) return REFUSED_GSO_SIZE;
  return payload - frameOffset > HEADER_STRIDE ? REFUSED_HEADER_SIZE : 0;
}

function areaIsFree(bytes: Uint8Array, frameOffset: number, frameLength: number, area: number, size: number): boolean {
  if (area < 0 || area + size > bytes.length) return false;
  return area + size <= frameOffset || area >= frameOffset + frameLength;
}

/** The IPv4 header without total length (2), identification (4) and checksum (10). */
function constantIpv4Sum(bytes: Uint8Array): number {
  const l3 = parsed[PARSED_L3];
  const first = sum16(bytes, l3, 2, 0);
  const middle = sum16(bytes, l3 + 6, 4, first);
  return sum16(bytes, l3 + 12, parsed[PARSED_L4] - l3 - 12, middle);
}

function writeIp(bytes: Uint8Array, l3: number, headerEnd: number, length: number, k: number, ipSum: number): void {
  const size = headerEnd - l3 + length;
  if (parsed[PARSED_VERSION] === 6) {
    write16(bytes, l3 + 4, size - IPV6_SIZE);
    return;
  }
  const id = (read16(bytes, l3 + 4) + k) & 0xffff;
  write16(bytes, l3 + 2, size);
  write16(bytes, l3 + 4, id);
  write16(bytes, l3 + 10, ~fold(ipSum + size + id) & 0xffff);
}
