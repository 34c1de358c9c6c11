// What a NIC driver is: one folder for each family of devices, behind this interface.
//
//   kind.ts, port.ts (control thread)        driver folder                     worker (hot)
//   open device, DMA space ----------------> NicDriver.open() -> Nic
//   openLane(pair, nic.lane(pair)) --------------------------------mailbox---> the folder's LaneFactory -> Lane
//   every second, and at each interrupt of `managementVector`: nic.link(), nic.counters()
//
// A driver keeps nothing of the machine: the device (vfio-device.ts) and the memory (mem/dma.ts) are handed in, and unit tests
// hand in fakes. A device is not trusted: what it writes into rings is checked as a guest's would be.

import type { DmaMemory } from "../../mem/dma.ts";
import type { LaneConfig } from "../port.ts";
import type { Registers, RegistersConfig } from "./registers.ts";

export interface NicOptions {
  /** Queue pairs wanted; a NIC with fewer says so in `pairs`. */
  queues: number;
  /** Descriptors of each ring: powers of two within what the driver can do. */
  rxDescriptors: number;
  txDescriptors: number;
  /** The NIC's own where absent. */
  mac?: string;
  /** Bytes of an Ethernet payload, 1500 where absent; more means jumbo frames. */
  mtu?: number;
  /** Whether every frame on the wire is taken, which a switch wants: the default of the port. */
  promisc: boolean;
  /** OFFLOAD_* forms (mem/batch.ts) that the port may use; the driver takes those that the device can do. */
  offload: number;
}

/** What a driver needs of the device; vfio-device.ts is the real one. Control thread. */
export interface PciFunction {
  /** `0000:03:00.0` */
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  /** Registers of BAR `index`, mapped where the kernel lets us; the same object at each call. Throws RingyardError. */
  bar(index: number): Registers;
  /** The same for a worker. */
  barConfig(index: number): RegistersConfig;
  readonly config: ConfigSpace;
  /** Zeroed memory, pinned, mapped for the device, page-aligned; freed with the device, which is reset before. */
  allocate(size: number): DmaMemory;
  /** MSI-X (or MSI, INTx) vectors that there are. */
  readonly vectors: number;
  /** Makes `count` vectors ready and returns an eventfd for each; called once. INTx counts as one vector. */
  enableInterrupts(count: number): number[];
  readonly interruptKind: "msix" | "msi" | "intx" | "none";
  /** INTx only: the kernel masks the line when it signals, and the handler unmasks it here. */
  unmaskIntx(): void;
  setBusMaster(on: boolean): void;
  /** Function-level reset, where the device has one: false where not. */
  reset(): boolean;
}

/** PCI configuration space. Offsets are bytes. */
export interface ConfigSpace {
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  write32(offset: number, value: number): void;
  /** Offsets of each capability with this id (PCI_CAP_ID_*), in the order of the list. */
  capabilities(id: number): number[];
}

export interface NicDriver {
  /** As `nic list` and `port show` print it. */
  readonly name: string;
  /** Whether it drives this device, by PCI ids. */
  matches(vendor: number, device: number): boolean;
  /** Resets and initialises the device; nothing moves before `start`. Throws RingyardError, leaving the device silent. */
  open(device: PciFunction, options: NicOptions): Promise<Nic>;
}

export interface NicLink {
  up: boolean;
  /** 0 where the device does not say. */
  speedMbps: number;
  fullDuplex: boolean;
}

/** An initialised device. Control thread. */
export interface Nic {
  readonly mac: string;
  readonly pairs: number;
  /** Longest frame that it sends and takes, without FCS. */
  readonly maxFrame: number;
  /** OFFLOAD_* forms that may be handed to its transmit queues. */
  readonly accepts: number;
  /** Index of the vector that tells of link changes and the like, or -1 where the port has to look by itself. */
  readonly managementVector: number;
  /** What the worker needs for a queue pair: plain data. */
  lane(pair: number): LaneConfig;
  /** Rings on, interrupts as the lanes arm them. Called when every lane is open. */
  start(): void;
  /** Handles the management interrupt, and reads the link. */
  link(): NicLink;
  /** The hardware's statistics since `open`, by the names of its data sheet in snake_case: `rx_missed`, `rx_crc_errors`, … */
  counters(): Record<string, number>;
  /** Administratively down: the wire's other end sees the link go, where the device can do that. */
  setLink(up: boolean): void;
  setPromisc(on: boolean): void;
  setMac(mac: string): void;
  /** Stops all DMA of the device: when this returns it touches no memory any more. Lanes are closed by then. Idempotent. */
  stop(): void;
  /** Facts of its own for `port show`. */
  details(): Record<string, string | number | boolean>;
}
