// HOT
// What a frame's form asks of the device, as a context descriptor and bits of its data descriptors (82574: 7.2.4 to 7.3,
// 82576: 7.2.2, 7.2.4). Whatever is changed is changed in the private copy in the transmit buffers. A frame that goes out of its
// sender's memory may be looked at there: a sender that changes it meanwhile gets its own checksum in a wrong place.
//
//   partial checksum of TCP or UDP right behind plain IPv4 or IPv6     the device completes it
//   any other partial checksum (tunnels, extension headers, QinQ)      completed here
//   TCP super-frame                                                    the device cuts it
//
// Strict about the first, since devices differ in whether they believe our offsets or parse for themselves (QEMU's do).

import { type Batch, OFFLOAD_SEGMENTATION } from "../../../mem/batch.ts";
import { DROP_OFFLOAD, DROP_OVERSIZED } from "../../../mem/counters.ts";
import { ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6 } from "../../../uapi/if_ether.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../uapi/in.ts";
import { VIRTIO_NET_HDR_GSO_TCPV4 } from "../../../uapi/virtio_net.ts";
import { addWords, fold, put16 } from "./checksum.ts";
import {
  E1000_ADVTXD_DCMD_TSE,
  E1000_ADVTXD_DTYP_CTXT,
  E1000_ADVTXD_L4LEN_SHIFT,
  E1000_ADVTXD_MACLEN_SHIFT,
  E1000_ADVTXD_PAYLEN_SHIFT,
  E1000_ADVTXD_TUCMD_IPV4,
  E1000_ADVTXD_TUCMD_L4T_TCP,
  E1000_TXD_CMD_DEXT,
  E1000_TXD_CMD_IP,
  E1000_TXD_CMD_TCP,
  E1000_TXD_CMD_TSE,
  E1000_TXD_HDRLEN_SHIFT,
  E1000_TXD_MSS_SHIFT,
  E1000_TXD_POPTS_IXSM,
  E1000_TXD_POPTS_TXSM,
  MAX_HEADER_SIZE,
} from "./descriptors.ts";
import { TX_BUFFER_SIZE } from "./layout.ts";
import type { Transmitter } from "./transmitter.ts";

const VLAN_TAG_SIZE = 4;
const MAX_VLAN_TAGS = 2;
const IPV4_MIN_SIZE = 20;
const IPV6_SIZE = 40;
const TCP_MIN_SIZE = 20;
const TCP_CSUM_AT = 16;
const UDP_CSUM_AT = 6;
/** Linux's least (TCP_MIN_MSS is 88 with its options): below, a frame would cost the device more than its sender. */
const MIN_SEGMENT_SIZE = 48;

/** The frame has to be copied whole: its checksum is not for the device. */
export const COPY_WHOLE = -1;

/**
 * Prepares frame `i` of `length` bytes, of which the first `head` lie at `bytes[at]`: in the transmit buffers where it is a
 * super-frame. All of it lies in the buffers where `whole`. Returns 0, COPY_WHOLE, or the DROP_* counter of why it cannot be sent.
 */
export function prepareOffload(
  tx: Transmitter,
  batch: Batch,
  i: number,
  bytes: Uint8Array,
  at: number,
  head: number,
  length: number,
  whole: boolean,
): number {
  const network = findNetwork(bytes, at, head);
  const l3 = network >> 4;
  const version = network & 0xf;
  const csumStart = batch.csumStart[i];
  const csumOffset = batch.csumOffset[i];
  if ((batch.needs[i] & OFFLOAD_SEGMENTATION) !== 0) {
    const v4 = (batch.gsoType[i] & 0x7f) === VIRTIO_NET_HDR_GSO_TCPV4;
    const fits = csumOffset === TCP_CSUM_AT && version === (v4 ? 4 : 6);
    if (!fits || csumStart < l3 + (v4 ? IPV4_MIN_SIZE : IPV6_SIZE)) return DROP_OFFLOAD;
    return prepareSegmentation(tx, at, head, length, l3, csumStart, v4, batch.gsoSize[i]);
  }
  const protocol = csumOffset === TCP_CSUM_AT ? IPPROTO_TCP : csumOffset === UDP_CSUM_AT ? IPPROTO_UDP : 0;
  const known = protocol !== 0 && !isDoubleTagged(bytes, at, l3) && csumStart + csumOffset + 2 <= head;
  if (known && isPlain(bytes, at + l3, version, csumStart - l3, protocol)) {
    putChecksumContext(tx, l3, csumStart, csumOffset, version, protocol);
    return 0;
  }
  return whole ? completeHere(tx, at, length, csumStart, csumOffset, protocol) : COPY_WHOLE;
}

