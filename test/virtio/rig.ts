// Virtqueue lanes without a switch: drivers in this process, in memory between canaries, and one turn of a worker at a
// time, so that a test says exactly what lies in a ring when the device looks at it.
//
//   region i of a guest:  canary page | the guest's bytes at its guest address | canary page
//   region 0:             receiveq | transmitq | what `alloc` hands out
//
// Addresses in descriptors are the guest's. `Rig.close` checks the canaries and the law rx + copies = tx + drops. One rig
// is one worker thread; each test makes its own with `useRig`.

import { afterEach, expect } from "bun:test";
import { Batch, BURST } from "../../src/mem/batch.ts";
import * as counter from "../../src/mem/counters.ts";
import type { ZeroCopy } from "../../src/mem/held.ts";
import {
  DELIVER_NEXT,
  DELIVER_STATUS,
  FETCH_AVAIL,
  FETCH_STATUS,
  FETCH_USED,
  LANE_STATE_LENGTH,
  RING_STOPPED,
} from "../../src/mem/lane-state.ts";
import { WindowTable } from "../../src/mem/window.ts";
import { closeFd, eventFd } from "../../src/sys/fd.ts";
import { mapShared, memfd, PAGE_SIZE, unmap, viewOf } from "../../src/sys/memory.ts";
import { VIRTIO_F_VERSION_1, VIRTIO_NET_F_MRG_RXBUF } from "../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../src/uapi/virtio_ring.ts";
import { DriverRing, driverRingLayout } from "../../src/virtio/driver-ring.ts";
import { featureSet, hasFeature } from "../../src/virtio/features.ts";
import type { VirtqueueLane } from "../../src/virtio/virtqueue-lane.ts";
import type { RegionConfig, RingConfig } from "../../src/virtio/virtqueue-open.ts";
import { openVirtqueueLane } from "../../src/virtio/virtqueue-open.ts";
import { HEADER_SIZE } from "../support/frames.ts";

const CANARY = 0xc5;
const NAMED: Record<string, number> = Object.fromEntries(
  counter.COUNTER_NAMES.flatMap((name, index) => (name === undefined ? [] : [[name, index]])),
);
const EVERY = Int32Array.from({ length: BURST }, (_, i) => i);

export interface GuestOptions {
  /** Descriptors of each ring. */
  size?: number;
  /** Guest addresses and sizes; the first holds the rings. */
  regions?: readonly { guest: number; size: number }[];
  /** Feature bits beside VERSION_1. */
  features?: readonly number[];
  /** For frames that somebody holds. */
  zeroCopy?: ZeroCopy;
}

export const PLAIN = [] as const;
export const MERGEABLE = [VIRTIO_NET_F_MRG_RXBUF] as const;
export const EVENT_IDX = [VIRTIO_RING_F_EVENT_IDX] as const;

interface Region extends RegionConfig {
  mapping: number;
  bytes: Uint8Array;
}

export class TestGuest {
  readonly state = new Int32Array(new SharedArrayBuffer(LANE_STATE_LENGTH * 4));
  readonly counters = new Float64Array(counter.COUNTER_COUNT);
  readonly kickFd = eventFd();
  readonly callFd = eventFd();
  readonly size: number;
  readonly regions: Region[];
  readonly features: { lo: number; hi: number };
  /** What the lane is opened with; a test may change it and call `open`. */
  deliver: RingConfig | null;
  fetch: RingConfig | null;
  receiveq!: DriverRing;
  transmitq!: DriverRing;
  lane!: VirtqueueLane;
  private heap: number[];
  private opened = false;
  private readonly zeroCopy: ZeroCopy | undefined;

  constructor(
    private readonly windows: WindowTable,
    { size = 64, regions = [{ guest: 2 ** 32, size: 1 << 20 }], features = PLAIN, zeroCopy }: GuestOptions = {},
  ) {
    this.zeroCopy = zeroCopy;
    this.size = size;
    this.features = featureSet([VIRTIO_F_VERSION_1, ...features]);
    this.regions = regions.map(({ guest, size: bytes }) => {
      const padded = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
      const fd = memfd("ringyard-rig", padded + 2 * PAGE_SIZE);
      const mapping = mapShared(fd, padded + 2 * PAGE_SIZE, 0);
      closeFd(fd);
      const all = new Uint8Array(viewOf(mapping, 0, padded + 2 * PAGE_SIZE));
      all.fill(CANARY, 0, PAGE_SIZE).fill(CANARY, PAGE_SIZE + bytes);
      return {
        guest,
        size: bytes,
        address: mapping + PAGE_SIZE,
        mapping,
        bytes: all.subarray(PAGE_SIZE, PAGE_SIZE + bytes),
      };
    });
    const receive = driverRingLayout(size, 0);
    const transmit = driverRingLayout(size, receive.bytes);
    this.heap = this.regions.map((_, i) => (i === 0 ? receive.bytes + transmit.bytes : 0));
    const base = this.regions[0].guest;
    const ring = (layout: typeof receive, kickFd: number): RingConfig => ({
      size,
      desc: base + layout.desc,
      avail: base + layout.avail,
      used: base + layout.used,
      kickFd,
      callFd: this.callFd,
      enabled: true,
    });
    this.deliver = ring(receive, -1);
    this.fetch = ring(transmit, this.kickFd);
    this.restart();
  }

