// What both families have in common, control side: the order of opening, starting and stopping, addresses, filters, the link.
//
//   open: reset -> bus master -> address -> memory and rings -> interrupts    start: receiver and transmitter on
//   stop: lanes are closed; silence, reset, memory given back
//
// A subclass says where its queues' registers are, how a queue is switched on and how interrupts find their vectors.
// Control thread.

import { RingyardError } from "../../../core/errors.ts";
import { formatMac, isGroupMac, parseMac } from "../../../core/mac.ts";
import { OFFLOAD_CSUM, OFFLOAD_TSO4, OFFLOAD_TSO6 } from "../../../mem/batch.ts";
import { closeFd, eventFd, signal } from "../../../sys/fd.ts";
import type { LaneConfig } from "../../port.ts";
import type { Nic, NicLink, NicOptions, PciFunction } from "../nic.ts";
import type { Registers } from "../registers.ts";
import type { InterruptRegisters } from "./lane.ts";
import { MAX_DESCRIPTORS, MIN_DESCRIPTORS, type QueueLayout } from "./layout.ts";
import { powerPhy } from "./phy.ts";
import { QueueMemory } from "./queue-memory.ts";
import {
  E1000_CTRL,
  E1000_CTRL_ASDE,
  E1000_CTRL_EXT,
  E1000_CTRL_EXT_DRV_LOAD,
  E1000_CTRL_FRCDPX,
  E1000_CTRL_FRCSPD,
  E1000_CTRL_GIO_MASTER_DISABLE,
  E1000_CTRL_RFCE,
  E1000_CTRL_SLU,
  E1000_CTRL_TFCE,
  E1000_CTRL_VME,
  E1000_MTA,
  E1000_MTA_LENGTH,
  E1000_RAH,
  E1000_RAH_AV,
  E1000_RAL,
  E1000_RCTL,
  E1000_RCTL_BAM,
  E1000_RCTL_EN,
  E1000_RCTL_LPE,
  E1000_RCTL_MPE,
  E1000_RCTL_SECRC,
  E1000_RCTL_SZ_2048,
  E1000_RCTL_SZ_4096,
  E1000_RCTL_UPE,
  E1000_STATUS,
  E1000_STATUS_FD,
  E1000_STATUS_LU,
  E1000_STATUS_SPEED_MASK,
  E1000_STATUS_SPEED_SHIFT,
  E1000_TCTL,
  E1000_TCTL_COLD_63,
  E1000_TCTL_CT_15,
  E1000_TCTL_EN,
  E1000_TCTL_PSP,
  E1000_TCTL_RTLC,
} from "./registers.ts";
import { GONE, quiesce, resetDevice, resetNow } from "./reset.ts";
import { Statistics } from "./statistics.ts";
import { TransmitWatch } from "./stillness.ts";

/** Ethernet and two VLAN tags. */
const FRAME_OVERHEAD = 14 + 8;
const SPEEDS_MBPS = [10, 100, 1000, 1000];
/** What both can do for a sender. Not TSO with ECN: the devices would copy CWR into every segment. */
const OFFLOADS = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6;
/** Interrupts of one vector are at least this far apart. A sleeping worker asks for one at a time, so this bounds wake-ups. */
export const MODERATION_US = 20;

/** What a lane needs to know of its queue. */
export interface QueueRegisters {
  rxTail: number;
  txTail: number;
  interrupt: InterruptRegisters;
  wakeFd: number;
}

export abstract class IntelNic implements Nic {
  abstract readonly pairs: number;
  abstract readonly managementVector: number;
  readonly accepts: number;
  readonly maxFrame: number;
  protected readonly registers: Registers;
  protected readonly queues: QueueMemory[] = [];
  protected readonly layout: QueueLayout;
  private statistics: Statistics | undefined;
  private transmitWatch: TransmitWatch | undefined;
  private address = "";
  private promisc: boolean;
  private administrativelyUp = true;
  private running = false;
  private stopped = false;
  /** Wakes the lane where it has no vector of its own. */
  private relay = -1;

