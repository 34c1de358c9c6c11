// An initialised virtio NIC, control side: what the port asks and says while it runs. driver.ts makes it.
//
//   open (driver.ts)  DRIVER_OK, receive rings empty: nothing moves      start  buffers are shown
//   stop              device reset, bus master off, books given back: no memory is touched any more
//
// Virtio has no statistics of its own and no way to take the wire down; both are said as such. Control thread, cold.

import { RingyardError } from "../../../core/errors.ts";
import { formatMac, parseMac } from "../../../core/mac.ts";
import { closeFd, eventFd, signal } from "../../../sys/fd.ts";
import { unmap } from "../../../sys/memory.ts";
import * as net from "../../../uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../uapi/virtio_ring.ts";
import { DriverQueue, type DriverQueueConfig, driverBooksSize } from "../../../virtio/driver-queue.ts";
import { showBuffers } from "../../../virtio/driver-receive.ts";
import { type Features, featureNames, hasFeature, senderForms } from "../../../virtio/features.ts";
import type { Nic, NicLink, PciFunction } from "../nic.ts";
import type { Registers } from "../registers.ts";
import type { NetControl } from "./control-queue.ts";
import type { VirtioNicLaneConfig } from "./lane.ts";
import type { InterruptKind, VectorPlan } from "./plan.ts";
import type { VirtioTransport } from "./transport.ts";

const AT = net.struct_virtio_net_config.fields;
/** 5.1.4.2: any higher speed, any other duplex is unknown. */
const MAX_SPEED = 0x7fffffff;
const HALF_DUPLEX = 0;
/** 4.1.4.5: a queue has used buffers; the other bit is the configuration's. */
const ISR_QUEUE = 1;
const NO_LINK: NicLink = { up: false, speedMbps: 0, fullDuplex: false };
const GAVE_UP = net.VIRTIO_CONFIG_S_NEEDS_RESET | net.VIRTIO_CONFIG_S_FAILED;

export interface QueuePair {
  receive: DriverQueueConfig;
  transmit: DriverQueueConfig;
}

/** What driver.ts has made. */
export interface VirtioNicParts {
  device: PciFunction;
  transport: VirtioTransport;
  features: Features;
  pairs: QueuePair[];
  /** Null where the device has no control queue. */
  control: NetControl | null;
  /** Books of all queues, to be unmapped: address and size. */
  books: { address: number; size: number }[];
  vectors: VectorPlan;
  interrupts: InterruptKind;
  eventFds: number[];
  maxFrame: number;
  /** The device's own address, before it is told another. */
  mac: string;
}

export class VirtioNic implements Nic {
  readonly pairs: number;
  readonly maxFrame: number;
  readonly accepts: number;
  readonly managementVector: number;
  #mac: string;
  /** What the device was told; one that cannot be told takes everything. */
  #promisc = true;
  #relay = -1;
  #stopped = false;

  constructor(private readonly parts: VirtioNicParts) {
    this.pairs = parts.pairs.length;
    this.maxFrame = parts.maxFrame;
    this.accepts = senderForms(parts.features);
    this.managementVector = parts.vectors.management;
    this.#mac = parts.mac;
  }

  get mac(): string {
    return this.#mac;
  }

  private has(bit: number): boolean {
    return hasFeature(this.parts.features, bit);
  }

