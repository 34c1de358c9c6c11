// The memory of a queue pair, laid out once by the control thread and used by the worker that runs the lane.
//
//   DMA memory     |rx descriptors|tx descriptors|pad|rx buffers: count x rxBufferSize|tx buffers: count x 2048|
//   own memory     |words below, 16|marks: one for each tx descriptor|tickets: the same|
//
// Receive buffer i belongs to receive descriptor i for ever, so what the device writes names no buffer. Transmit buffers are
// taken in turn: a descriptor uses one at most, so they cannot run out before descriptors do. No buffer crosses a page:
// emulated devices (QEMU's) drop a piece of a frame that is not contiguous in their physical memory.
// Positions are in memory of our own, out of the device's reach, and shared, since several workers may transmit.

import { PAGE_SIZE } from "../../../sys/memory.ts";
import { DESC_SIZE } from "./descriptors.ts";

/** Bytes of a transmit buffer, as a shift: a standard frame in one, a super-frame of 64 KiB in 33. */
export const TX_BUFFER_SHIFT = 11;
export const TX_BUFFER_SIZE = 1 << TX_BUFFER_SHIFT;

/** Limits of both families: 4096 by the length registers' use in practice, 64 so that a burst fits. */
export const MIN_DESCRIPTORS = 64;
export const MAX_DESCRIPTORS = 4096;

// Words of the lane's own memory.
/** Receive descriptor to look at next. */
export const RX_NEXT = 0;
/** Receive descriptors from here to RX_NEXT were taken and are not posted again. */
export const RX_POSTED = 1;
/** What the device was told: it may use descriptors up to this one, exclusive. */
export const RX_TAIL = 2;
/** 1 while the rest of a frame that was too long is skipped. */
export const RX_SKIP = 3;
export const TX_NEXT = 4;
/** Transmit descriptors from here to TX_NEXT are the device's. */
export const TX_CLEAN = 5;
export const TX_BUFFER = 6;
/** Four words of the context that the device has, after 1 when it has one. */
export const TX_CONTEXT_KNOWN = 7;
export const TX_CONTEXT = 8;
/** For the first descriptor of each burst: its last, whose DD says that all are done. */
export const TX_MARKS = 16;

/** Word of the first ticket: for the first descriptor of each burst, the last ticket given out by the end of it (mem/held.ts). */
export function ticketsAt(txCount: number): number {
  return TX_MARKS + txCount;
}

export interface QueueLayout {
  rxCount: number;
  txCount: number;
  rxBufferSize: number;
}

/** Offset of the transmit descriptors in the DMA memory. */
export function txRingAt({ rxCount }: QueueLayout): number {
  return rxCount * DESC_SIZE;
}

export function rxBuffersAt({ rxCount, txCount }: QueueLayout): number {
  return ((rxCount + txCount) * DESC_SIZE + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

export function txBuffersAt(layout: QueueLayout): number {
  return rxBuffersAt(layout) + layout.rxCount * layout.rxBufferSize;
}

export function dmaSize(layout: QueueLayout): number {
  return txBuffersAt(layout) + layout.txCount * TX_BUFFER_SIZE;
}

export function ownSize({ txCount }: QueueLayout): number {
  return ((ticketsAt(txCount) + txCount) * 4 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/** Low and high words of the addresses of `count` buffers, two for each: doubles are too slow to take apart per frame. */
export function addressWords(iova: number, count: number, size: number): Int32Array {
  const words = new Int32Array(count * 2);
  for (let index = 0; index < count; index++) {
    const address = iova + index * size;
    words[index * 2] = address % 2 ** 32;
    words[index * 2 + 1] = Math.floor(address / 2 ** 32);
  }
  return words;
}
