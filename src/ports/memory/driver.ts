// The built-in driver of a memory port: a virtio-net driver in this process, over an anonymous mapping that it shares with
// the workers. Embedding programs, tests, the demo and benches send and receive frames with it.
//
//   mapping: receiveq ring | transmitq ring | size x buffer (receive) | size x buffer (transmit)     one pair
//   buffer:  12 bytes virtio-net header | frame, up to the port's longest
//
// Any one thread of the process may use it, while the port is open. Calls never block: a full ring or an empty one is said.

import { RingyardError } from "../../core/errors.ts";
import { closeFd, eventFd, signal } from "../../sys/fd.ts";
import { mapAnonymous, unmap, viewOf } from "../../sys/memory.ts";
import { VRING_DESC_F_WRITE } from "../../uapi/virtio_ring.ts";
import { DriverRing, driverRingLayout } from "../../virtio/driver-ring.ts";
import { NET_HEADER_SIZE } from "../../virtio/net-header.ts";
import type { RegionConfig, RingConfig } from "../../virtio/virtqueue-open.ts";

/** Where the driver says its memory is: above 4 GiB, so that every memory port exercises 64-bit addresses. */
const GUEST_BASE = 2 ** 32 + 2 ** 30;

/** A frame with its virtio-net header, as the device wrote it. Both are views that the next `receive` may overwrite. */
export interface ReceivedFrame {
  header: Uint8Array;
  frame: Uint8Array;
}

const drivers = new Map<string, MemoryDriver>();

/** The driver of the open memory port with this target name (`memory:NAME`). Throws RingyardError NOT_FOUND. */
export function memoryDriver(name: string): MemoryDriver {
  const driver = drivers.get(name);
  if (driver === undefined) {
    throw new RingyardError(
      "NOT_FOUND",
      `no memory port ${name} in this process`,
      `add one with the URI memory:${name}`,
    );
  }
  return driver;
}

export class MemoryDriver {
  readonly kickFd = eventFd();
  readonly callFd = eventFd();
  readonly region: RegionConfig;
  readonly receiveRing: RingConfig;
  readonly transmitRing: RingConfig;
  private readonly receiveq: DriverRing;
  private readonly transmitq: DriverRing;
  private readonly bytes: Uint8Array;
  private readonly bufferSize: number;
  private readonly receiveBase: number;
  private readonly transmitBase: number;
  private readonly mapped: number;
  private pending = -1;
  private closed = false;

  /** Maps the memory and fills the receive ring. Throws RingyardError EXISTS for a name in use. */
  constructor(
    readonly name: string,
    options: { size: number; maxFrame: number; eventIdx: boolean },
  ) {
    if (drivers.has(name)) throw new RingyardError("EXISTS", `memory:${name} is in use`, "choose another name");
    this.bufferSize = (NET_HEADER_SIZE + options.maxFrame + 63) & ~63;
    const receive = driverRingLayout(options.size, 0);
    const transmit = driverRingLayout(options.size, receive.bytes);
    this.receiveBase = (receive.bytes + transmit.bytes + 4095) & ~4095;
    this.transmitBase = this.receiveBase + options.size * this.bufferSize;
    this.mapped = (this.transmitBase + options.size * this.bufferSize + 4095) & ~4095;
    const address = mapAnonymous(this.mapped);
    const buffer = viewOf(address, 0, this.mapped);
    this.bytes = new Uint8Array(buffer);
    this.receiveq = new DriverRing(buffer, receive, GUEST_BASE, options.eventIdx);
    this.transmitq = new DriverRing(buffer, transmit, GUEST_BASE, options.eventIdx);
    this.region = { guest: GUEST_BASE, size: this.mapped, address };
    const ring = (layout: typeof receive, kickFd: number): RingConfig => ({
      size: layout.size,
      desc: GUEST_BASE + layout.desc,
      avail: GUEST_BASE + layout.avail,
      used: GUEST_BASE + layout.used,
      kickFd,
      callFd: this.callFd,
      enabled: true,
    });
    this.receiveRing = ring(receive, -1);
    this.transmitRing = ring(transmit, this.kickFd);
    for (let head = 0; head < options.size; head++) this.post();
    this.receiveq.publish();
    drivers.set(name, this);
  }

  /**
   * Sends one frame; false where the ring is full or the frame too long. `header` is a virtio-net header for partial
   * checksums, TSO and USO, as far as the port's `offload` allows them.
   */
  send(frame: Uint8Array, header?: Uint8Array): boolean {
    if (this.closed) return false;
    while (this.transmitq.takeUsed() >= 0) {
      // Buffers are found by their descriptor, so a finished one needs no more than this.
    }
    if (NET_HEADER_SIZE + frame.length > this.bufferSize) return false;
    const head = this.transmitq.add(0, NET_HEADER_SIZE + frame.length, false);
    if (head < 0) return false;
    const offset = this.transmitBase + head * this.bufferSize;
    this.transmitq.writeDescriptor(head, offset, NET_HEADER_SIZE + frame.length, 0, 0);
    if (header === undefined) this.bytes.fill(0, offset, offset + NET_HEADER_SIZE);
    else this.bytes.set(header.subarray(0, NET_HEADER_SIZE), offset);
    this.bytes.set(frame, offset + NET_HEADER_SIZE);
    if (this.transmitq.publish()) signal(this.kickFd);
    return true;
  }

  /** The next frame that came, or null. Its bytes are valid until the next call. */
  receive(): Uint8Array | null {
    return this.receiveWithHeader()?.frame ?? null;
  }

  receiveWithHeader(): ReceivedFrame | null {
    if (this.closed) return null;
    this.repost();
    const head = this.receiveq.takeUsed();
    if (head < 0) return null;
    this.pending = head;
    const offset = this.receiveBase + head * this.bufferSize;
    const length = Math.max(0, this.receiveq.usedLength - NET_HEADER_SIZE);
    const start = offset + NET_HEADER_SIZE;
    return { header: this.bytes.subarray(offset, start), frame: this.bytes.subarray(start, start + length) };
  }

  /** Gives the buffer of the frame received last back to the device. */
  private repost(): void {
    if (this.pending < 0) return;
    this.pending = -1;
    this.post();
    this.receiveq.publish();
  }

  private post(): void {
    const head = this.receiveq.add(0, this.bufferSize, true);
    this.receiveq.writeDescriptor(
      head,
      this.receiveBase + head * this.bufferSize,
      this.bufferSize,
      VRING_DESC_F_WRITE,
      0,
    );
  }

  /** Unmaps. The port has closed its lane; frames received earlier may not be read any more. */
  close(): void {
    this.closed = true;
    drivers.delete(this.name);
    closeFd(this.kickFd);
    closeFd(this.callFd);
    unmap(this.region.address, this.mapped);
  }
}
