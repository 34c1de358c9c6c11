// The 82576 (PCI id 8086:10c9), Linux's igb: up to eight queue pairs (a port's most; the device has 16), advanced descriptors,
// received frames spread by a hash (RSS), MSI-X with a vector for each pair and one for the rest.
//
//   MSI-X   vector n: receive queue n    vector `pairs`: link          MSI, INTx   one pair; vector 0: both
//
// Control thread.

import { RingyardError } from "../../../core/errors.ts";
import type { Nic, NicDriver, NicOptions, PciFunction } from "../nic.ts";
import { DESC_SIZE } from "./descriptors.ts";
import { IntelNic, MODERATION_US, type QueueRegisters } from "./nic.ts";
import type { QueueMemory } from "./queue-memory.ts";
import {
  E1000_ICR,
  E1000_ICR_LSC,
  E1000_ICR_RXT0,
  E1000_IMC,
  E1000_IMS,
  E1000_RXCSUM,
  E1000_RXCSUM_IPOFL,
  E1000_RXCSUM_PCSD,
  E1000_RXCSUM_TUOFL,
  PCI_VENDOR_INTEL,
} from "./registers.ts";
import * as own from "./registers-82576.ts";

/** 82576 data sheet 1.3: jumbo frames of 9.5 KB. */
const MTU_LIMIT = 9000;
const MOST_PAIRS = 8;
/** Reads until a queue says that it is on: the data sheet says "poll" (4.5.9). */
const ENABLE_READS = 1000;
const FCS_SIZE = 4;

class Nic82576 extends IntelNic {
  readonly pairs: number;
  private readonly fds: readonly number[];
  private readonly msix: boolean;

  constructor(device: PciFunction, options: NicOptions) {
    super(device, options, true, MTU_LIMIT);
    // Each pair has a vector of its own, for workers watch the eventfds of their own pairs only.
    const wanted = Math.min(options.queues, MOST_PAIRS, Math.max(1, device.vectors - 1));
    const count = device.vectors > 1 ? wanted + 1 : device.vectors;
    this.fds = count > 0 ? device.enableInterrupts(count) : [];
    this.msix = device.interruptKind === "msix" && this.fds.length > 1;
    this.pairs = this.msix ? wanted : 1;
  }

  get managementVector(): number {
    return this.fds.length - 1;
  }

  protected queue(pair: number): QueueRegisters {
    const at = pair * own.QUEUE_STRIDE;
    const interrupt = this.msix
      ? { clear: own.E1000_EICR, unmask: own.E1000_EIMS, mask: own.E1000_EIMC, cause: 1 << pair }
      : { clear: E1000_ICR, unmask: E1000_IMS, mask: E1000_IMC, cause: E1000_ICR_RXT0 };
    const wakeFd = this.msix ? this.fds[pair] : this.fds.length > 0 ? this.relayFd() : -1;
    return { rxTail: own.E1000_RDT + at, txTail: own.E1000_TDT + at, interrupt, wakeFd };
  }

  protected program(): void {
    const { registers } = this;
    registers.write32(own.E1000_RLPML, this.maxFrame + FCS_SIZE);
    registers.write32(E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL | E1000_RXCSUM_PCSD);
    this.queues.forEach((queue, pair) => {
      this.programQueue(queue, pair);
    });
    this.programHash();
    this.programInterrupts();
  }

  private programQueue(queue: QueueMemory, pair: number): void {
    const at = pair * own.QUEUE_STRIDE;
    const write = (register: number, value: number): void => this.registers.write32(register + at, value);
    const drop = this.pairs > 1 ? own.E1000_SRRCTL_DROP_EN : 0;
    const size = this.layout.rxBufferSize >> own.E1000_SRRCTL_BSIZEPKT_SHIFT;
    write(own.E1000_RDBAL, queue.rxRing % 2 ** 32);
    write(own.E1000_RDBAH, Math.floor(queue.rxRing / 2 ** 32));
    write(own.E1000_RDLEN, this.layout.rxCount * DESC_SIZE);
    write(own.E1000_SRRCTL, (size | own.E1000_SRRCTL_DESCTYPE_ADV_ONEBUF | drop) >>> 0);
    write(own.E1000_RDH, 0);
    write(own.E1000_RDT, 0);
    write(own.E1000_TDBAL, queue.txRing % 2 ** 32);
    write(own.E1000_TDBAH, Math.floor(queue.txRing / 2 ** 32));
    write(own.E1000_TDLEN, this.layout.txCount * DESC_SIZE);
    write(own.E1000_TDWBAL, 0);
    write(own.E1000_TDH, 0);
    write(own.E1000_TDT, 0);
  }

