// A split virtqueue as the driver of a device holds it (virtio 1.2, 2.7), for NICs: rings and buffers in memory that the
// device reaches, and the books of what is where in memory that it does not, so that nothing it writes is ever believed.
//
//   DMA memory, page-aligned     desc size * 16 | avail | pad to 64 | used | pad to a page | buffer 0 | buffer 1 | ...
//   books, words of our own      next avail | last used | free | broken | 12 spare | a[size] | b[size] | c, d, e the same
//
// Descriptor k's own buffer is buffer k, `chunk` bytes long. What a to e are says who keeps them: driver-receive.ts,
// driver-transmit.ts. Both memories are mapped by the control thread and outlive the lanes, so a lane that is built anew,
// or in another worker, goes on where the queue is. `driver-ring.ts` is the small, unhurried relative for memory ports.

import { mapAnonymous, PAGE_SIZE, viewOf } from "../sys/memory.ts";
import { SplitRing } from "./split-ring.ts";

/** Books: the next free-running index of avail, the last one seen of used, and how many descriptors are free. */
export const NEXT_AVAIL = 0;
export const LAST_USED = 1;
export const FREE = 2;
/** 1 where the device broke a rule that leaves no way on: only a reset, which comes with new books, helps. */
export const BROKEN = 3;
const BOOK_WORDS = 16;
/** Words for each descriptor. */
const BOOK_COLUMNS = 5;

/** Where a queue is: plain data, it crosses the mailbox. */
export interface DriverQueueConfig {
  /** Its number at the device, which a kick says. */
  index: number;
  /** Descriptors: a power of two. */
  size: number;
  /** Bytes of each buffer, a multiple of 64. */
  chunk: number;
  /** DMA memory of `driverQueueSize` bytes, zeroed: in this process, and as the device has it. */
  address: number;
  iova: number;
  /** Address of `driverBooksSize` private bytes, zeroed. */
  books: number;
  /** Offset of the register that takes this queue's kicks. */
  notifyOffset: number;
}

/** Registers of a device as far as a kick goes. */
export interface Doorbell {
  write16(offset: number, value: number): void;
}

export interface DriverQueueLayout {
  desc: number;
  avail: number;
  used: number;
  buffers: number;
}

/** Offsets of a queue's parts in its DMA memory. */
export function driverQueueLayout(size: number): DriverQueueLayout {
  const avail = size * 16;
  const used = (avail + 6 + size * 2 + 63) & ~63;
  const buffers = (used + 6 + size * 8 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  return { desc: 0, avail, used, buffers };
}

export function driverQueueSize(size: number, chunk: number): number {
  const bytes = driverQueueLayout(size).buffers + size * chunk;
  return Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
}

export function driverBooksSize(size: number): number {
  return Math.ceil(((BOOK_WORDS + BOOK_COLUMNS * size) * 4) / PAGE_SIZE) * PAGE_SIZE;
}

/** Maps a queue's books; `unmap` them when no lane uses the queue any more. Throws SysError. */
export function mapBooks(size: number): number {
  return mapAnonymous(driverBooksSize(size));
}

/** A queue's views in the thread that made it. Cold. */
export class DriverQueue {
  readonly ring: SplitRing;
  readonly books: Int32Array;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;
  readonly d: Int32Array;
  readonly e: Int32Array;
  readonly index: number;
  readonly size: number;
  readonly chunk: number;
  readonly notifyOffset: number;
  /** Of buffer 0, in this process and at the device. */
  readonly buffersAddress: number;
  readonly buffersIova: number;

  constructor(config: DriverQueueConfig, eventIdx: boolean) {
    const { size, chunk, address } = config;
    const layout = driverQueueLayout(size);
    const buffer = viewOf(address, 0, layout.buffers);
    const part = (offset: number) => ({ buffer, offset });
    const places = { size, desc: layout.desc, avail: layout.avail, used: layout.used, eventIdx };
    this.ring = new SplitRing(places, part(layout.desc), part(layout.avail), part(layout.used));
    const words = viewOf(config.books, 0, driverBooksSize(size));
    const column = (which: number) => new Int32Array(words, (BOOK_WORDS + which * size) * 4, size);
    this.books = new Int32Array(words, 0, BOOK_WORDS);
    this.a = column(0);
    this.b = column(1);
    this.c = column(2);
    this.d = column(3);
    this.e = column(4);
    this.index = config.index;
    this.size = size;
    this.chunk = chunk;
    this.notifyOffset = config.notifyOffset;
    this.buffersAddress = address + layout.buffers;
    this.buffersIova = config.iova + layout.buffers;
  }

  /** Points descriptor `k` at its own buffer. */
  describe(k: number, length: number, flags: number): void {
    const { desc } = this.ring;
    const iova = this.buffersIova + k * this.chunk;
    desc[k * 4] = iova | 0;
    desc[k * 4 + 1] = Math.floor(iova / 2 ** 32) | 0;
    desc[k * 4 + 2] = length;
    desc[k * 4 + 3] = flags;
  }
}
