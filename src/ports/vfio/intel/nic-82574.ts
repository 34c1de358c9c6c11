// The 82574L (PCI id 8086:10d3), Linux's e1000e: one queue pair, extended descriptors, MSI-X with a vector for the queue and
// one for the rest. It has a second pair of queues, but hashes only TCP and addresses over two, which wins nothing here.
//
//   MSI-X   vector 0: RXQ0    vector 1: OTHER (link)          MSI, INTx   vector 0: both, RXT0 and LSC
//
// Control thread.

import { RingyardError } from "../../../core/errors.ts";
import type { Nic, NicDriver, NicOptions, PciFunction } from "../nic.ts";
import { DESC_SIZE } from "./descriptors.ts";
import { IntelNic, MODERATION_US, type QueueRegisters } from "./nic.ts";
import {
  E1000_CTRL,
  E1000_CTRL_EXT,
  E1000_CTRL_EXT_PBA_CLR,
  E1000_GCR,
  E1000_ICR,
  E1000_ICR_LSC,
  E1000_ICR_RXT0,
  E1000_IMC,
  E1000_IMS,
  E1000_RFCTL,
  E1000_RXCSUM,
  E1000_RXCSUM_IPOFL,
  E1000_RXCSUM_TUOFL,
  PCI_VENDOR_INTEL,
} from "./registers.ts";
import * as own from "./registers-82574.ts";

/** 82574 data sheet 1.5: jumbo frames of 9 KB. */
const MTU_LIMIT = 9000;
/** Units of ITR and EITR (10.2.4.2). */
const THROTTLE_NS = 256;

class Nic82574 extends IntelNic {
  readonly pairs = 1;
  private readonly fds: readonly number[];
  private readonly msix: boolean;

  constructor(device: PciFunction, options: NicOptions) {
    super(device, options, false, MTU_LIMIT);
    this.fds = device.vectors > 0 ? device.enableInterrupts(device.vectors > 1 ? 2 : 1) : [];
    this.msix = device.interruptKind === "msix" && this.fds.length > 1;
  }

  get managementVector(): number {
    return this.fds.length - 1;
  }

  /** Causes of the queue, and of everything else. */
  private get queueCause(): number {
    return this.msix ? own.E1000_ICR_RXQ0 : E1000_ICR_RXT0;
  }

  private get otherCauses(): number {
    return this.msix ? own.E1000_ICR_OTHER | E1000_ICR_LSC : E1000_ICR_LSC;
  }

  protected queue(_pair: number): QueueRegisters {
    return {
      rxTail: own.E1000_RDT,
      txTail: own.E1000_TDT,
      interrupt: { clear: E1000_ICR, unmask: E1000_IMS, mask: E1000_IMC, cause: this.queueCause },
      wakeFd: this.msix ? this.fds[0] : this.fds.length > 0 ? this.relayFd() : -1,
    };
  }

  protected program(): void {
    const { registers } = this;
    this.setReservedBits();
    const [queue] = this.queues;
    registers.write32(own.E1000_RDTR, 0);
    registers.write32(own.E1000_RADV, 0);
    registers.write32(E1000_RFCTL, own.E1000_RFCTL_EXTEN | own.E1000_RFCTL_ACK_DIS);
    registers.write32(E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    registers.write32(own.E1000_RDBAL, queue.rxRing % 2 ** 32);
    registers.write32(own.E1000_RDBAH, Math.floor(queue.rxRing / 2 ** 32));
    registers.write32(own.E1000_RDLEN, this.layout.rxCount * DESC_SIZE);
    registers.write32(own.E1000_RDH, 0);
    registers.write32(own.E1000_RDT, 0);
    registers.write32(own.E1000_RXDCTL, own.E1000_RXDCTL_GRAN);
    registers.write32(own.E1000_TDBAL, queue.txRing % 2 ** 32);
    registers.write32(own.E1000_TDBAH, Math.floor(queue.txRing / 2 ** 32));
    registers.write32(own.E1000_TDLEN, this.layout.txCount * DESC_SIZE);
    registers.write32(own.E1000_TDH, 0);
    registers.write32(own.E1000_TDT, 0);
    // No thresholds: a report (RS) is written back at once.
    registers.write32(own.E1000_TXDCTL, own.E1000_TXDCTL_COUNT_DESC | own.E1000_TXDCTL_GRAN);
    this.programInterrupts();
  }

  private programInterrupts(): void {
    const { registers } = this;
    const throttle = Math.round((MODERATION_US * 1000) / THROTTLE_NS);
    // Nothing clears or masks itself: a lane clears its cause when it asks for the next interrupt.
    registers.write32(own.E1000_EIAC_82574, 0);
    registers.write32(own.E1000_IAM, 0);
    if (this.msix) {
      const valid = own.E1000_IVAR_VALID_82574;
      const other = (valid | 1) << own.E1000_IVAR_OTHER_SHIFT;
      registers.write32(own.E1000_IVAR, (valid << own.E1000_IVAR_RXQ0_SHIFT) | other);
      registers.write32(own.E1000_EITR_82574, throttle);
      const extended = registers.read32(E1000_CTRL_EXT);
      registers.write32(E1000_CTRL_EXT, (extended | E1000_CTRL_EXT_PBA_CLR) >>> 0);
    } else {
      registers.write32(own.E1000_ITR, throttle);
    }
  }

  /** What the specification update wants in bits that the data sheet calls reserved. */
  private setReservedBits(): void {
    const { registers } = this;
    const change = (register: number, clear: number, set: number): void =>
      registers.write32(register, ((registers.read32(register) & ~clear) | set) >>> 0);
    change(E1000_CTRL, own.CTRL_CLEAR_82574, 0);
    change(E1000_CTRL_EXT, own.CTRL_EXT_CLEAR_82574, own.CTRL_EXT_SET_82574);
    change(own.E1000_TXDCTL1, 0, own.E1000_TXDCTL_COUNT_DESC);
    change(own.E1000_TARC0, own.TARC0_CLEAR_82574, own.TARC0_SET_82574 | own.E1000_TARC0_ENABLE);
    change(E1000_GCR, 0, own.GCR_SET_82574);
    change(own.E1000_GCR2, 0, own.GCR2_SET_82574);
  }

  protected enableQueues(receiving: boolean): void {
    if (!receiving) return;
    this.registers.write32(own.E1000_RDT, this.layout.rxCount - 1);
    if (this.fds.length > 0) this.registers.write32(E1000_IMS, this.otherCauses);
  }

  protected acknowledge(): void {
    const { registers, device } = this;
    if (this.msix) {
      registers.write32(E1000_ICR, this.otherCauses);
      return;
    }
    // Reading clears all, the queue's cause too.
    if ((registers.read32(E1000_ICR) & this.queueCause) !== 0) this.wakeLane();
    if (device.interruptKind === "intx") device.unmaskIntx();
  }
}

export const driver82574: NicDriver = {
  name: "e1000e",
  matches: (vendor, device) => vendor === PCI_VENDOR_INTEL && device === own.PCI_DEVICE_82574L,
  async open(device, options): Promise<Nic> {
    if (options.queues > 1) {
      throw new RingyardError("BAD_OPTION", `${device.address}: an 82574L has one queue pair`, "leave queues out");
    }
    const nic = new Nic82574(device, options);
    await nic.bringUp();
    return nic;
  },
};
