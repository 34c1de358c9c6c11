// A virtio-net device on PCI without PCI: registers that answer as 4.1.4 says, memory that the "device" reaches under IOVAs of
// its own, and ringyard's own device side (virtqueue-lane) behind the rings. One thread; the control queue answers within
// the kick.
//
//   BAR 4   0 common configuration | 0x1000 ISR | 0x2000 device configuration | 0x3000 doorbells, 4 bytes apart
//
// `FakeOptions` and the fields of FakeVirtioNet are what a test changes to make it another device, or a bad one.

import type { DmaMemory } from "../../../../src/mem/dma.ts";
import type { ConfigSpace, PciFunction } from "../../../../src/ports/vfio/nic.ts";
import type { Registers, RegistersConfig } from "../../../../src/ports/vfio/registers.ts";
import { closeFd, eventFd } from "../../../../src/sys/fd.ts";
import { mapAnonymous, unmap, viewOf } from "../../../../src/sys/memory.ts";
import * as net from "../../../../src/uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC } from "../../../../src/uapi/virtio_ring.ts";
import { type Features, featureSet, hasFeature } from "../../../../src/virtio/features.ts";
import type { RingConfig } from "../../../../src/virtio/virtqueue-open.ts";

export const BAR = 4;
const COMMON = 0;
const ISR = 0x1000;
const DEVICE = 0x2000;
export const NOTIFY = 0x3000;
const BAR_SIZE = 0x4000;
const NO_VECTOR = 0xffff;
const FIRST_IOVA = 2 ** 33 + 2 ** 32;

/** What QEMU offers, and USO. */
export const OFFERED = [
  net.VIRTIO_F_VERSION_1,
  net.VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  net.VIRTIO_NET_F_CSUM,
  net.VIRTIO_NET_F_GUEST_CSUM,
  net.VIRTIO_NET_F_MAC,
  net.VIRTIO_NET_F_GUEST_TSO4,
  net.VIRTIO_NET_F_GUEST_TSO6,
  net.VIRTIO_NET_F_GUEST_ECN,
  net.VIRTIO_NET_F_GUEST_USO4,
  net.VIRTIO_NET_F_GUEST_USO6,
  net.VIRTIO_NET_F_HOST_TSO4,
  net.VIRTIO_NET_F_HOST_TSO6,
  net.VIRTIO_NET_F_HOST_ECN,
  net.VIRTIO_NET_F_HOST_USO,
  net.VIRTIO_NET_F_MRG_RXBUF,
  net.VIRTIO_NET_F_STATUS,
  net.VIRTIO_NET_F_CTRL_VQ,
  net.VIRTIO_NET_F_CTRL_RX,
  net.VIRTIO_NET_F_CTRL_VLAN,
  net.VIRTIO_NET_F_CTRL_MAC_ADDR,
  net.VIRTIO_NET_F_MQ,
  net.VIRTIO_NET_F_SPEED_DUPLEX,
];

export interface FakeOptions {
  features?: readonly number[];
  mac?: string;
  mtu?: number;
  maxPairs?: number;
  queueSize?: number;
  vectors?: number;
  interruptKind?: PciFunction["interruptKind"];
}

interface FakeQueue {
  size: number;
  vector: number;
  enabled: boolean;
  desc: number;
  avail: number;
  used: number;
}

interface Capability {
  kind: number;
  bar: number;
  offset: number;
  length: number;
  multiplier?: number;
}