  protected constructor(
    protected readonly device: PciFunction,
    protected readonly options: NicOptions,
    /** Whether descriptors are the 82576's. */
    private readonly advanced: boolean,
    mtuLimit: number,
  ) {
    const { mtu = 1500, rxDescriptors, txDescriptors } = options;
    if (mtu > mtuLimit) {
      throw new RingyardError("BAD_OPTION", `${device.address}: mtu ${mtu} is too much`, `at most ${mtuLimit}`);
    }
    this.registers = device.bar(0);
    this.accepts = OFFLOADS & options.offload;
    this.maxFrame = mtu + FRAME_OVERHEAD;
    this.promisc = options.promisc;
    this.layout = {
      rxCount: descriptors(device.address, "rxdesc", rxDescriptors),
      txCount: descriptors(device.address, "txdesc", txDescriptors),
      rxBufferSize: this.maxFrame > 2048 ? 4096 : 2048,
    };
  }

  get mac(): string {
    return this.address;
  }

  /** Where queue pair `pair` is told of descriptors, and what interrupts for it. */
  protected abstract queue(pair: number): QueueRegisters;
  /** Writes the rings' places and sizes, vectors, hashing: all that can be said before anything moves. */
  protected abstract program(): void;
  /** Switches the queues on; the receiver is on already where `receiving`. */
  protected abstract enableQueues(receiving: boolean): void;
  /** Clears the management interrupt. */
  protected abstract acknowledge(): void;

  /**
   * Without a vector of its own, a lane is woken by the control thread, which handles the interrupt: one eventfd for both would
   * lose wake-ups, since who reads it first takes it from the other.
   */
  protected relayFd(): number {
    if (this.relay < 0) this.relay = eventFd();
    return this.relay;
  }

  protected wakeLane(): void {
    if (this.relay >= 0) signal(this.relay);
  }