  get eventIdx(): boolean {
    return hasFeature(this.features, VIRTIO_RING_F_EVENT_IDX);
  }

  /** The driver resets its device and starts again with empty rings, and the lane is opened as a transport does then. */
  restart(): void {
    const { buffer, byteOffset } = this.regions[0].bytes;
    const receive = driverRingLayout(this.size, 0);
    const transmit = driverRingLayout(this.size, receive.bytes);
    this.regions[0].bytes.fill(0, 0, receive.bytes + transmit.bytes);
    const shifted = (layout: typeof receive) => ({
      ...layout,
      desc: layout.desc + byteOffset,
      avail: layout.avail + byteOffset,
      used: layout.used + byteOffset,
    });
    // With a guest base of 0 what DriverRing calls offsets are guest addresses.
    this.receiveq = new DriverRing(buffer, shifted(receive), 0, this.eventIdx);
    this.transmitq = new DriverRing(buffer, shifted(transmit), 0, this.eventIdx);
    for (const word of [FETCH_AVAIL, FETCH_USED, DELIVER_NEXT]) this.state[word] = 0;
    this.state[FETCH_STATUS] = this.state[DELIVER_STATUS] = RING_STOPPED;
    this.open();
  }

  /** (Re)opens the lane; its place in the rings is kept. Throws what openVirtqueueLane throws. */
  open(): void {
    this.shut();
    this.lane = openVirtqueueLane(
      {
        featuresLo: this.features.lo,
        featuresHi: this.features.hi,
        regions: this.regions.map(({ guest, size, address }) => ({ guest, size, address })),
        deliver: this.deliver,
        fetch: this.fetch,
      },
      {
        windows: this.windows,
        state: this.state,
        counters: this.counters,
        shared: false,
        owner: true,
        ...(this.zeroCopy && { zeroCopy: this.zeroCopy }),
      },
    );
    this.opened = true;
  }

  private shut(): void {
    if (this.opened) this.lane.close();
    this.opened = false;
  }

  /** Guest address of `size` fresh bytes of a region. */
  alloc(size: number, region = 0, alignment = 64): number {
    const offset = Math.ceil(this.heap[region] / alignment) * alignment;
    this.heap[region] = offset + size;
    if (this.heap[region] > this.regions[region].size) throw new Error(`region ${region} of the test guest is full`);
    return this.regions[region].guest + offset;
  }

