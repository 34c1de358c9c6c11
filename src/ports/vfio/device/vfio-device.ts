// A PCI device that this process drives, whichever door it came through: its BARs, configuration space, interrupts and memory.
//
//   regions 0..5 BARs | 7 configuration space        irqs 0..2 INTx, MSI, MSI-X | 3 error | 4 request
//   open: bus master off ... close: interrupts off, bus master off, reset, memory unmapped, file closed
//
// The kernel does the same when a process dies (vfio_pci_core_disable), so a crash leaves no DMA running. Control thread;
// workers have `barConfig`, eventfds and IOVAs as plain numbers.

import { RingyardError } from "../../../core/errors.ts";
import type { DmaMemory, DmaSpace } from "../../../mem/dma.ts";
import { ENOTTY, SysError } from "../../../sys/errno.ts";
import { mapAnonymous, PAGE_SIZE, unmap } from "../../../sys/memory.ts";
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_DEVICE_ID, PCI_VENDOR_ID } from "../../../uapi/pci_regs.ts";
import {
  struct_vfio_device_info,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_RESET,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "../../../uapi/vfio.ts";
import type { PciFunction } from "../nic.ts";
import type { Registers, RegistersConfig } from "../registers.ts";
import { Bars } from "./bars.ts";
import { VfioConfigSpace } from "./config-space.ts";
import type { OpenedDevice } from "./doors.ts";
import { type InterruptKind, Interrupts, type VectorKind } from "./interrupts.ts";
import type { Machine } from "./machine.ts";
import type { PciSysfs } from "./pci-sysfs.ts";
import { readRegion } from "./region.ts";
import { KernelStruct } from "./struct.ts";

export class VfioDevice implements PciFunction {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  readonly config: VfioConfigSpace;
  private readonly bars: Bars;
  private readonly interrupts: Interrupts;
  private readonly resets: boolean;
  private readonly memory: DmaMemory[] = [];
  private closed = false;

  /** Takes over `opened`, unless it throws (SysError, RingyardError). */
  constructor(
    private readonly machine: Machine,
    private readonly sysfs: PciSysfs,
    private readonly opened: OpenedDevice,
  ) {
    const { fd } = opened;
    this.address = sysfs.address;
    const info = new KernelStruct(struct_vfio_device_info);
    machine.ioctl(fd, VFIO_DEVICE_GET_INFO, info.bytes, "VFIO_DEVICE_GET_INFO");
    const flags = info.get("flags");
    if ((flags & VFIO_DEVICE_FLAGS_PCI) === 0) throw new RingyardError("UNSUPPORTED", `${this.address} is not on PCI`);
    this.resets = (flags & VFIO_DEVICE_FLAGS_RESET) !== 0;
    const region = readRegion(machine, fd, VFIO_PCI_CONFIG_REGION_INDEX);
    this.config = new VfioConfigSpace(fd, region.offset, region.size);
    this.vendor = this.config.read16(PCI_VENDOR_ID);
    this.device = this.config.read16(PCI_DEVICE_ID);
    this.bars = new Bars(machine, fd, this.address);
    this.setBusMaster(false);
    this.interrupts = new Interrupts(machine, fd, this.address);
  }

  /** The address space that its memory is in; shared with the other devices of the door. */
  get space(): DmaSpace {
    return this.opened.space;
  }

  /** Of the device's file, which is the device's own to close. */
  get fd(): number {
    return this.opened.fd;
  }

  /** Its id for /dev/iommu; undefined by the older door. */
  get iommuId(): number | undefined {
    return this.opened.iommuId;
  }

  /** An eventfd that tells of an uncorrectable error, or -1. */
  get errorFd(): number {
    return this.interrupts.errorFd;
  }

  /** An eventfd by which the kernel asks for the device (hot-unplug, unbind): it waits until this is closed. Or -1. */
  get requestFd(): number {
    return this.interrupts.requestFd;
  }

  bar(index: number): Registers {
    return this.bars.registers(index);
  }

  barConfig(index: number): RegistersConfig {
    return this.bars.config(index);
  }

  get vectors(): number {
    return this.interrupts.vectors;
  }

  get interruptKind(): InterruptKind {
    return this.interrupts.kind;
  }

  /** `only` asks for one kind and no other. */
  enableInterrupts(count: number, only?: VectorKind): number[] {
    return this.interrupts.enable(count, only);
  }

  /** How many are enabled. */
  get interruptCount(): number {
    return this.interrupts.fds.length;
  }

  /** The eventfd of an enabled vector, or -1. */
  interruptFd(vector: number): number {
    return this.interrupts.fds[vector] ?? -1;
  }

  /** Signals a vector's eventfd as the device would. */
  triggerInterrupt(vector: number): void {
    this.interrupts.trigger(vector);
  }

  /** A vector that is silent signals nobody; the device keeps sending. */
  silenceInterrupt(vector: number, silent: boolean): void {
    this.interrupts.setSilent(vector, silent);
  }

  maskIntx(): void {
    this.interrupts.maskIntx();
  }

  unmaskIntx(): void {
    this.interrupts.unmaskIntx();
  }

  setBusMaster(on: boolean): void {
    const command = this.config.read16(PCI_COMMAND);
    this.config.write16(PCI_COMMAND, on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
  }

  reset(): boolean {
    if (!this.resets) return false;
    try {
      this.machine.ioctlValue(this.opened.fd, VFIO_DEVICE_RESET, 0, "VFIO_DEVICE_RESET");
      return true;
    } catch (error) {
      if (error instanceof SysError && error.errno === ENOTTY) return false;
      if (!(error instanceof SysError)) throw error;
      throw new RingyardError("SYSTEM", `${this.address} cannot be reset (${error.message})`, "dmesg says more");
    }
  }

  allocate(size: number): DmaMemory {
    if (this.closed) throw new RingyardError("BAD_REQUEST", `${this.address} is closed`);
    const rounded = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    const address = mapAnonymous(rounded);
    try {
      const memory = { address, iova: this.space.map(address, rounded), size: rounded };
      this.memory.push(memory);
      return memory;
    } catch (error) {
      unmap(address, rounded);
      throw error;
    }
  }

  /** For `port show`. */
  details(): Record<string, string | number | boolean | string[]> {
    const refusals = this.bars.refusals();
    return {
      iommu: this.space.door,
      iommu_group: Number(this.sysfs.group),
      interrupts: this.interruptKind,
      dma_mapped: this.space.mappedSize,
      ...(refusals.length === 0 ? {} : { registers_unmapped: refusals }),
    };
  }

  /**
   * Silences the device, takes its memory away from it and gives everything back. Lanes are closed by then. For a device that was
   * pulled out, too. Idempotent.
   */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.interrupts.close();
    this.setBusMaster(false);
    quietly(() => this.reset());
    this.config.close();
    this.bars.close();
    for (const { address, iova, size } of this.memory.splice(0)) {
      quietly(() => this.space.unmap(iova));
      unmap(address, size);
    }
    this.opened.release();
  }
}

/** What the kernel refuses of a close it does itself with the last close of the file; the rest of the close has to go on. */
function quietly(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof RingyardError)) throw error;
  }
}
