// The registers of a virtio device on PCI, as words of the protocol: status, features, configuration, queues (virtio 1.2,
// 4.1.4.3). Each field is accessed at its own width; 64-bit ones as two halves (4.1.3.1). Nothing here knows networks.
//
//   status   0 --reset--> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK       NEEDS_RESET, FAILED: the device gave up
//
// A device that is gone reads as ones: every wait ends. Control thread, cold.

import { RingyardError } from "../../../core/errors.ts";
import { struct_virtio_pci_common_cfg, VIRTIO_MSI_NO_VECTOR } from "../../../uapi/virtio_pci.ts";
import type { DriverQueueConfig } from "../../../virtio/driver-queue.ts";
import { driverQueueLayout } from "../../../virtio/driver-queue.ts";
import type { Features } from "../../../virtio/features.ts";
import type { PciFunction } from "../nic.ts";
import type { Registers } from "../registers.ts";
import { findStructures, notifyOffset, type VirtioStructures } from "./structures.ts";

const AT = struct_virtio_pci_common_cfg.fields;
const GONE = 0xff;
/** A reset may have to wait for what is under way (4.1.4.3.2 sets no limit); QEMU's is immediate. */
const RESET_LIMIT_MS = 1000;
/** A configuration that changes faster than it is read is read torn at last. */
const CONFIG_TRIES = 16;

export class VirtioTransport {
  readonly structures: VirtioStructures;
  private readonly common: Registers;
  private readonly base: number;

  /** Throws RingyardError UNSUPPORTED for a device without the modern interface. */
  constructor(private readonly device: PciFunction) {
    this.structures = findStructures(device);
    this.common = device.bar(this.structures.common.bar);
    this.base = this.structures.common.offset;
  }

  get status(): number {
    return this.common.read8(this.base + AT.device_status[0]) & 0xff;
  }

  /** Whether the registers answer at all. */
  get present(): boolean {
    return this.status !== GONE;
  }

  addStatus(bits: number): void {
    this.common.write8(this.base + AT.device_status[0], this.status | bits);
  }

  /** Resets the device: it touches no queue any more. Returns false where it does not confirm that in time. */
  reset(): boolean {
    this.common.write8(this.base + AT.device_status[0], 0);
    const deadline = performance.now() + RESET_LIMIT_MS;
    for (;;) {
      const status = this.status;
      if (status === 0 || status === GONE) return true;
      if (performance.now() > deadline) return false;
      Bun.sleepSync(1);
    }
  }

  readFeatures(): Features {
    const half = (select: number) => {
      this.common.write32(this.base + AT.device_feature_select[0], select);
      return this.common.read32(this.base + AT.device_feature[0]) >>> 0;
    };
    return { lo: half(0), hi: half(1) };
  }

  writeFeatures({ lo, hi }: Features): void {
    for (const [select, bits] of [lo, hi].entries()) {
      this.common.write32(this.base + AT.guest_feature_select[0], select);
      this.common.write32(this.base + AT.guest_feature[0], bits);
    }
  }

  get queueCount(): number {
    return this.common.read16(this.base + AT.num_queues[0]) & 0xffff;
  }

  /** Reads the device's configuration space consistently (2.5.1): `read` is called again while it changes under us. */
  readConfig<T>(read: (registers: Registers, base: number) => T): T {
    const { bar, offset } = this.structures.device;
    const registers = this.device.bar(bar);
    const generation = () => this.common.read8(this.base + AT.config_generation[0]);
    for (let tries = 1; ; tries++) {
      const before = generation();
      const value = read(registers, offset);
      if (generation() === before || tries === CONFIG_TRIES) return value;
    }
  }

  /** Which vector tells of changes of the configuration; false where the device cannot have it. */
  setConfigVector(vector: number): boolean {
    this.common.write16(this.base + AT.msix_config[0], vector);
    return (this.common.read16(this.base + AT.msix_config[0]) & 0xffff) === vector;
  }

  private select(queue: number): void {
    this.common.write16(this.base + AT.queue_select[0], queue);
  }

  /** The largest size of a queue; 0 where it does not exist. */
  queueSize(queue: number): number {
    this.select(queue);
    return this.common.read16(this.base + AT.queue_size[0]) & 0xffff;
  }

  /** Offset of a queue's doorbell in the notification BAR. Throws RingyardError PROTOCOL. */
  doorbellOffset(queue: number): number {
    this.select(queue);
    const offset = notifyOffset(this.structures, this.common.read16(this.base + AT.queue_notify_off[0]) & 0xffff);
    if (offset >= 0) return offset;
    throw new RingyardError("PROTOCOL", `NIC ${this.device.address}: the doorbell of queue ${queue} is in no register`);
  }

  /** Tells the device where a queue is, and enables it. Throws RingyardError SYSTEM where it has no such vector. */
  setQueue({ index, size, iova }: DriverQueueConfig, vector: number): void {
    const { common, base } = this;
    const layout = driverQueueLayout(size);
    this.select(index);
    common.write16(base + AT.queue_size[0], size);
    this.write64(AT.queue_desc_lo[0], iova + layout.desc);
    this.write64(AT.queue_avail_lo[0], iova + layout.avail);
    this.write64(AT.queue_used_lo[0], iova + layout.used);
    common.write16(base + AT.queue_msix_vector[0], vector);
    if (vector !== VIRTIO_MSI_NO_VECTOR && (common.read16(base + AT.queue_msix_vector[0]) & 0xffff) !== vector) {
      throw new RingyardError(
        "SYSTEM",
        `NIC ${this.device.address}: queue ${index} cannot have MSI-X vector ${vector}`,
      );
    }
    common.write16(base + AT.queue_enable[0], 1);
  }

  private write64(at: number, value: number): void {
    this.common.write32(this.base + at, value % 2 ** 32);
    this.common.write32(this.base + at + 4, Math.floor(value / 2 ** 32));
  }

  /** Reads and so clears the ISR status, which takes INTx back (4.1.4.5). */
  readIsr(): number {
    const { bar, offset } = this.structures.isr;
    return this.device.bar(bar).read8(offset) & 0xff;
  }
}