  /** The guest's own bytes; a range may cross from one region into an adjacent one. */
  put(address: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const here = this.view(address + done, bytes.length - done);
      here.set(bytes.subarray(done, done + here.length));
      done += here.length;
    }
  }

  get(address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const here = this.view(address + done, length - done);
      bytes.set(here, done);
      done += here.length;
    }
    return bytes;
  }

  private view(address: number, length: number): Uint8Array {
    const region = this.regions.find(({ guest, size }) => address >= guest && address < guest + size);
    if (region === undefined) throw new Error(`no region of the test guest at 0x${address.toString(16)}`);
    return region.bytes.subarray(address - region.guest, address - region.guest + length);
  }

  /** Sends a frame in one buffer; returns its head. */
  send(frame: Uint8Array, header = new Uint8Array(HEADER_SIZE)): number {
    return this.sendPieces([header.length + frame.length], header, frame);
  }

  /** Sends header and frame in buffers of these sizes; what is left over goes into one more. */
  sendPieces(sizes: readonly number[], header: Uint8Array, frame: Uint8Array): number {
    const bytes = new Uint8Array([...header, ...frame]);
    const address = this.alloc(bytes.length + sizes.length * 64 + 64);
    let at = 0;
    let gap = 0;
    const pieces: [number, number][] = [];
    for (const size of [...sizes, bytes.length - sizes.reduce((sum, n) => sum + n, 0)]) {
      if (size <= 0) continue;
      this.put(address + at + gap, bytes.subarray(at, at + size));
      pieces.push([address + at + gap, size]);
      at += size;
      gap += 13;
    }
    const head = this.transmitq.addChain(pieces, false);
    this.transmitq.publish();
    return head;
  }

  /** Offers receive buffers of these pieces each; returns the heads. */
  post(...buffers: readonly (readonly (readonly [address: number, length: number])[])[]): number[] {
    const heads = buffers.map((pieces) => this.receiveq.addChain(pieces, true));
    this.receiveq.publish();
    return heads;
  }

  /** Offers `count` fresh receive buffers of `size` bytes. */
  postMany(count: number, size: number): { head: number; address: number }[] {
    const addresses = Array.from({ length: count }, () => this.alloc(size));
    const heads = this.post(...addresses.map((address) => [[address, size] as const]));
    return heads.map((head, i) => ({ head, address: addresses[i] }));
  }

  /** A descriptor, byte for byte as said; addresses may be any 64 bits. */
  descriptor(ring: DriverRing, index: number, address: number | bigint, length: number, flags = 0, next = 0): void {
    ring.desc.setBigUint64(index * 16, BigInt(address), true);
    ring.desc.setUint32(index * 16 + 8, length, true);
    ring.desc.setUint16(index * 16 + 12, flags, true);
    ring.desc.setUint16(index * 16 + 14, next, true);
  }

  /** An indirect table in the guest's memory; returns its address. */
  table(entries: readonly (readonly [address: number, length: number, flags: number, next?: number])[]): number {
    const address = this.alloc(entries.length * 16);
    const bytes = new DataView(new ArrayBuffer(entries.length * 16));
    entries.forEach(([buffer, length, flags, next = 0], i) => {
      bytes.setBigUint64(i * 16, BigInt(buffer), true);
      bytes.setUint32(i * 16 + 8, length, true);
      bytes.setUint16(i * 16 + 12, flags, true);
      bytes.setUint16(i * 16 + 14, next, true);
    });
    this.put(address, new Uint8Array(bytes.buffer));
    return address;
  }

  /** A counter by the name that people see. */
  count(name: string): number {
    if (NAMED[name] === undefined) throw new Error(`no counter ${name}`);
    return this.counters[NAMED[name]];
  }

  /** Drops and faults that happened, by name. */
  get reasons(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(NAMED).flatMap(([name, index]) =>
        this.counters[index] > 0 ? [[name, this.counters[index]]] : [],
      ),
    );
  }

  checkCanaries(): void {
    for (const { mapping, size } of this.regions) {
      const padded = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
      const all = new Uint8Array(viewOf(mapping, 0, padded + 2 * PAGE_SIZE));
      const outside = [...all.subarray(0, PAGE_SIZE), ...all.subarray(PAGE_SIZE + size)];
      if (outside.some((byte) => byte !== CANARY)) throw new Error("bytes outside the guest's memory were written");
    }
  }

  close(): void {
    this.shut();
    for (const { mapping, size } of this.regions) {
      unmap(mapping, Math.ceil(size / PAGE_SIZE) * PAGE_SIZE + 2 * PAGE_SIZE);
    }
    closeFd(this.kickFd);
    closeFd(this.callFd);
  }
}

/** One worker's tables, without the worker. */
export class Rig {
  readonly windows = new WindowTable();
  readonly batch = new Batch();
  readonly guests: TestGuest[] = [];

  guest(options?: GuestOptions): TestGuest {
    const guest = new TestGuest(this.windows, options);
    this.guests.push(guest);
    return guest;
  }

  /** One turn: a burst from one guest to another. Returns how many frames were fetched. */
  move(from: TestGuest, to: TestGuest): number {
    this.batch.reset();
    const count = from.lane.fetch(this.batch);
    if (count > 0) to.lane.deliver(this.batch, EVERY, count);
    from.lane.release(this.batch);
    return count;
  }

  /** Turns until nothing moves and nothing is taken any more. */
  drain(from: TestGuest, to: TestGuest): void {
    for (let before = -1; before !== from.counters[counter.RX_FRAMES]; ) {
      before = from.counters[counter.RX_FRAMES];
      this.move(from, to);
    }
  }

  checkLaw(): void {
    const sum = (index: number) => this.guests.reduce((total, guest) => total + guest.counters[index], 0);
    let drops = 0;
    for (let index = counter.FIRST_DROP; index < counter.FIRST_FAULT; index++) drops += sum(index);
    expect(sum(counter.RX_FRAMES) + sum(counter.COPIES)).toBe(sum(counter.TX_FRAMES) + drops);
  }

  close(): void {
    try {
      this.checkLaw();
      for (const guest of this.guests) guest.checkCanaries();
    } finally {
      for (const guest of this.guests.splice(0)) guest.close();
    }
  }
}

/** Returns a function that makes a rig; it is checked and closed with its test. */
export function useRig(): () => Rig {
  const open: Rig[] = [];
  afterEach(() => {
    for (const rig of open.splice(0)) rig.close();
  });
  return () => {
    const rig = new Rig();
    open.push(rig);
    return rig;
  };
}
