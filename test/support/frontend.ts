// A vhost-user front end in TypeScript: what QEMU is to the switch, small enough to misbehave on request. It holds a guest's
// memory and drives its rings; a connection may end and another begin, and the rings go on, as a VM's do.
//
//   const vm = new FrontEnd(path);
//   await vm.connect();  await vm.start();        vm.send(frame);  await vm.receive();
//   vm.wire.send(REQUEST, payload, { fds });      any message, well-formed or not
//   vm.close();
//
// Region 0 holds, for each pair: receiveq | transmitq | buffers of both. Main thread of a test process.

import { closeFd, eventFd, signal } from "../../src/sys/fd.ts";
import { acceptUnix, connectUnix } from "../../src/sys/unix.ts";
import * as vu from "../../src/uapi/vhost_user.ts";
import { VIRTIO_F_VERSION_1 } from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../src/uapi/virtio_ring.ts";
import { DriverRing, driverRingLayout } from "../../src/virtio/driver-ring.ts";
import { HEADER_SIZE } from "./frames.ts";
import { GuestRam, type RamOptions } from "./frontend-memory.ts";
import { u32s, u64s, Wire } from "./frontend-wire.ts";
import { until } from "./until.ts";

const BUFFER_SIZE = 2048;

export interface FrontEndOptions extends RamOptions {
  /** Descriptors of each ring. */
  size?: number;
  pairs?: number;
  /** Virtio feature bits beside VERSION_1. */
  features?: readonly number[];
  /** Protocol feature bits; undefined: all that the switch offers. */
  protocol?: readonly number[];
}

/** One vring: its ring in memory and its eventfds. */
export interface FrontEndRing {
  index: number;
  ring: DriverRing;
  desc: number;
  avail: number;
  used: number;
  kickFd: number;
  callFd: number;
  buffers: number;
}

export class FrontEnd {
  readonly ram: GuestRam;
  readonly size: number;
  /** Receive queues at even places, transmit queues at odd ones. */
  rings: FrontEndRing[] = [];
  wire!: Wire;
  private connected = false;
  private readonly features: bigint;

  constructor(
    readonly path: string,
    private readonly options: FrontEndOptions = {},
  ) {
    this.size = options.size ?? 64;
    this.ram = new GuestRam(options);
    const bits = [VIRTIO_F_VERSION_1, vu.VHOST_USER_F_PROTOCOL_FEATURES, ...(options.features ?? [])];
    this.features = bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    for (let index = 0; index < (options.pairs ?? 1) * 2; index++) this.rings.push(this.makeRing(index));
    this.resetRings();
  }

  private makeRing(index: number): FrontEndRing {
    const layout = driverRingLayout(this.size, 0);
    const base = this.ram.alloc(layout.bytes);
    const buffers = this.ram.alloc(this.size * BUFFER_SIZE);
    const { desc, avail, used } = layout;
    const fds = { kickFd: eventFd(), callFd: eventFd() };
    const place = { desc: base + desc, avail: base + avail, used: base + used };
    return { index, ring: null as unknown as DriverRing, ...place, ...fds, buffers };
  }

  /** The driver forgets its rings and starts anew, with every receive buffer offered. */
  resetRings(): void {
    const eventIdx = (this.features >> BigInt(VIRTIO_RING_F_EVENT_IDX)) % 2n === 1n;
    for (const it of this.rings) {
      const layout = driverRingLayout(this.size, 0);
      const bytes = this.ram.view(it.desc, layout.bytes);
      bytes.fill(0);
      // As in a window of its own, so that "offsets" are offsets from `desc`.
      const shift = bytes.byteOffset;
      const { desc, avail, used } = layout;
      const placed = { ...layout, desc: desc + shift, avail: avail + shift, used: used + shift };
      it.ring = new DriverRing(bytes.buffer, placed, 0, eventIdx);
      if (it.index % 2 === 0) this.offerAll(it);
    }
  }

  private offerAll(it: FrontEndRing): void {
    while (it.ring.available > 0) this.offer(it);
    it.ring.publish();
  }

  /** Offers one receive buffer, not yet published. */
  private offer(it: FrontEndRing): void {
    const head = it.ring.add(0, BUFFER_SIZE, true);
    it.ring.writeDescriptor(head, it.buffers + head * BUFFER_SIZE, BUFFER_SIZE, 2, 0);
  }

  /** Connects, waiting for the switch to listen. */
  async connect(): Promise<void> {
    const socket = await until(`${this.path} to be served`, () => {
      const fd = connectUnix(this.path);
      return fd < 0 ? undefined : { fd };
    });
    this.wire = new Wire(socket.fd);
    this.connected = true;
  }

  /** Waits for the switch to connect to a listening socket (its `mode=client`). */
  async accept(listener: number): Promise<void> {
    const socket = await until("the switch to connect", () => {
      const fd = acceptUnix(listener);
      return fd < 0 ? undefined : { fd };
    });
    this.wire = new Wire(socket.fd);
    this.connected = true;
  }

  /** Hangs up; the rings stay as they are. */
  disconnect(): void {
    if (this.connected) this.wire.close();
    this.connected = false;
  }