  /** Brings the device up to where lanes can be opened. Throws RingyardError, leaving the device silent. */
  async bringUp(): Promise<void> {
    try {
      if (!(await resetDevice(this.registers))) {
        const next = "power-cycle the machine or the slot";
        throw new RingyardError("SYSTEM", `${this.device.address} does not answer after a reset`, next);
      }
      // Not before: a driver that was killed leaves it receiving, into memory that is gone, and the kernel's reset need not reach so far
      // (QEMU's 82574L comes back from D3 as it went).
      this.device.setBusMaster(true);
      this.claim();
      this.chooseAddress();
      for (let pair = 0; pair < this.pairs; pair++) this.queues.push(new QueueMemory(this.device, this.layout));
      this.program();
      this.statistics = new Statistics(this.registers);
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Tells firmware that a driver is here; link by negotiation, no VLAN stripping, no pause frames. */
  private claim(): void {
    const { registers } = this;
    registers.write32(E1000_CTRL_EXT, registers.read32(E1000_CTRL_EXT) | E1000_CTRL_EXT_DRV_LOAD);
    const cleared = E1000_CTRL_FRCSPD | E1000_CTRL_FRCDPX | E1000_CTRL_RFCE | E1000_CTRL_TFCE | E1000_CTRL_VME;
    const control = registers.read32(E1000_CTRL) & ~cleared & ~E1000_CTRL_GIO_MASTER_DISABLE;
    registers.write32(E1000_CTRL, control | E1000_CTRL_SLU | E1000_CTRL_ASDE);
    powerPhy(registers, true);
    for (let index = 0; index < E1000_MTA_LENGTH; index++) registers.write32(E1000_MTA + index * 4, 0);
  }

  private chooseAddress(): void {
    if (this.options.mac !== undefined) {
      this.setMac(this.options.mac);
      return;
    }
    const lo = this.registers.read32(E1000_RAL) | 0;
    const hi = this.registers.read32(E1000_RAH) & 0xffff;
    if ((lo === 0 && hi === 0) || isGroupMac(lo)) {
      const found = formatMac(lo, hi);
      throw new RingyardError("SYSTEM", `${this.device.address} has no address of its own (${found})`, "give it mac=");
    }
    this.address = formatMac(lo, hi);
  }

  lane(pair: number): LaneConfig {
    const { dma, own } = this.queues[pair];
    return {
      driver: "intel",
      registers: this.device.barConfig(0),
      layout: this.layout,
      address: dma.address,
      iova: dma.iova,
      own,
      advanced: this.advanced,
      accepts: this.accepts,
      maxFrame: this.maxFrame,
      ...this.queue(pair),
    };
  }

  start(): void {
    this.running = true;
    this.transmitWatch = new TransmitWatch(
      this.registers,
      this.queues.map((_, pair) => this.queue(pair).txTail),
    );
    const transmit = E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_RTLC | E1000_TCTL_CT_15 | E1000_TCTL_COLD_63;
    this.registers.write32(E1000_TCTL, transmit);
    this.enableQueues(false);
    this.writeReceiveControl();
    this.enableQueues(true);
  }

  private writeReceiveControl(): void {
    const filters = E1000_RCTL_BAM | E1000_RCTL_MPE | (this.promisc ? E1000_RCTL_UPE : 0);
    const size = this.layout.rxBufferSize > 2048 ? E1000_RCTL_SZ_4096 : E1000_RCTL_SZ_2048;
    // Long frames always: tags make a standard one long, and what is too long for the port is counted there.
    const frames = E1000_RCTL_LPE | E1000_RCTL_SECRC | size;
    this.registers.write32(E1000_RCTL, filters | frames | (this.running ? E1000_RCTL_EN : 0));
  }

  link(): NicLink {
    if (!this.stopped) this.acknowledge();
    const status = this.registers.read32(E1000_STATUS);
    const up = status !== GONE && (status & E1000_STATUS_LU) !== 0 && this.administrativelyUp && !this.stopped;
    if (!up) return { up, speedMbps: 0, fullDuplex: false };
    const speedMbps = SPEEDS_MBPS[(status & E1000_STATUS_SPEED_MASK) >> E1000_STATUS_SPEED_SHIFT];
    return { up, speedMbps, fullDuplex: (status & E1000_STATUS_FD) !== 0 };
  }

  counters(nowMs = performance.now()): Record<string, number> {
    const counted = this.statistics?.read() ?? {};
    if (this.running) this.transmitWatch?.look(counted.tx_packets, nowMs);
    return counted;
  }

  setLink(up: boolean): void {
    this.administrativelyUp = up;
    powerPhy(this.registers, up);
  }

  setPromisc(on: boolean): void {
    this.promisc = on;
    if (this.running) this.writeReceiveControl();
  }

  setMac(mac: string): void {
    const { lo, hi } = parseMac(mac);
    if (isGroupMac(lo)) throw new RingyardError("BAD_OPTION", `mac ${mac} is a group address`, "take a unicast one");
    // The low word first: writing the high one makes the entry valid.
    this.registers.write32(E1000_RAL, lo);
    this.registers.write32(E1000_RAH, (hi | E1000_RAH_AV) >>> 0);
    this.address = formatMac(lo, hi);
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.running = false;
    const { registers } = this;
    this.counters();
    quiesce(registers);
    resetNow(registers);
    registers.write32(E1000_CTRL_EXT, registers.read32(E1000_CTRL_EXT) & ~E1000_CTRL_EXT_DRV_LOAD);
    this.device.setBusMaster(false);
    for (const queue of this.queues) queue.give();
    closeFd(this.relay);
    this.relay = -1;
  }

  details(): Record<string, string | number | boolean> {
    const { layout } = this;
    return {
      mac: this.mac,
      promisc: this.promisc,
      rx_descriptors: layout.rxCount,
      tx_descriptors: layout.txCount,
      rx_buffer_size: layout.rxBufferSize,
      interrupt_moderation_us: MODERATION_US,
      // The port resets a device that says this.
      ...(this.transmitWatch?.still === true && { needs_reset: true }),
    };
  }
}

function descriptors(address: string, name: string, count: number): number {
  const power = Number.isInteger(Math.log2(count));
  if (power && count >= MIN_DESCRIPTORS && count <= MAX_DESCRIPTORS) return count;
  const limits = `take a power of two from ${MIN_DESCRIPTORS} to ${MAX_DESCRIPTORS}`;
  throw new RingyardError("BAD_OPTION", `${address}: ${name}=${count} cannot be`, limits);
}