export class FakeVirtioNet implements PciFunction {
  readonly address = "0000:00:05.0";
  readonly vendor = 0x1af4;
  readonly device = 0x1041;
  readonly vectors: number;
  readonly interruptKind: PciFunction["interruptKind"];
  readonly offered: Features;
  readonly maxPairs: number;
  readonly queueSize: number;
  /** struct virtio_net_config. */
  readonly config8 = new Uint8Array(24);
  readonly memory: DmaMemory[] = [];
  /** What was written to device_status, in order. */
  readonly statuses: number[] = [];
  /** Commands that came in on the control queue: class, command, data. */
  readonly commands: number[][] = [];
  readonly kicks: number[] = [];
  capabilities: Capability[] = [
    { kind: 5, bar: 0, offset: 0, length: 0 },
    { kind: 1, bar: BAR, offset: COMMON, length: 0x1000 },
    { kind: 3, bar: BAR, offset: ISR, length: 0x1000 },
    { kind: 4, bar: BAR, offset: DEVICE, length: 0x1000 },
    { kind: 2, bar: BAR, offset: NOTIFY, length: 0x1000, multiplier: 4 },
  ];
  queues: FakeQueue[] = [];
  driverFeatures: Features = { lo: 0, hi: 0 };
  status = 0;
  busMaster = false;
  /** The status it had when it was let reach memory. */
  readonly masteredAt: number[] = [];
  resets = 0;
  unmasked = 0;
  isr = 0;
  configVector = NO_VECTOR;
  eventFds: number[] = [];
  /** Registers read as ones. */
  gone = false;
  /** FEATURES_OK is not kept. */
  refuseFeatures = false;
  /** The reset never ends. */
  stuckReset = false;
  /** Whether the function has a reset of its own. */
  functionReset = true;
  /** Vectors from here on cannot be had. */
  vectorLimit = NO_VECTOR;
  /** The ack of control commands; -1: none is ever given. */
  ack = 0;
  /** Each read of the generation finds another one, and another MAC address, this many times. */
  restless = 0;
  private generation = 0;
  private select = { feature: 0, driverFeature: 0, queue: 0 };
  private nextIova = FIRST_IOVA;
  private controlNext = 0;
  private readonly registers: Registers;
  private readonly page: number;
  private readonly configSpace = new Uint8Array(256);

  constructor({
    features = OFFERED,
    mac = "02:00:00:00:77:01",
    mtu = 0,
    maxPairs = 4,
    queueSize = 256,
    vectors = 10,
    interruptKind = "msix",
  }: FakeOptions = {}) {
    this.offered = featureSet(features);
    this.maxPairs = maxPairs;
    this.queueSize = queueSize;
    this.vectors = vectors;
    this.interruptKind = interruptKind;
    const view = new DataView(this.config8.buffer);
    this.config8.set(mac.split(":").map((byte) => Number.parseInt(byte, 16)));
    view.setUint16(6, 1, true);
    view.setUint16(8, maxPairs, true);
    view.setUint16(10, mtu, true);
    view.setUint32(12, 0xffffffff, true);
    view.setUint8(16, 0xff);
    this.registers = this.makeRegisters();
    this.page = mapAnonymous(BAR_SIZE);
    this.clear();
  }

  private clear(): void {
    const count = 2 * this.maxPairs + 1;
    this.queues = Array.from({ length: count }, () => ({
      size: this.queueSize,
      vector: NO_VECTOR,
      enabled: false,
      desc: 0,
      avail: 0,
      used: 0,
    }));
    this.configVector = NO_VECTOR;
    this.controlNext = 0;
  }

  get config(): ConfigSpace {
    this.capabilities.forEach(({ kind, bar, offset, length, multiplier }, index) => {
      const view = new DataView(this.configSpace.buffer, 0x40 + index * 20, 20);
      view.setUint8(0, 9);
      view.setUint8(2, multiplier === undefined ? 16 : 20);
      view.setUint8(3, kind);
      view.setUint8(4, bar);
      view.setUint32(8, offset, true);
      view.setUint32(12, length, true);
      if (multiplier !== undefined) view.setUint32(16, multiplier, true);
    });
    const view = new DataView(this.configSpace.buffer);
    return {
      read8: (at) => view.getUint8(at),
      read16: (at) => view.getUint16(at, true),
      read32: (at) => view.getUint32(at, true),
      write8: (at, value) => view.setUint8(at, value),
      write16: (at, value) => view.setUint16(at, value, true),
      write32: (at, value) => view.setUint32(at, value, true),
      capabilities: (id) => (id === 9 ? this.capabilities.map((_, index) => 0x40 + index * 20) : []),
    };
  }

