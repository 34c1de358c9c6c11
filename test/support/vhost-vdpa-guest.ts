// A virtio-net driver on /dev/vhost-vdpa-N: what a guest and its QEMU are to the switch, without the emulator. It holds a
// guest's memory, drives its rings, and lays frames out in buffers in every way the specification allows.
//
//   const vm = new VdpaGuest(path, { features: [VIRTIO_NET_F_MRG_RXBUF] });
//   vm.start();   vm.send(frame);   await vm.receive();   vm.stop();   vm.start();   vm.close();
//
// Region 0 holds, for each queue: ring | buffers | indirect tables. A buffer is cut into pieces of `piece` bytes, which are
// one chain of descriptors, or one indirect table. Main thread of a test process; the switch is another process.

import { clearSignal, closeFd, eventFd, signal } from "../../src/sys/fd.ts";
import { mapShared, memfd, unmap, viewOf } from "../../src/sys/memory.ts";
import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_VERSION_1,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX, VRING_DESC_F_INDIRECT } from "../../src/uapi/virtio_ring.ts";
import { DriverRing, driverRingLayout } from "../../src/virtio/driver-ring.ts";
import { HEADER_SIZE, readNetHeader } from "./frames.ts";
import { GuestRam, type RamOptions, type RamRegion } from "./frontend-memory.ts";
import { until } from "./until.ts";
import { VhostVdpa, type VringAddress } from "./vhost-vdpa.ts";

const ALIVE = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
const AGREED = ALIVE | VIRTIO_CONFIG_S_FEATURES_OK;
const NO_HEADER = new Uint8Array(HEADER_SIZE);

/** How a driver lays its buffers out. */
export interface Layout {
  /** Bytes of a buffer, header included. */
  bufferSize?: number;
  /** Descriptors name pieces of this many bytes; default: the whole buffer in one. */
  piece?: number;
  /** The pieces' descriptors stand in an indirect table. */
  indirect?: boolean;
  /** The region that holds the buffers. */
  region?: number;
}

export interface VdpaGuestOptions extends RamOptions {
  /** Descriptors of each ring. */
  size?: number;
  /** Virtio feature bits beside VERSION_1 and ACCESS_PLATFORM. */
  features?: readonly number[];
  receive?: Layout;
  transmit?: Layout;
}

/** One queue: its ring in memory, its eventfds, its buffers. */
export interface VdpaQueue extends VringAddress {
  index: number;
  ring: DriverRing;
  kickFd: number;
  callFd: number;
  layout: Required<Layout>;
  buffers: number;
  tables: number;
  /** Buffers that are in no descriptor. */
  free: number[];
  /** By head: the buffer that was offered. */
  offered: number[];
}

export class VdpaGuest {
  readonly device: VhostVdpa;
  readonly ram: GuestRam;
  readonly size: number;
  readonly features: bigint;
  readonly receiveq: VdpaQueue;
  readonly transmitq: VdpaQueue;
  private readonly mergeable: boolean;
  private closed = false;

  /** Takes the device and gives it the guest's memory. */
  constructor(
    readonly path: string,
    options: VdpaGuestOptions = {},
  ) {
    const { size = 64, features = [] } = options;
    this.size = size;
    this.mergeable = features.includes(VIRTIO_NET_F_MRG_RXBUF);
    const bits = [VIRTIO_F_VERSION_1, VIRTIO_F_ACCESS_PLATFORM, ...features];
    this.features = bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    this.device = new VhostVdpa(path);
    this.ram = new GuestRam({ regions: [{ guest: 2 ** 32, size: 1 << 22 }], ...options });
    this.receiveq = this.makeQueue(0, options.receive);
    this.transmitq = this.makeQueue(1, options.transmit);
    for (const region of this.ram.regions) this.mapRegion(region);
  }

  get queues(): VdpaQueue[] {
    return [this.receiveq, this.transmitq];
  }

  mapRegion({ guest, size, address, offset }: RamRegion, perm?: number): void {
    this.device.map(guest, size, address + offset, perm);
  }