  /**
   * With INTx a lane is woken by the control thread, which handles the interrupt: one eventfd for both would lose wake-ups, since who
   * reads it first takes it from the other.
   */
  private relayFd(): number {
    if (this.#relay < 0) this.#relay = eventFd();
    return this.#relay;
  }

  lane(pair: number): VirtioNicLaneConfig {
    const { device, eventFds, features, interrupts, maxFrame, pairs, transport, vectors } = this.parts;
    const wakes = vectors.wakes(pair);
    const wakeFd = interrupts === "intx" ? this.relayFd() : (eventFds[wakes] ?? -1);
    return {
      driver: "virtio-nic",
      featuresLo: features.lo,
      featuresHi: features.hi,
      ...pairs[pair],
      wakeFd,
      maxFrame,
      registers: device.barConfig(transport.structures.notify.bar),
    };
  }

  start(): void {
    const { device, pairs, transport } = this.parts;
    const doorbell = device.bar(transport.structures.notify.bar);
    const eventIdx = this.has(VIRTIO_RING_F_EVENT_IDX);
    for (const { receive } of pairs) showBuffers(new DriverQueue(receive, eventIdx), doorbell);
  }

  link(): NicLink {
    const { device, interrupts, transport } = this.parts;
    if (this.#stopped || !transport.present) return NO_LINK;
    if (interrupts === "intx") {
      if ((transport.readIsr() & ISR_QUEUE) !== 0 && this.#relay >= 0) signal(this.#relay);
      device.unmaskIntx();
    }
    // 2.1.2: nothing moves any more.
    if ((transport.status & GAVE_UP) !== 0) return NO_LINK;
    return transport.readConfig((registers, base) => this.readLink(registers, base));
  }

  private readLink(registers: Registers, base: number): NicLink {
    const status = this.has(net.VIRTIO_NET_F_STATUS) ? registers.read16(base + AT.status[0]) : net.VIRTIO_NET_S_LINK_UP;
    const says = this.has(net.VIRTIO_NET_F_SPEED_DUPLEX);
    const speed = says ? registers.read32(base + AT.speed[0]) >>> 0 : 0;
    return {
      up: (status & net.VIRTIO_NET_S_LINK_UP) !== 0,
      speedMbps: speed > MAX_SPEED ? 0 : speed,
      fullDuplex: !(says && registers.read8(base + AT.duplex[0]) === HALF_DUPLEX),
    };
  }

  counters(): Record<string, number> {
    return {};
  }

  /** Virtio has no command for it: the port drops what comes. */
  setLink(_up: boolean): void {}

  setPromisc(on: boolean): void {
    if (!this.has(net.VIRTIO_NET_F_CTRL_RX)) return;
    const { control } = this.parts;
    const kind = net.VIRTIO_NET_CTRL_RX;
    control?.command("promiscuous mode", kind, net.VIRTIO_NET_CTRL_RX_PROMISC, [on ? 1 : 0]);
    this.#promisc = on;
    // A switch has listeners of any group behind it.
    if (!on) control?.command("all groups", kind, net.VIRTIO_NET_CTRL_RX_ALLMULTI, [1]);
  }

  setMac(mac: string): void {
    const { lo, hi } = parseMac(mac);
    const text = formatMac(lo, hi);
    if (text === this.#mac) return;
    if (!this.has(net.VIRTIO_NET_F_CTRL_MAC_ADDR)) {
      throw new RingyardError(
        "UNSUPPORTED",
        `NIC ${this.parts.device.address} keeps its own MAC address`,
        "leave out mac=",
      );
    }
    const bytes = [lo, lo >>> 8, lo >>> 16, lo >>> 24, hi, hi >>> 8].map((byte) => byte & 0xff);
    this.parts.control?.command(
      `MAC address ${text}`,
      net.VIRTIO_NET_CTRL_MAC,
      net.VIRTIO_NET_CTRL_MAC_ADDR_SET,
      bytes,
    );
    this.#mac = text;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const { books, device, transport } = this.parts;
    try {
      const quiet = transport.reset();
      device.setBusMaster(false);
      // What does not confirm its reset is reset as a whole.
      if (!quiet) device.reset();
    } finally {
      for (const { address, size } of books.splice(0)) unmap(address, size);
      closeFd(this.#relay);
      this.#relay = -1;
    }
  }

  details(): Record<string, string | number | boolean> {
    const { features, pairs, transport } = this.parts;
    const status = this.#stopped ? 0 : transport.status;
    return {
      features: featureNames(features).join(" "),
      rx_descriptors: pairs[0].receive.size,
      tx_descriptors: pairs[0].transmit.size,
      rx_buffer: pairs[0].receive.chunk,
      tx_buffer: pairs[0].transmit.chunk,
      promisc: this.#promisc,
      // A device that is not there any more has all bits set.
      needs_reset: status !== 0xff && (status & net.VIRTIO_CONFIG_S_NEEDS_RESET) !== 0,
    };
  }
}

/** Size of the books of a queue. */
export function booksOf({ books, size }: DriverQueueConfig): { address: number; size: number } {
  return { address: books, size: driverBooksSize(size) };
}
