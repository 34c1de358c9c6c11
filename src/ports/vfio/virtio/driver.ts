// Taking a virtio-net device into use (virtio 1.2, 3.1.1): reset, features, queues, then a running device whose receive rings
// are still empty, so that nothing moves before `start`.
//
//   function reset -> reset -> bus master -> ACKNOWLEDGE, DRIVER -> features -> FEATURES_OK? -> vectors, queues -> DRIVER_OK -> commands
//
// Whatever fails leaves the device reset, off the bus, and nothing mapped. Control thread, cold.

import { randomBytes } from "node:crypto";
import { RingyardError } from "../../../core/errors.ts";
import { formatMac } from "../../../core/mac.ts";
import { unmap } from "../../../sys/memory.ts";
import * as net from "../../../uapi/virtio_net.ts";
import { VIRTIO_MSI_NO_VECTOR } from "../../../uapi/virtio_pci.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../uapi/virtio_ring.ts";
import { DriverQueue, type DriverQueueConfig, driverQueueSize, mapBooks } from "../../../virtio/driver-queue.ts";
import { prepareReceive } from "../../../virtio/driver-receive.ts";
import { prepareTransmit } from "../../../virtio/driver-transmit.ts";
import { type Features, hasFeature, receiverForms, senderForms } from "../../../virtio/features.ts";
import type { Nic, NicDriver, NicOptions, PciFunction } from "../nic.ts";
import type { Registers } from "../registers.ts";
import { CONTROL_CHUNK, CONTROL_SIZE, NetControl } from "./control-queue.ts";
import { negotiate } from "./negotiate.ts";
import { booksOf, type QueuePair, VirtioNic, type VirtioNicParts } from "./nic.ts";
import { chunkSize, longestFrame, planVectors, ringSize, wholeChunkSize } from "./plan.ts";
import { VirtioTransport } from "./transport.ts";

/** 4.1.2: Red Hat's vendor id; 0x1040 and the device type, or the transitional id of a network device. */
const VENDOR = 0x1af4;
const MODERN = 0x1040 + net.VIRTIO_ID_NET;
const TRANSITIONAL = 0x1000;
const AT = net.struct_virtio_net_config.fields;

export const virtioNetDriver: NicDriver = {
  name: "virtio-net-pci",
  matches: (vendor, device) => vendor === VENDOR && (device === MODERN || device === TRANSITIONAL),
  async open(device, options) {
    const transport = new VirtioTransport(device);
    const opening = new Opening(device, options, transport);
    try {
      return opening.run();
    } catch (error) {
      opening.undo();
      throw error;
    }
  },
};

/** One device on its way to DRIVER_OK. */
class Opening {
  private readonly books: VirtioNicParts["books"] = [];
  private features: Features = { lo: 0, hi: 0 };

  constructor(
    private readonly device: PciFunction,
    private readonly options: NicOptions,
    private readonly transport: VirtioTransport,
  ) {}

  run(): Nic {
    const { device, options, transport } = this;
    this.acknowledge();
    let vectors = planVectors(device.interruptKind, device.vectors, this.negotiateFeatures());
    const pairs = vectors.pairs;
    const limit = this.deviceMtu();
    const maxFrame = longestFrame(device.address, options.mtu, limit);
    transport.writeFeatures(this.features);
    transport.addStatus(net.VIRTIO_CONFIG_S_FEATURES_OK);
    if ((transport.status & net.VIRTIO_CONFIG_S_FEATURES_OK) === 0) {
      throw new RingyardError("UNSUPPORTED", `NIC ${device.address} does not accept the features it offered`);
    }
    const eventFds = vectors.count === 0 ? [] : device.enableInterrupts(vectors.count);
    // Without MSI-X there are no vectors to name.
    if (device.interruptKind === "msix" && !transport.setConfigVector(vectors.config)) {
      vectors = { ...vectors, management: -1 };
    }
    const queues = Array.from({ length: pairs }, (_, pair) => this.openPair(pair, maxFrame, vectors.ofPair(pair)));
    const control = this.openControl();
    transport.addStatus(net.VIRTIO_CONFIG_S_DRIVER_OK);
    const nic = new VirtioNic({
      device,
      transport,
      features: this.features,
      pairs: queues,
      control,
      books: this.books,
      vectors,
      interrupts: device.interruptKind,
      eventFds,
      maxFrame,
      mac: this.readMac(),
    });
    this.command(nic, control);
    return nic;
  }

  /** What the device is told once it runs. */
  private command(nic: VirtioNic, control: NetControl | null): void {
    const { options } = this;
    if (nic.pairs > 1) {
      const count = [nic.pairs & 0xff, nic.pairs >> 8];
      control?.command(`${nic.pairs} queue pairs`, net.VIRTIO_NET_CTRL_MQ, net.VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, count);
    }
    nic.setPromisc(options.promisc);
    if (options.mac !== undefined) nic.setMac(options.mac);
  }

