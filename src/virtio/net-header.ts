// HOT
// The virtio-net header in front of every frame (virtio 1.3, 5.1.6), 12 bytes with VERSION_1 and on TAP ports alike:
//
//   0 flags | 1 gso_type | 2 hdr_len (u16) | 4 gso_size | 6 csum_start | 8 csum_offset | 10 num_buffers
//
// `readNetHeader` trusts nothing: a sender may only use forms it negotiated, offsets must lie in the frame, and hdr_len is
// ignored (5.1.6.2.1 calls it a hint; ours is recomputed for receivers that need one). What it accepts goes into the
// batch; what a receiver is told by `writeNetHeader` comes from the batch only.

import { type Batch, OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from "../mem/batch.ts";
import {
  VIRTIO_NET_HDR_F_DATA_VALID,
  VIRTIO_NET_HDR_F_NEEDS_CSUM,
  VIRTIO_NET_HDR_GSO_ECN,
  VIRTIO_NET_HDR_GSO_NONE,
  VIRTIO_NET_HDR_GSO_TCPV4,
  VIRTIO_NET_HDR_GSO_TCPV6,
  VIRTIO_NET_HDR_GSO_UDP_L4,
} from "../uapi/virtio_net.ts";

/** struct virtio_net_hdr_mrg_rxbuf, also virtio_net_hdr_v1. */
export const NET_HEADER_SIZE = 12;
const TCP_MIN_SIZE = 20;
const UDP_SIZE = 8;
/** NEEDS_CSUM and gso_type in the header's first word: all zero for a frame that asks nothing. */
const PLAIN_MASK = VIRTIO_NET_HDR_F_NEEDS_CSUM | 0xff00;

/**
 * Takes the header at `view[offset]` for frame `i` of `length` bytes. `sender` is the set of OFFLOAD_* forms the sender may
 * use; `trusted` (the kernel behind a TAP) lets DATA_VALID through. Returns whether the header is sound.
 */
export function readNetHeader(
  view: DataView,
  offset: number,
  batch: Batch,
  i: number,
  sender: number,
  trusted: boolean,
): boolean {
  const word = view.getInt32(offset, true);
  if ((word & PLAIN_MASK) === 0) {
    batch.needs[i] = 0;
    batch.flags[i] = trusted ? word & VIRTIO_NET_HDR_F_DATA_VALID : 0;
    batch.gsoType[i] = VIRTIO_NET_HDR_GSO_NONE;
    return true;
  }
  return readOffloadHeader(view, offset, batch, i, sender);
}

/** The rest of `readNetHeader`, apart from it so that the common case is small enough for the engine to inline. */
function readOffloadHeader(view: DataView, offset: number, batch: Batch, i: number, sender: number): boolean {
  const word = view.getInt32(offset, true);
  const flags = word & 0xff;
  const gso = (word >> 8) & 0xff;
  const sizes = view.getInt32(offset + 4, true);
  const gsoSize = sizes & 0xffff;
  const csumStart = sizes >>> 16;
  const csumOffset = view.getUint16(offset + 8, true);
  // 5.1.6.2.1: a GSO frame needs its checksum completed too; both fields of the checksum lie inside the frame.
  if ((flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) === 0) return false;
  if (csumStart + csumOffset + 2 > batch.length[i]) return false;
  let needs = OFFLOAD_CSUM;
  const type = gso & ~VIRTIO_NET_HDR_GSO_ECN;
  if (type === VIRTIO_NET_HDR_GSO_TCPV4) needs |= OFFLOAD_TSO4;
  else if (type === VIRTIO_NET_HDR_GSO_TCPV6) needs |= OFFLOAD_TSO6;
  // Whole, not `type`: there is no ECN of UDP.
  else if (gso === VIRTIO_NET_HDR_GSO_UDP_L4) needs |= OFFLOAD_USO;
  else if (gso !== VIRTIO_NET_HDR_GSO_NONE) return false;
  if ((gso & VIRTIO_NET_HDR_GSO_ECN) !== 0) needs |= OFFLOAD_ECN;
  if (type !== VIRTIO_NET_HDR_GSO_NONE && gsoSize === 0) return false;
  if ((needs & ~sender) !== 0) return false;
  batch.needs[i] = needs;
  batch.anyNeeds |= needs;
  batch.flags[i] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  batch.gsoType[i] = gso;
  batch.gsoSize[i] = gsoSize;
  batch.csumStart[i] = csumStart;
  batch.csumOffset[i] = csumOffset;
  return true;
}

/** Marks frame `i` as plain: nothing for a receiver to complete. For frames the switch itself made. */
export function plainNetHeader(batch: Batch, i: number): void {
  batch.needs[i] = 0;
  batch.flags[i] = 0;
  batch.gsoType[i] = VIRTIO_NET_HDR_GSO_NONE;
}

/**
 * Writes frame `i`'s header for a receiver that accepts its form. `dataValid` says whether the receiver negotiated
 * GUEST_CSUM, without which flags must be zero. `buffers` is num_buffers (1 unless merged, 5.1.6.4.1).
 *
 * A plain header that is there already, as it mostly is where a driver uses buffers again, is left alone: its line stays in the cache of
 * the driver's processor as well, which storing the same once more would take it from.
 */
export function writeNetHeader(
  view: DataView,
  offset: number,
  batch: Batch,
  i: number,
  dataValid: boolean,
  buffers: number,
): void {
  if (batch.needs[i] === 0) {
    const flags = dataValid ? batch.flags[i] : 0;
    const last = buffers << 16;
    const first = view.getInt32(offset, true) ^ flags;
    if ((first | view.getInt32(offset + 4, true) | (view.getInt32(offset + 8, true) ^ last)) === 0) return;
    view.setInt32(offset, flags, true);
    view.setInt32(offset + 4, 0, true);
    view.setInt32(offset + 8, last, true);
    return;
  }
  writeOffloadHeader(view, offset, batch, i, buffers);
}

function writeOffloadHeader(view: DataView, offset: number, batch: Batch, i: number, buffers: number): void {
  const csumStart = batch.csumStart[i];
  const gso = batch.gsoType[i];
  // The hint covers the headers up to the checksummed one plus UDP's or the least TCP's; the Linux driver pulls the rest.
  const headers = csumStart + (gso === VIRTIO_NET_HDR_GSO_UDP_L4 ? UDP_SIZE : TCP_MIN_SIZE);
  const length = batch.length[i];
  const hint = gso === VIRTIO_NET_HDR_GSO_NONE ? 0 : Math.min(headers, length);
  view.setInt32(offset, batch.flags[i] | (gso << 8) | (hint << 16), true);
  view.setInt32(offset + 4, (gso === VIRTIO_NET_HDR_GSO_NONE ? 0 : batch.gsoSize[i]) | (csumStart << 16), true);
  view.setInt32(offset + 8, batch.csumOffset[i] | (buffers << 16), true);
}
