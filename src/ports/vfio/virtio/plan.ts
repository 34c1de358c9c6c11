// What is chosen for a virtio NIC before any memory is allocated: pairs, ring sizes, buffer sizes, vectors. Pure.
//
//   vectors   0 configuration | 1 pair 0 | 2 pair 1 ...      one vector: the pair's; none (or INTx): one pair
//   buffers   plain frames 2112 bytes, super-frames and jumbo 4160: a multiple of 64 that is no power of two, so that the
//             starts of buffers do not all fall into the same sets of a cache

import { RingyardError } from "../../../core/errors.ts";
import { MAX_FRAME, OFFLOAD_SEGMENTATION } from "../../../mem/batch.ts";
import { VIRTIO_MSI_NO_VECTOR } from "../../../uapi/virtio_pci.ts";
import { NET_HEADER_SIZE } from "../../../virtio/net-header.ts";

/** Ethernet header and two VLAN tags, as the switch counts a port's longest frame. */
export const FRAME_OVERHEAD = 14 + 8;
const DEFAULT_MTU = 1500;
/** A ring's buffers are one window. */
const MAX_DESCRIPTORS = 4096;
const SMALL_CHUNK = 2112;
const LARGE_CHUNK = 4160;
/** A ring holds at least this many of the longest frames. */
const LEAST_FRAMES = 4;

export type InterruptKind = "msix" | "msi" | "intx" | "none";

export interface VectorPlan {
  /** How many to enable; 0 for none. */
  count: number;
  pairs: number;
  /** What the device is told for its configuration, and for a pair. */
  config: number;
  ofPair(pair: number): number;
  /** Index of the eventfd of a pair, or -1: with INTx the control thread has it, and wakes the pair (nic.ts). */
  wakes(pair: number): number;
  management: number;
}

/** Vectors for at most `wanted` pairs. virtio has no plain MSI; INTx is one line for everything. */
export function planVectors(kind: InterruptKind, vectors: number, wanted: number): VectorPlan {
  if (kind === "msix" && vectors >= 2) {
    const pairs = Math.min(wanted, vectors - 1);
    const ofPair = (pair: number) => pair + 1;
    return { count: pairs + 1, pairs, config: 0, ofPair, wakes: ofPair, management: 0 };
  }
  const none = { config: VIRTIO_MSI_NO_VECTOR, ofPair: () => VIRTIO_MSI_NO_VECTOR };
  if (kind === "msix" && vectors === 1) {
    return { ...none, count: 1, pairs: 1, ofPair: () => 0, wakes: () => 0, management: -1 };
  }
  if (kind === "intx") return { ...none, count: 1, pairs: 1, wakes: () => -1, management: 0 };
  return { ...none, count: 0, pairs: wanted, wakes: () => -1, management: -1 };
}

/** Descriptors of a ring: a power of two, as wanted, within what the device has (0: no such queue). */
export function ringSize(wanted: number, most: number): number {
  const limit = Math.min(wanted, most, MAX_DESCRIPTORS);
  return limit < 1 ? 0 : 2 ** Math.floor(Math.log2(limit));
}

/** Bytes of a ring's buffers, where a frame may lie in several of them. */
export function chunkSize(size: number, maxFrame: number, forms: number): number {
  const segmentation = (forms & OFFLOAD_SEGMENTATION) !== 0;
  const longest = NET_HEADER_SIZE + (segmentation ? MAX_FRAME : maxFrame);
  const least = Math.ceil(longest / Math.max(1, Math.floor(size / LEAST_FRAMES)));
  return round(Math.max(least, segmentation || longest > SMALL_CHUNK ? LARGE_CHUNK : SMALL_CHUNK));
}

/** The same where each frame has one buffer. */
export function wholeChunkSize(maxFrame: number): number {
  return round(Math.max(NET_HEADER_SIZE + maxFrame, SMALL_CHUNK));
}

function round(bytes: number): number {
  return Math.ceil(bytes / 64) * 64;
}

/** The longest frame for the MTU wanted and the device's own (undefined: it does not say). Throws RingyardError BAD_OPTION. */
export function longestFrame(address: string, wanted: number | undefined, limit: number | undefined): number {
  if (wanted !== undefined && limit !== undefined && wanted > limit) {
    const next = `use mtu=${limit} or less`;
    throw new RingyardError("BAD_OPTION", `NIC ${address} has a largest MTU of ${limit}, not ${wanted}`, next);
  }
  return (wanted ?? Math.min(DEFAULT_MTU, limit ?? DEFAULT_MTU)) + FRAME_OVERHEAD;
}