  bar(index: number): Registers {
    if (index !== BAR) throw new Error(`no BAR ${index}`);
    return this.registers;
  }

  /** Plain memory: a lane that is given this, not `bar`, leaves its kicks there. */
  barConfig(_index: number): RegistersConfig {
    return { address: this.page, size: BAR_SIZE };
  }

  /** The doorbell of a queue in `barConfig`'s memory. */
  doorbell(queue: number): number {
    return new DataView(viewOf(this.page, 0, BAR_SIZE)).getUint16(NOTIFY + queue * 4, true);
  }

  allocate(size: number): DmaMemory {
    const memory = { address: mapAnonymous(size), iova: this.nextIova, size };
    // A hole behind each: what runs over is nowhere.
    this.nextIova += size + 65536;
    this.memory.push(memory);
    return memory;
  }

  enableInterrupts(count: number): number[] {
    if (this.eventFds.length > 0) throw new Error("enableInterrupts was called twice");
    this.eventFds = Array.from({ length: count }, () => eventFd());
    return this.eventFds;
  }

  unmaskIntx(): void {
    this.unmasked++;
  }

  setBusMaster(on: boolean): void {
    this.busMaster = on;
    if (on) this.masteredAt.push(this.status);
  }

  reset(): boolean {
    this.resets++;
    if (!this.functionReset) return false;
    this.status = 0;
    return true;
  }

  /** Gives everything back; lanes are closed before. */
  close(): void {
    for (const { address, size } of this.memory.splice(0)) unmap(address, size);
    for (const fd of this.eventFds.splice(0)) closeFd(fd);
    unmap(this.page, BAR_SIZE);
  }

  /** Ring `index` as ringyard's device side wants it told. */
  ring(index: number): RingConfig {
    const { size, desc, avail, used, vector, enabled } = this.queues[index];
    return { size, desc, avail, used, kickFd: -1, callFd: this.eventFds[vector] ?? -1, enabled };
  }

  /** Bytes at an IOVA; throws where the device reaches nothing. */
  at(iova: number, length: number): DataView<ArrayBuffer> {
    const found = this.memory.find((each) => iova >= each.iova && iova + length <= each.iova + each.size);
    if (found === undefined) throw new Error(`the device reaches nothing at 0x${iova.toString(16)}`);
    return new DataView(viewOf(found.address, iova - found.iova, length));
  }

  private get controlIndex(): number {
    return 2 * (hasFeature(this.driverFeatures, net.VIRTIO_NET_F_MQ) ? this.maxPairs : 1);
  }

  private kicked(queue: number): void {
    this.kicks.push(queue);
    if (queue === this.controlIndex && hasFeature(this.driverFeatures, net.VIRTIO_NET_F_CTRL_VQ)) this.serveControl();
  }

  private serveControl(): void {
    const { size, desc, avail, used } = this.queues[this.controlIndex];
    const availView = this.at(avail, 4 + size * 2);
    const usedView = this.at(used, 6 + size * 8);
    while (availView.getUint16(2, true) !== this.controlNext && this.ack >= 0) {
      const head = availView.getUint16(4 + (this.controlNext % size) * 2, true);
      const table = this.at(desc, size * 16);
      const address = (k: number) => table.getUint32(k * 16, true) + table.getUint32(k * 16 + 4, true) * 2 ** 32;
      const length = table.getUint32(head * 16 + 8, true);
      const next = table.getUint16(head * 16 + 14, true);
      const bytes = this.at(address(head), length);
      this.commands.push(Array.from({ length }, (_, index) => bytes.getUint8(index)));
      this.at(address(next), 1).setUint8(0, this.ack);
      usedView.setUint32(4 + (this.controlNext % size) * 8, head, true);
      usedView.setUint32(8 + (this.controlNext % size) * 8, 1, true);
      this.controlNext = (this.controlNext + 1) & 0xffff;
      usedView.setUint16(2, this.controlNext, true);
    }
    // avail_event: the next one is announced.
    if (hasFeature(this.driverFeatures, VIRTIO_RING_F_EVENT_IDX)) {
      usedView.setUint16(4 + size * 8, this.controlNext, true);
    }
  }

