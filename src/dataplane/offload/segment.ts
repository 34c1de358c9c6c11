// HOT
// TCP segmentation in software, for receivers that did not negotiate VIRTIO_NET_F_GUEST_TSO4 or TSO6.
//
//   super-frame   | Ethernet, VLAN, IP, TCP | payload ........................................... |
//                                            \-- gsoSize --/\-- gsoSize --/\-- the rest --/
//   header area   | header 0 .. | header 1 .. | header 2 .. |      HEADER_STRIDE bytes apart
//   segment k     = header k (own length, id, sequence, flags, complete checksums) + a piece of the payload where it lies
//
// The payload is not copied. What becomes of each field is what Linux does (tcp_gso_segment, inet_gso_segment): sequence
// and IPv4 identification advance; FIN and PSH stay on the last segment, CWR on the first (RFC 3168 6.1.2), all else on
// every one. As there, the TCP checksum field must hold the pseudo-header sum of the super-frame (virtio 1.2, 5.1.6.2):
// a field that lies makes checksums that fail, on the sender's own frames only. An urgent pointer is copied unchanged.
// Nothing is written outside the header area, and nothing at all when a frame is refused. Any worker thread.

import { VIRTIO_NET_HDR_GSO_ECN, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6 } from "../../uapi/virtio_net.ts";
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
  parseTcp,
  REFUSED_GSO_SIZE,
  REFUSED_GSO_TYPE,
  REFUSED_HEADER_AREA,
  REFUSED_HEADER_SIZE,
  REFUSED_SEGMENT_COUNT,
  REFUSED_TCP_FLAGS,
  read16,
  write16,
} from "./headers.ts";

/** Ethernet and two tags 22 + IPv4 60 + TCP 60 = 142; 22 + IPv6 40 + 128 of extension headers + TCP 60 = 250. */
export const HEADER_STRIDE = 256;
/** 64 KiB at the 536 byte segments that every host accepts (RFC 9293 3.7.1) are 123; what one descriptor chain may cost. */
export const MAX_TCP_SEGMENTS = 128;
export const HEADER_AREA_SIZE = MAX_TCP_SEGMENTS * HEADER_STRIDE;
/** Least MSS that Linux takes from a path, less all option space: TCP_MIN_MSS 88 - MAX_TCP_OPTION_SPACE 40. */
export const MIN_GSO_SIZE = 48;

const MAX_IP_SIZE = 0xffff;

const FIN = 0x01;
const SYN = 0x02;
const RST = 0x04;
const PSH = 0x08;
const CWR = 0x80;

/** The segments of one super-frame; offsets count from the start of `bytes`. Preallocated, one per worker. */
export class TcpSegments {
  count = 0;
  /** The same for all of them. */
  headerLength = 0;
  readonly headerOffset = new Int32Array(MAX_TCP_SEGMENTS);
  readonly payloadOffset = new Int32Array(MAX_TCP_SEGMENTS);
  readonly payloadLength = new Int32Array(MAX_TCP_SEGMENTS);
}

const parsed = new Int32Array(PARSED_SLOTS);

/** Cuts the super-frame at `frameOffset` into `out`. Returns the count of segments, at least 1, or REFUSED_*. */
export function segmentTcp(
  bytes: Uint8Array,
  frameOffset: number,
  frameLength: number,
  gsoType: number,
  gsoSize: number,
  headerArea: number,
  out: TcpSegments,
): number {
  out.count = 0;
  const refused = refuse(bytes, frameOffset, frameLength, gsoType, gsoSize);
  if (refused !== 0) return refused;
  const payload = parsed[PARSED_PAYLOAD];
  const payloadSize = parsed[PARSED_END] - payload;
  const count = payloadSize <= gsoSize ? 1 : Math.ceil(payloadSize / gsoSize);
  if (count > MAX_TCP_SEGMENTS) return REFUSED_SEGMENT_COUNT;
  if (!areaIsFree(bytes, frameOffset, frameLength, headerArea, count * HEADER_STRIDE)) return REFUSED_HEADER_AREA;
  const headerLength = payload - frameOffset;
  const ipSum = parsed[PARSED_VERSION] === 4 ? constantIpv4Sum(bytes) : 0;
  const tcpSum = constantTcpSum(bytes);
  for (let k = 0; k < count; k++) {
    const header = headerArea + k * HEADER_STRIDE;
    const at = payload + k * gsoSize;
    const length = k === count - 1 ? payloadSize - k * gsoSize : gsoSize;
    bytes.copyWithin(header, frameOffset, payload);
    writeIp(bytes, header + parsed[PARSED_L3] - frameOffset, header + headerLength, length, k, ipSum);
    const l4 = header + parsed[PARSED_L4] - frameOffset;
    writeTcp(bytes, l4, k * gsoSize, (k === 0 ? 0 : CWR) | (k === count - 1 ? 0 : FIN | PSH));
    writeTcpChecksum(bytes, l4, header + headerLength, at, length, tcpSum);
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
  outcome = parseTcp(bytes, parsed);
  if (outcome !== 0) return outcome;
  // Whether the ECN bit is set matters to receivers of super-frames only: segments are cut the same way.
  const type = gsoType & ~VIRTIO_NET_HDR_GSO_ECN;
  if (type !== (parsed[PARSED_VERSION] === 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6)) {
    return REFUSED_GSO_TYPE;
  }
  if (gsoSize < MIN_GSO_SIZE) return REFUSED_GSO_SIZE;
  const payload = parsed[PARSED_PAYLOAD];
  const payloadSize = parsed[PARSED_END] - payload;
  const ipSize = payload - parsed[PARSED_L3] + Math.min(payloadSize, gsoSize);
  if (ipSize > MAX_IP_SIZE) return REFUSED_GSO_SIZE;
  if (payload - frameOffset > HEADER_STRIDE) return REFUSED_HEADER_SIZE;
  // One SYN or RST would become a hundred; no stack sends either with more than one segment of payload.
  if ((bytes[parsed[PARSED_L4] + 13] & (SYN | RST)) !== 0) return REFUSED_TCP_FLAGS;
  return 0;
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

/** Pseudo-header and TCP header without the lengths, sequence (4), offset and flags (12) and checksum (16). */
function constantTcpSum(bytes: Uint8Array): number {
  const l4 = parsed[PARSED_L4];
  // Subtracting in ones complement is adding the complement: the field counts the super-frame's length.
  const pseudo = read16(bytes, l4 + 16) + (~fold(parsed[PARSED_END] - l4) & 0xffff);
  const ports = sum16(bytes, l4, 4, pseudo);
  const acknowledgment = sum16(bytes, l4 + 8, 4, ports);
  const window = sum16(bytes, l4 + 14, 2, acknowledgment);
  return sum16(bytes, l4 + 18, parsed[PARSED_PAYLOAD] - l4 - 18, window);
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

/** Advances the sequence number and clears the flags that belong to other segments. */
function writeTcp(bytes: Uint8Array, l4: number, advance: number, cleared: number): void {
  const low = read16(bytes, l4 + 6) + (advance & 0xffff);
  const high = read16(bytes, l4 + 4) + (advance >>> 16) + (low >>> 16);
  write16(bytes, l4 + 4, high & 0xffff);
  write16(bytes, l4 + 6, low & 0xffff);
  bytes[l4 + 13] &= ~cleared;
}

function writeTcpChecksum(
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