  /** What a front end says first. */
  async negotiate(): Promise<void> {
    const { wire } = this;
    await wire.get(vu.VHOST_USER_GET_FEATURES);
    const offered = await wire.get(vu.VHOST_USER_GET_PROTOCOL_FEATURES);
    const { protocol } = this.options;
    const chosen = protocol === undefined ? offered : protocol.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
    wire.send(vu.VHOST_USER_SET_PROTOCOL_FEATURES, u64s(chosen));
    wire.send(vu.VHOST_USER_SET_OWNER);
    wire.send(vu.VHOST_USER_SET_FEATURES, u64s(this.features));
  }

  /** The payload of SET_MEM_TABLE. */
  memoryTable(): Uint8Array {
    const { regions } = this.ram;
    const words = regions.flatMap(({ guest, size, user, offset }) => [guest, size, user, offset]);
    return Buffer.concat([u32s(regions.length, 0), u64s(...words)]);
  }

  setMemory(): void {
    const fds = this.ram.regions.map(({ fd }) => fd);
    this.wire.send(vu.VHOST_USER_SET_MEM_TABLE, this.memoryTable(), { fds });
  }

  /** The payload of SET_VRING_ADDR. */
  ringAddress({ index, desc, avail, used }: FrontEndRing): Uint8Array {
    const user = [desc, used, avail].map((address) => this.ram.userAddress(address));
    return Buffer.concat([u32s(index, 0), u64s(...user, 0)]);
  }

  startRing(it: FrontEndRing): void {
    const { wire } = this;
    wire.send(vu.VHOST_USER_SET_VRING_NUM, u32s(it.index, this.size));
    wire.send(vu.VHOST_USER_SET_VRING_BASE, u32s(it.index, 0));
    wire.send(vu.VHOST_USER_SET_VRING_ADDR, this.ringAddress(it));
    wire.send(vu.VHOST_USER_SET_VRING_KICK, u64s(it.index), { fds: [it.kickFd] });
    wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(it.index), { fds: [it.callFd] });
    this.enable(it, true);
  }

  enable({ index }: FrontEndRing, on: boolean): void {
    this.wire.send(vu.VHOST_USER_SET_VRING_ENABLE, u32s(index, on ? 1 : 0));
  }

  /** From connected to forwarding; resolves when the switch has handled all of it. */
  async start(): Promise<void> {
    await this.negotiate();
    this.setMemory();
    for (const it of this.rings) this.startRing(it);
    await this.settled();
  }

  /** Resolves when the switch has handled every message sent so far; throws where it hung up. */
  async settled(): Promise<void> {
    await this.wire.get(vu.VHOST_USER_GET_QUEUE_NUM);
  }

  /** Stops a ring as QEMU does; returns the index that the switch names. */
  async stopRing({ index }: FrontEndRing): Promise<number> {
    return (await this.wire.call(vu.VHOST_USER_GET_VRING_BASE, u32s(index, 0))).getUint32(4, true);
  }

  receiveRing(pair = 0): FrontEndRing {
    return this.rings[pair * 2];
  }

  transmitRing(pair = 0): FrontEndRing {
    return this.rings[pair * 2 + 1];
  }

  /** Sends a frame; false where the ring is full. */
  send(frame: Uint8Array, header: Uint8Array = new Uint8Array(HEADER_SIZE), pair = 0): boolean {
    const it = this.transmitRing(pair);
    while (it.ring.takeUsed() >= 0) {
      // Given back: free again.
    }
    if (it.ring.available === 0) return false;
    const head = it.ring.add(0, HEADER_SIZE + frame.length, false);
    const address = it.buffers + head * BUFFER_SIZE;
    it.ring.writeDescriptor(head, address, HEADER_SIZE + frame.length, 0, 0);
    this.ram.view(address, HEADER_SIZE).set(header);
    this.ram.view(address + HEADER_SIZE, frame.length).set(frame);
    if (it.ring.publish()) signal(it.kickFd);
    return true;
  }

  /** The next frame that arrived on a pair, or on any, or null. */
  poll(pair?: number): Uint8Array | null {
    if (pair === undefined) {
      for (let n = 0; n < this.rings.length / 2; n++) {
        const frame = this.poll(n);
        if (frame !== null) return frame;
      }
      return null;
    }
    return this.pollWithHeader(pair)?.frame ?? null;
  }

  /** The same with the virtio-net header in front of it. */
  pollWithHeader(pair = 0): { header: Uint8Array; frame: Uint8Array } | null {
    const it = this.receiveRing(pair);
    const head = it.ring.takeUsed();
    if (head < 0) return null;
    const bytes = this.ram.view(it.buffers + head * BUFFER_SIZE, it.ring.usedLength).slice();
    this.offer(it);
    if (it.ring.publish()) signal(it.kickFd);
    return { header: bytes.subarray(0, HEADER_SIZE), frame: bytes.subarray(HEADER_SIZE) };
  }

  async receive(pair?: number): Promise<Uint8Array> {
    return await until("a frame", () => this.poll(pair), { everyMs: 0 });
  }

  /** Gives everything back. */
  close(): void {
    this.disconnect();
    for (const { kickFd, callFd } of this.rings.splice(0)) {
      closeFd(kickFd);
      closeFd(callFd);
    }
    this.ram.close();
  }
}