  private makeRegisters(): Registers {
    const read = (offset: number, size: number): number => {
      if (this.gone) return 2 ** (size * 8) - 1;
      if (offset >= DEVICE && offset < NOTIFY) {
        return [0, 1, 2, 3]
          .slice(0, size)
          .reduce((sum, k) => sum + this.config8[offset - DEVICE + k] * 2 ** (8 * k), 0);
      }
      if (offset === ISR) {
        const { isr } = this;
        this.isr = 0;
        return isr;
      }
      return this.readCommon(offset);
    };
    const write = (offset: number, value: number): void => {
      if (this.gone) return;
      if (offset >= NOTIFY) this.kicked(value);
      else if (offset < ISR) this.writeCommon(offset, value);
    };
    return {
      size: BAR_SIZE,
      read8: (offset) => read(offset, 1),
      read16: (offset) => read(offset, 2),
      read32: (offset) => read(offset, 4),
      write8: write,
      write16: write,
      write32: write,
    };
  }

  private readCommon(offset: number): number {
    const queue = this.queues[this.select.queue];
    switch (offset) {
      case 4:
        return this.select.feature === 0 ? this.offered.lo : this.offered.hi;
      case 16:
        return this.configVector;
      case 18:
        return this.queues.length;
      case 20:
        return this.status;
      case 21:
        if (this.restless > 0) {
          this.restless--;
          this.generation = (this.generation + 1) & 0xff;
          this.config8[5]++;
        }
        return this.generation;
      case 24:
        return queue?.size ?? 0;
      case 26:
        return queue.vector;
      case 28:
        return queue.enabled ? 1 : 0;
      case 30:
        return this.select.queue;
      default:
        throw new Error(`common configuration has no register to read at ${offset}`);
    }
  }

  private writeCommon(offset: number, value: number): void {
    const queue = this.queues[this.select.queue];
    const vector = value < Math.min(this.vectorLimit, this.eventFds.length) ? value : NO_VECTOR;
    if (offset === 0) this.select.feature = value;
    else if (offset === 8) this.select.driverFeature = value;
    else if (offset === 12) this.driverFeatures[this.select.driverFeature === 0 ? "lo" : "hi"] = value >>> 0;
    else if (offset === 16) this.configVector = vector;
    else if (offset === 20) this.writeStatus(value);
    else if (offset === 22) this.select.queue = value;
    else if (offset === 24) queue.size = value;
    else if (offset === 26) queue.vector = vector;
    else if (offset === 28) queue.enabled = value === 1;
    else if (offset >= 32 && offset < 56) this.writeAddress(queue, offset, value >>> 0);
    else throw new Error(`common configuration has no register to write at ${offset}`);
  }

  private writeAddress(queue: FakeQueue, offset: number, value: number): void {
    const field = (["desc", "avail", "used"] as const)[(offset - 32) >> 3];
    const high = (offset & 4) !== 0;
    queue[field] = high ? (queue[field] % 2 ** 32) + value * 2 ** 32 : value;
  }

  private writeStatus(value: number): void {
    this.statuses.push(value);
    if (value === 0) {
      if (this.stuckReset) return;
      this.status = 0;
      this.clear();
      return;
    }
    this.status = this.refuseFeatures ? value & ~net.VIRTIO_CONFIG_S_FEATURES_OK : value;
  }
}