/** Offset of the IP header behind at most two VLAN tags, times 16, plus its version as the EtherType says it; 0 without IP. */
function findNetwork(bytes: Uint8Array, at: number, head: number): number {
  if (head < ETH_HLEN + MAX_VLAN_TAGS * VLAN_TAG_SIZE + IPV4_MIN_SIZE) return 0;
  let l3 = ETH_HLEN;
  let type = (bytes[at + 12] << 8) | bytes[at + 13];
  for (let tags = 0; tags < MAX_VLAN_TAGS && (type === ETH_P_8021Q || type === ETH_P_8021AD); tags++) {
    l3 += VLAN_TAG_SIZE;
    type = (bytes[at + l3 - 2] << 8) | bytes[at + l3 - 1];
  }
  if (type === ETH_P_IP) return (l3 << 4) | 4;
  return type === ETH_P_IPV6 ? (l3 << 4) | 6 : 0;
}

/** More than one 802.1Q tag: not every device that parses for itself knows these. */
function isDoubleTagged(bytes: Uint8Array, at: number, l3: number): boolean {
  if (l3 === ETH_HLEN) return false;
  return l3 !== ETH_HLEN + VLAN_TAG_SIZE || ((bytes[at + 12] << 8) | bytes[at + 13]) !== ETH_P_8021Q;
}

/** Whether a whole packet of `protocol` follows an IP header of `size` bytes without anything in between. */
function isPlain(bytes: Uint8Array, at: number, version: number, size: number, protocol: number): boolean {
  if (bytes[at] >> 4 !== version) return false;
  if (version === 6) return size === IPV6_SIZE && bytes[at + 6] === protocol;
  // Not a fragment: neither more of them to follow nor an offset (RFC 791 3.1).
  const whole = (((bytes[at + 6] << 8) | bytes[at + 7]) & 0x3fff) === 0;
  return (
    version === 4 && whole && size >= IPV4_MIN_SIZE && (bytes[at] & 0xf) << 2 === size && bytes[at + 9] === protocol
  );
}

function putChecksumContext(
  tx: Transmitter,
  l3: number,
  l4: number,
  csumOffset: number,
  version: number,
  protocol: number,
): void {
  tx.needsContext = true;
  tx.options |= E1000_TXD_POPTS_TXSM;
  const tcp = protocol === IPPROTO_TCP;
  if (tx.advanced) {
    tx.context0 = (l4 - l3) | (l3 << E1000_ADVTXD_MACLEN_SHIFT);
    tx.context1 = 0;
    tx.context2 =
      E1000_ADVTXD_DTYP_CTXT |
      E1000_TXD_CMD_DEXT |
      (version === 4 ? E1000_ADVTXD_TUCMD_IPV4 : 0) |
      (tcp ? E1000_ADVTXD_TUCMD_L4T_TCP : 0);
    tx.context3 = 0;
    return;
  }
  tx.context0 = 0;
  // Start, place and end (0: of the frame) of the checksum.
  tx.context1 = l4 | ((l4 + csumOffset) << 8);
  tx.context2 = E1000_TXD_CMD_DEXT | (tcp ? E1000_TXD_CMD_TCP : 0);
  tx.context3 = 0;
}

function prepareSegmentation(
  tx: Transmitter,
  at: number,
  head: number,
  length: number,
  l3: number,
  l4: number,
  v4: boolean,
  segmentSize: number,
): number {
  const bytes = tx.bytes;
  if (l4 + TCP_MIN_SIZE > head || bytes[at + l3] >> 4 !== (v4 ? 4 : 6)) return DROP_OFFLOAD;
  // IPv6 may have extension headers in between, which stay as they are in every segment.
  if (v4 && !isPlain(bytes, at + l3, 4, l4 - l3, IPPROTO_TCP)) return DROP_OFFLOAD;
  const tcpSize = (bytes[at + l4 + 12] >> 4) << 2;
  const header = l4 + tcpSize;
  if (tcpSize < TCP_MIN_SIZE || header > MAX_HEADER_SIZE || header > head || header >= length) return DROP_OFFLOAD;
  if (segmentSize < MIN_SEGMENT_SIZE) return DROP_OFFLOAD;
  if (header + segmentSize > tx.maxFrame) return DROP_OVERSIZED;
  blankLengths(bytes, at + l3, at + l4, v4);
  putSegmentationContext(tx, length - header, header, l3, l4, v4, segmentSize);
  return 0;
}