  private acknowledge(): void {
    const { device, transport } = this;
    device.reset();
    if (!transport.present)
      throw new RingyardError("SYSTEM", `NIC ${device.address} does not answer: its registers are gone`);
    if (!transport.reset()) throw new RingyardError("SYSTEM", `NIC ${device.address} does not come out of its reset`);
    // Not before: one without a function reset may still have the rings of a driver that was killed.
    device.setBusMaster(true);
    transport.addStatus(net.VIRTIO_CONFIG_S_ACKNOWLEDGE);
    transport.addStatus(net.VIRTIO_CONFIG_S_DRIVER);
  }

  /** Chooses features; returns how many pairs the device has of those wanted. */
  private negotiateFeatures(): number {
    const { device, options, transport } = this;
    const offered = transport.readFeatures();
    const most = planVectors(device.interruptKind, device.vectors, options.queues).pairs;
    this.features = negotiate(device.address, offered, options.offload, most);
    if (!hasFeature(this.features, net.VIRTIO_NET_F_MQ)) return 1;
    return Math.max(1, Math.min(most, this.maxPairs()));
  }

  private maxPairs(): number {
    return this.transport.readConfig((registers, base) => registers.read16(base + AT.max_virtqueue_pairs[0]) & 0xffff);
  }

  /** The device's largest MTU; one that cannot be (5.1.4.1: 68 to 65535) is not taken. */
  private deviceMtu(): number | undefined {
    if (!hasFeature(this.features, net.VIRTIO_NET_F_MTU)) return undefined;
    const mtu = this.transport.readConfig((registers, base) => registers.read16(base + AT.mtu[0]) & 0xffff);
    if (mtu >= 68) return mtu;
    this.features = { ...this.features, lo: (this.features.lo & ~(1 << net.VIRTIO_NET_F_MTU)) >>> 0 };
    return undefined;
  }

  private openPair(pair: number, maxFrame: number, vector: number): QueuePair {
    const { features, options } = this;
    const receiveIndex = pair * 2;
    const receiveSize = this.sizeOf(receiveIndex, options.rxDescriptors);
    const transmitSize = this.sizeOf(receiveIndex + 1, options.txDescriptors);
    const merged = hasFeature(features, net.VIRTIO_NET_F_MRG_RXBUF);
    const receiveChunk = merged ? chunkSize(receiveSize, maxFrame, receiverForms(features)) : wholeChunkSize(maxFrame);
    const receive = this.allocate(receiveIndex, receiveSize, receiveChunk);
    const transmit = this.allocate(
      receiveIndex + 1,
      transmitSize,
      chunkSize(transmitSize, maxFrame, senderForms(features)),
    );
    const eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    prepareReceive(new DriverQueue(receive, eventIdx));
    prepareTransmit(new DriverQueue(transmit, eventIdx));
    this.transport.setQueue(receive, vector);
    this.transport.setQueue(transmit, vector);
    return { receive, transmit };
  }

  private openControl(): NetControl | null {
    const { device, features, transport } = this;
    if (!hasFeature(features, net.VIRTIO_NET_F_CTRL_VQ)) return null;
    // 5.1.2: behind all pairs that there could be, where MQ is negotiated.
    const index = 2 * (hasFeature(features, net.VIRTIO_NET_F_MQ) ? this.maxPairs() : 1);
    const config = this.allocate(index, this.sizeOf(index, CONTROL_SIZE), CONTROL_CHUNK);
    transport.setQueue(config, VIRTIO_MSI_NO_VECTOR);
    const doorbell: Registers = device.bar(transport.structures.notify.bar);
    return new NetControl(device.address, config, doorbell, hasFeature(features, VIRTIO_RING_F_EVENT_IDX));
  }

  /** Throws RingyardError PROTOCOL where the device has no such queue. */
  private sizeOf(index: number, wanted: number): number {
    const { device, transport } = this;
    const size = index < transport.queueCount ? ringSize(wanted, transport.queueSize(index)) : 0;
    if (size < 2)
      throw new RingyardError("PROTOCOL", `NIC ${device.address} has no queue ${index}, which its features promise`);
    return size;
  }

  private allocate(index: number, size: number, chunk: number): DriverQueueConfig {
    const notifyOffset = this.transport.doorbellOffset(index);
    const { address, iova } = this.device.allocate(driverQueueSize(size, chunk));
    const queue: DriverQueueConfig = { index, size, chunk, address, iova, books: mapBooks(size), notifyOffset };
    this.books.push(booksOf(queue));
    return queue;
  }

  private readMac(): string {
    const bytes = hasFeature(this.features, net.VIRTIO_NET_F_MAC)
      ? this.transport.readConfig((registers, base) =>
          Array.from({ length: 6 }, (_, index) => registers.read8(base + AT.mac[0] + index) & 0xff),
        )
      : // 5.1.4.2: a locally administered one, of no group.
        [...randomBytes(6)].map((byte, index) => (index === 0 ? (byte & 0xfc) | 2 : byte));
    const [a, b, c, d, e, f] = bytes;
    return formatMac(a | (b << 8) | (c << 16) | (d << 24), e | (f << 8));
  }

  undo(): void {
    const { device, transport } = this;
    if (!transport.reset()) device.reset();
    device.setBusMaster(false);
    for (const { address, size } of this.books.splice(0)) unmap(address, size);
  }
}