  /**
   * Puts fresh memory in the place of a region's, for the device to be told of (`mapRegion`). What was there stays as it is, and is given
   * back by the function returned.
   */
  exchangeMemory(region: RamRegion): () => void {
    const { fd, address, offset, size } = region;
    region.fd = memfd("ringyard-other-memory", offset + size);
    region.address = mapShared(region.fd, offset + size, 0);
    region.bytes = new Uint8Array(viewOf(region.address, offset, size));
    return () => {
      unmap(address, offset + size);
      closeFd(fd);
    };
  }

  private makeQueue(index: number, given: Layout = {}): VdpaQueue {
    const { bufferSize = 2048, piece = bufferSize, indirect = false, region = 0 } = given;
    const { ram, size } = this;
    const { desc, avail, used, bytes } = driverRingLayout(size, 0);
    const base = ram.alloc(bytes);
    const place = { desc: base + desc, avail: base + avail, used: base + used };
    const buffers = ram.alloc(size * bufferSize, region);
    const tables = indirect ? ram.alloc(size * Math.ceil(bufferSize / piece) * 16) : 0;
    const fds = { kickFd: eventFd(), callFd: eventFd() };
    const layout = { bufferSize, piece, indirect, region };
    const ring = null as unknown as DriverRing;
    return { index, ring, ...place, ...fds, layout, buffers, tables, free: [], offered: [] };
  }

  /** The driver forgets its rings and starts anew, with every receive buffer offered. */
  resetRings(): void {
    for (const it of this.queues) {
      const plan = driverRingLayout(this.size, 0);
      const bytes = this.ram.view(it.desc, plan.bytes);
      bytes.fill(0);
      const at = bytes.byteOffset;
      const placed = { ...plan, desc: at + plan.desc, avail: at + plan.avail, used: at + plan.used };
      it.ring = new DriverRing(bytes.buffer, placed, 0, this.has(VIRTIO_RING_F_EVENT_IDX));
      it.free = Array.from({ length: this.size }, (_, index) => index);
      it.offered = [];
    }
    this.offerAll();
    this.receiveq.ring.publish();
  }

  has(feature: number): boolean {
    return (this.features >> BigInt(feature)) % 2n === 1n;
  }

  private offerAll(): void {
    while (this.offer(this.receiveq, this.receiveq.layout.bufferSize, true) >= 0) {
      // As long as there are descriptors.
    }
  }

  /** Offers the first `length` bytes of a free buffer, not yet published; returns the buffer, or -1 for no room. */
  private offer(it: VdpaQueue, length: number, writable: boolean): number {
    const { piece, indirect, bufferSize } = it.layout;
    const buffer = it.free.at(-1);
    const count = Math.ceil(length / piece);
    if (buffer === undefined || it.ring.available < (indirect ? 1 : count)) return -1;
    const base = it.buffers + buffer * bufferSize;
    const pieces = Array.from({ length: count }, (_, n): [number, number] => {
      return [base + n * piece, Math.min(piece, length - n * piece)];
    });
    const head = indirect ? this.addTable(it, buffer, pieces, writable) : it.ring.addChain(pieces, writable);
    it.free.pop();
    it.offered[head] = buffer;
    return buffer;
  }

  private addTable(it: VdpaQueue, buffer: number, pieces: [number, number][], writable: boolean): number {
    const table = it.tables + buffer * Math.ceil(it.layout.bufferSize / it.layout.piece) * 16;
    const bytes = this.ram.view(table, pieces.length * 16);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    pieces.forEach(([address, length], n) => {
      const last = n === pieces.length - 1;
      view.setBigUint64(n * 16, BigInt(address), true);
      view.setUint32(n * 16 + 8, length, true);
      view.setUint16(n * 16 + 12, (writable ? 2 : 0) | (last ? 0 : 1), true);
      view.setUint16(n * 16 + 14, last ? 0 : n + 1, true);
    });
    const head = it.ring.add(table, bytes.length, false);
    it.ring.writeDescriptor(head, table, bytes.length, VRING_DESC_F_INDIRECT, 0);
    return head;
  }