/** The device fills in each segment's lengths, so it wants none in the IP header nor in TCP's pseudo-header (82574: 7.3.6). */
function blankLengths(bytes: Uint8Array, l3: number, l4: number, v4: boolean): void {
  const addresses = v4 ? l3 + 12 : l3 + 8;
  put16(bytes, v4 ? l3 + 2 : l3 + 4, 0);
  if (v4) put16(bytes, l3 + 10, 0);
  put16(bytes, l4 + TCP_CSUM_AT, fold(addWords(bytes, addresses, addresses + (v4 ? 8 : 32), IPPROTO_TCP)));
}

function putSegmentationContext(
  tx: Transmitter,
  payload: number,
  header: number,
  l3: number,
  l4: number,
  v4: boolean,
  segmentSize: number,
): void {
  tx.needsContext = true;
  tx.options |= E1000_TXD_POPTS_TXSM | (v4 ? E1000_TXD_POPTS_IXSM : 0);
  if (tx.advanced) {
    tx.command |= E1000_ADVTXD_DCMD_TSE;
    tx.options = (tx.options & ((1 << E1000_ADVTXD_PAYLEN_SHIFT) - 1)) | (payload << E1000_ADVTXD_PAYLEN_SHIFT);
    tx.context0 = (l4 - l3) | (l3 << E1000_ADVTXD_MACLEN_SHIFT);
    tx.context1 = 0;
    tx.context2 =
      E1000_ADVTXD_DTYP_CTXT | E1000_TXD_CMD_DEXT | E1000_ADVTXD_TUCMD_L4T_TCP | (v4 ? E1000_ADVTXD_TUCMD_IPV4 : 0);
    tx.context3 = ((header - l4) << E1000_ADVTXD_L4LEN_SHIFT) | (segmentSize << E1000_TXD_MSS_SHIFT);
    return;
  }
  tx.command |= E1000_TXD_CMD_TSE;
  // Where IP begins, for its length too; the place and end of its checksum, which IPv6 has not.
  tx.context0 = l3 | ((l3 + 10) << 8) | (v4 ? (l4 - 1) << 16 : 0);
  tx.context1 = l4 | ((l4 + TCP_CSUM_AT) << 8);
  tx.context2 = payload | E1000_TXD_CMD_DEXT | E1000_TXD_CMD_TSE | E1000_TXD_CMD_TCP | (v4 ? E1000_TXD_CMD_IP : 0);
  tx.context3 = (header << E1000_TXD_HDRLEN_SHIFT) | (segmentSize << E1000_TXD_MSS_SHIFT);
}

/** Completes the checksum over the copy, which may go on at the first buffer behind the last. */
function completeHere(
  tx: Transmitter,
  at: number,
  length: number,
  csumStart: number,
  csumOffset: number,
  protocol: number,
): number {
  const place = csumStart + csumOffset;
  // Every protocol with this checksum has its headers at even places, and sums over two buffers rely on it.
  if (place + 2 > length || ((csumStart | csumOffset) & 1) !== 0) return DROP_OFFLOAD;
  const bytes = tx.bytes;
  const room = tx.buffersAt + (tx.mask + 1) * TX_BUFFER_SIZE - at;
  const first = Math.min(length, room);
  // The place is in the first buffer or the second, which follows it but at the end; buffers are even, so words are whole.
  let sum = 0;
  if (csumStart < first) sum = addWords(bytes, at + csumStart, at + first, 0);
  if (length > first) {
    const from = tx.buffersAt + Math.max(0, csumStart - first);
    sum = addWords(bytes, from, tx.buffersAt + length - first, sum);
  }
  let value = ~fold(sum) & 0xffff;
  // RFC 768: zero would say that there is none.
  if (value === 0 && protocol === IPPROTO_UDP) value = 0xffff;
  put16(bytes, place < first ? at + place : tx.buffersAt + place - first, value);
  return 0;
}
