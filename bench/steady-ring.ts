// A driver's split ring that is written once: descriptor and place of the avail ring number i are buffer i for good, and only indexes
// move. That takes a device which completes in order, as every switch here does; `inOrder` looks. A driver that does no more than
// this leaves the processor to the switch that is measured.
//
//   total     ... done ............. shown ...          buffers in between are the device's
//   buffer    total modulo the ring's size: virtio-net header | frame
//
// Offsets are into one ArrayBuffer; addresses in descriptors are the driver's. Any one thread.

import { acquire16, publish16 } from "../src/mem/access.ts";
import { VRING_AVAIL_F_NO_INTERRUPT, VRING_DESC_F_WRITE, VRING_USED_F_NO_NOTIFY } from "../src/uapi/virtio_ring.ts";
import { NET_HEADER_SIZE } from "../src/virtio/net-header.ts";

/** Offsets of a ring's three parts. */
export interface RingPlace {
  readonly size: number;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

export interface RingBuffers {
  /** Offset of the first, and the driver's address of number `i`, which is usually as far from the first one's as its offset. */
  readonly at: number;
  address(i: number): number;
  /** Bytes that the device may read or write, header included. */
  readonly length: number;
}

/** From buffer to buffer: an odd number of cache lines, so that they do not meet in the same sets of a cache. */
export const BUFFER_STRIDE = 35 * 64;

export class SteadyRing {
  /** Buffers that the device has given back, and been given, since the beginning. */
  done = 0;
  shown = 0;
  private readonly avail: Uint16Array;
  private readonly used: Uint16Array;
  private readonly mask: number;

  constructor(
    memory: ArrayBufferLike,
    private readonly place: RingPlace,
    private readonly buffers: RingBuffers,
    writable: boolean,
  ) {
    const { size, desc, avail, used } = place;
    this.mask = size - 1;
    this.avail = new Uint16Array(memory, avail, 2 + size);
    this.used = new Uint16Array(memory, used, 2 + size * 4);
    const view = new DataView(memory, desc, size * 16);
    for (let i = 0; i < size; i++) {
      view.setBigUint64(i * 16, BigInt(buffers.address(i)), true);
      view.setUint32(i * 16 + 8, buffers.length, true);
      view.setUint16(i * 16 + 12, writable ? VRING_DESC_F_WRITE : 0, true);
      this.avail[2 + i] = i;
    }
    this.avail[0] = VRING_AVAIL_F_NO_INTERRUPT;
  }

  /** Looks at what the device has done; returns `done`. */
  poll(): number {
    this.done += (acquire16(this.used, 1) - this.done) & 0xffff;
    return this.done;
  }

  /** How many more buffers the device may be given. */
  get room(): number {
    return this.place.size - (this.shown - this.done);
  }

  /** Gives the device the next `count` buffers. */
  show(count: number): void {
    this.shown += count;
    publish16(this.avail, 1, this.shown & 0xffff);
  }

  /** Whether the device asks for a kick, after `show`. */
  get wantsKick(): boolean {
    return (acquire16(this.used, 0) & VRING_USED_F_NO_NOTIFY) === 0;
  }

  /** Offset of the frame in the buffer that is number `total`, the first being 0. */
  frameAt(total: number): number {
    return this.buffers.at + (total & this.mask) * BUFFER_STRIDE + NET_HEADER_SIZE;
  }

  /** Bytes of the frame that the device wrote into it. */
  lengthAt(total: number): number {
    return this.used[2 + (total & this.mask) * 4 + 2] - NET_HEADER_SIZE;
  }

  /** Whether the device completed the last buffer in its turn. */
  inOrder(): boolean {
    const last = (this.done - 1) & this.mask;
    return this.done === 0 || this.used[2 + last * 4] === last;
  }
}