  /** From reset to running, with new rings. */
  start(): void {
    this.negotiate();
    this.resetRings();
    for (const it of this.queues) this.setUp(it);
    this.device.setStatus(AGREED | VIRTIO_CONFIG_S_DRIVER_OK);
  }

  /** Up to FEATURES_OK, which it checks. */
  negotiate(): void {
    const { device } = this;
    device.setStatus(ALIVE);
    device.setFeatures(this.features);
    device.setStatus(AGREED);
    if (device.status() !== AGREED) throw new Error(`the device refused features 0x${this.features.toString(16)}`);
  }

  setUp(it: VdpaQueue, size: number = this.size): void {
    const { device } = this;
    device.setVringNum(it.index, size);
    device.setVringBase(it.index, 0);
    device.setVringAddress(it.index, it);
    device.setVringKick(it.index, it.kickFd);
    device.setVringCall(it.index, it.callFd);
    device.enableVring(it.index, true);
  }

  /** The last step of `start`, for those that set queues up otherwise. */
  driverOk(): void {
    this.device.setStatus(AGREED | VIRTIO_CONFIG_S_DRIVER_OK);
  }

  /** Resets the device: when this returns, nobody touches the guest's memory. */
  stop(): void {
    this.device.setStatus(0);
  }

  /** Takes the buffers back that were sent. */
  reclaim(): void {
    const it = this.transmitq;
    for (let head = it.ring.takeUsed(); head >= 0; head = it.ring.takeUsed()) it.free.push(it.offered[head]);
  }

  /** Frames sent whose buffers have not come back. */
  get inFlight(): number {
    this.reclaim();
    return this.size - this.transmitq.free.length;
  }

  /** Sends a frame; false where the ring is full. */
  send(frame: Uint8Array, header: Uint8Array = NO_HEADER): boolean {
    this.reclaim();
    const it = this.transmitq;
    const buffer = this.offer(it, HEADER_SIZE + frame.length, false);
    if (buffer < 0) return false;
    const bytes = this.ram.view(it.buffers + buffer * it.layout.bufferSize, HEADER_SIZE + frame.length);
    bytes.set(header);
    bytes.set(frame, HEADER_SIZE);
    if (it.ring.publish()) signal(it.kickFd);
    return true;
  }

  /** The next frame that arrived, or null; its buffers are offered again. */
  poll(): Uint8Array | null {
    let first = this.takeBuffer();
    // Given back empty: there was no memory behind it.
    while (first?.length === 0) first = this.takeBuffer();
    if (first === null) return this.refill();
    const { buffers } = readNetHeader(first);
    const pieces = [first.subarray(HEADER_SIZE)];
    // All buffers of a frame are published as one (5.1.6.4).
    for (let n = 1; this.mergeable && n < buffers; n++) {
      const piece = this.takeBuffer();
      if (piece === null) throw new Error(`${buffers} buffers announced, ${n} came`);
      pieces.push(piece);
    }
    this.refill();
    return Uint8Array.from(Buffer.concat(pieces));
  }

  /** Shows the device every receive buffer that is free. */
  private refill(): null {
    this.offerAll();
    if (this.receiveq.ring.publish()) signal(this.receiveq.kickFd);
    return null;
  }

  private takeBuffer(): Uint8Array | null {
    const it = this.receiveq;
    const head = it.ring.takeUsed();
    if (head < 0) return null;
    const buffer = it.offered[head];
    it.free.push(buffer);
    return this.ram.view(it.buffers + buffer * it.layout.bufferSize, it.ring.usedLength).slice();
  }

  async receive(): Promise<Uint8Array> {
    return await until("a frame", () => this.poll(), { everyMs: 0 });
  }

  /** Whether the device has called the driver of a queue since this was asked last. */
  called(it: VdpaQueue): boolean {
    return clearSignal(it.callFd);
  }

  /** Lets the device go and gives everything back. The kernel waits for the switch meanwhile. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.device.close();
    for (const { kickFd, callFd } of this.queues) {
      closeFd(kickFd);
      closeFd(callFd);
    }
    this.ram.close();
  }
}