  /** The key is of this start only, so that nobody outside can aim at one queue. */
  private programHash(): void {
    const { registers, pairs } = this;
    const key = new Uint32Array(own.E1000_RSSRK_SIZE / 4);
    crypto.getRandomValues(key);
    key.forEach((word, index) => {
      registers.write32(own.E1000_RSSRK + index * 4, word);
    });
    for (let entry = 0; entry < own.E1000_RETA_SIZE; entry += 4) {
      const [a, b, c, d] = [entry, entry + 1, entry + 2, entry + 3].map((index) => index % pairs);
      registers.write32(own.E1000_RETA + entry, a | (b << 8) | (c << 16) | (d << 24));
    }
    registers.write32(own.E1000_MRQC, pairs > 1 ? own.E1000_MRQC_ENABLE_RSS | own.E1000_MRQC_FIELDS : 0);
  }

  private programInterrupts(): void {
    const { registers } = this;
    const throttle = (own.E1000_EITR_CNT_IGNR | (MODERATION_US << own.E1000_EITR_INTERVAL_SHIFT)) >>> 0;
    if (!this.msix) {
      registers.write32(own.E1000_GPIE, 0);
      registers.write32(own.E1000_EITR, throttle);
      return;
    }
    registers.write32(own.E1000_GPIE, (own.E1000_GPIE_MSIX_MODE | own.E1000_GPIE_PBA | own.E1000_GPIE_NSICR) >>> 0);
    // Nothing clears or masks itself: a lane clears its cause when it asks for the next interrupt.
    registers.write32(own.E1000_EIAC, 0);
    registers.write32(own.E1000_EIMC, 0xffffffff);
    for (let pair = 0; pair < this.pairs; pair++) {
      // Receive queues 0 to 7 have the lowest byte; what was sent interrupts nobody.
      registers.write32(own.E1000_IVAR0 + pair * 4, own.E1000_IVAR_VALID | pair);
      registers.write32(own.E1000_EITR + pair * 4, throttle);
    }
    const other = (own.E1000_IVAR_VALID | this.pairs) << own.E1000_IVAR_MISC_OTHER_SHIFT;
    registers.write32(own.E1000_IVAR_MISC, other);
  }

  protected enableQueues(receiving: boolean): void {
    const { registers } = this;
    for (let pair = 0; pair < this.pairs; pair++) {
      const at = pair * own.QUEUE_STRIDE;
      if (!receiving) {
        registers.write32(own.E1000_TXDCTL + at, own.E1000_XDCTL_QUEUE_ENABLE);
        registers.write32(own.E1000_RXDCTL + at, own.E1000_XDCTL_QUEUE_ENABLE);
        continue;
      }
      // The tail may be told when the queue is on, which needs the receiver on (4.5.9).
      for (let reads = 0; reads < ENABLE_READS; reads++) {
        if ((registers.read32(own.E1000_RXDCTL + at) & own.E1000_XDCTL_QUEUE_ENABLE) !== 0) break;
      }
      registers.write32(own.E1000_RDT + at, this.layout.rxCount - 1);
    }
    if (!receiving || this.fds.length === 0) return;
    if (this.msix) registers.write32(own.E1000_EIMS, 1 << this.pairs);
    registers.write32(E1000_IMS, E1000_ICR_LSC);
  }

  protected acknowledge(): void {
    const { registers, device } = this;
    // Reading clears all causes, without MSI-X the queue's too.
    const causes = registers.read32(E1000_ICR);
    if (!this.msix && (causes & E1000_ICR_RXT0) !== 0) this.wakeLane();
    if (this.msix) registers.write32(own.E1000_EICR, 1 << this.pairs);
    else if (device.interruptKind === "intx") device.unmaskIntx();
  }
}

export const driver82576: NicDriver = {
  name: "igb",
  matches: (vendor, device) => vendor === PCI_VENDOR_INTEL && device === own.PCI_DEVICE_82576,
  async open(device, options): Promise<Nic> {
    if (options.queues < 1 || options.queues > MOST_PAIRS) {
      const problem = `${device.address}: queues=${options.queues} cannot be`;
      throw new RingyardError("BAD_OPTION", problem, `an 82576 has up to ${MOST_PAIRS} queue pairs here`);
    }
    const nic = new Nic82576(device, options);
    await nic.bringUp();
    return nic;
  },
};
