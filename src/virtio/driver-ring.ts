// The driver's side of a split virtqueue (virtio 1.2, 2.7.13 and 2.7.14), over memory that driver and device share: for
// memory ports, tests and benches. Buffers are one or more descriptors, direct or through an indirect table.
//
//   layout from `base`: desc size * 16 | avail 2 + 2 + size * 2 + 2 | pad to 4 | used 2 + 2 + size * 8 + 2
//
// One thread drives a ring. All offsets are bytes in `buffer`; addresses given to the device are offset + guestBase.

import { acquire16, publish16 } from "../mem/access.ts";
import { VRING_DESC_F_NEXT, VRING_DESC_F_WRITE, VRING_USED_F_NO_NOTIFY } from "../uapi/virtio_ring.ts";

export interface DriverRingLayout {
  size: number;
  desc: number;
  avail: number;
  used: number;
  /** Bytes from `desc` to the end of the used ring, rounded up to 64. */
  bytes: number;
}

export function driverRingLayout(size: number, base: number): DriverRingLayout {
  const avail = base + size * 16;
  const used = (avail + 6 + size * 2 + 3) & ~3;
  return { size, desc: base, avail, used, bytes: (used + 6 + size * 8 - base + 63) & ~63 };
}

export class DriverRing {
  readonly desc: DataView;
  readonly avail: Uint16Array;
  readonly used: Uint16Array;
  private readonly usedRing: Int32Array;
  private readonly free: Int32Array;
  private freeCount: number;
  private nextAvail = 0;
  private lastUsed = 0;
  private lastKick = 0;
  /** Bytes that the device wrote into the buffer `takeUsed` returned last. */
  usedLength = 0;

  constructor(
    buffer: ArrayBufferLike,
    readonly layout: DriverRingLayout,
    private readonly guestBase: number,
    private readonly eventIdx: boolean,
  ) {
    const { size } = layout;
    this.desc = new DataView(buffer, layout.desc, size * 16);
    this.avail = new Uint16Array(buffer, layout.avail, 3 + size);
    this.used = new Uint16Array(buffer, layout.used, 3 + size * 4);
    this.usedRing = new Int32Array(buffer, layout.used + 4, size * 2);
    this.free = Int32Array.from({ length: size }, (_, i) => size - 1 - i);
    this.freeCount = size;
  }

  get available(): number {
    return this.freeCount;
  }

  /** Offers one buffer in one descriptor; returns its head, or -1 where the ring is full. `publish` shows it. */
  add(offset: number, length: number, writable: boolean): number {
    if (this.freeCount === 0) return -1;
    const head = this.free[--this.freeCount];
    this.writeDescriptor(head, offset, length, writable ? VRING_DESC_F_WRITE : 0, 0);
    this.push(head);
    return head;
  }

  /** Offers a chain of descriptors of (offset, length) pairs; returns its head, or -1 where there is no room. */
  addChain(pieces: readonly (readonly [offset: number, length: number])[], writable: boolean): number {
    if (pieces.length === 0 || pieces.length > this.freeCount) return -1;
    const flags = writable ? VRING_DESC_F_WRITE : 0;
    let next = -1;
    for (let i = pieces.length - 1; i >= 0; i--) {
      const index = this.free[--this.freeCount];
      const [offset, length] = pieces[i];
      this.writeDescriptor(index, offset, length, flags | (next < 0 ? 0 : VRING_DESC_F_NEXT), Math.max(next, 0));
      next = index;
    }
    this.push(next);
    return next;
  }

  writeDescriptor(index: number, offset: number, length: number, flags: number, next: number): void {
    const address = offset + this.guestBase;
    this.desc.setUint32(index * 16, address % 2 ** 32, true);
    this.desc.setUint32(index * 16 + 4, Math.floor(address / 2 ** 32), true);
    this.desc.setUint32(index * 16 + 8, length, true);
    this.desc.setUint16(index * 16 + 12, flags, true);
    this.desc.setUint16(index * 16 + 14, next, true);
  }

  /** Puts a head into the avail ring, not yet published. */
  push(head: number): void {
    this.avail[2 + (this.nextAvail & (this.layout.size - 1))] = head;
    this.nextAvail = (this.nextAvail + 1) & 0xffff;
  }

  /** Publishes what was added; returns whether the device wants a kick. */
  publish(): boolean {
    const old = this.lastKick;
    publish16(this.avail, 1, this.nextAvail);
    this.lastKick = this.nextAvail;
    if (!this.eventIdx) return (acquire16(this.used, 0) & VRING_USED_F_NO_NOTIFY) === 0;
    const event = acquire16(this.used, 2 + this.layout.size * 4);
    return ((this.nextAvail - event - 1) & 0xffff) < ((this.nextAvail - old) & 0xffff);
  }

  /** The head of the next buffer the device is done with, its descriptors free again; -1 where there is none. */
  takeUsed(): number {
    if (acquire16(this.used, 1) === this.lastUsed) return -1;
    const entry = (this.lastUsed & (this.layout.size - 1)) * 2;
    const head = this.usedRing[entry];
    this.usedLength = this.usedRing[entry + 1];
    this.lastUsed = (this.lastUsed + 1) & 0xffff;
    // used_event right behind: the device calls for every buffer from here on.
    if (this.eventIdx) publish16(this.avail, 2 + this.layout.size, this.lastUsed);
    for (let index = head; ; ) {
      this.free[this.freeCount++] = index;
      if ((this.desc.getUint16(index * 16 + 12, true) & VRING_DESC_F_NEXT) === 0) break;
      index = this.desc.getUint16(index * 16 + 14, true);
    }
    return head;
  }
}
