// HOT
// A queue pair of an Intel NIC as a lane: receive.ts and transmit.ts, and the interrupt that wakes a worker.
//
//   arm     clear the cause, unmask it, wait for the device to have seen both (a read), look at the ring once more
//   disarm  mask it
//
// Without the read a frame could come while the writes are on their way: its cause would be cleared, and nobody woken.
// The registers (ICR, IMS, IMC or EICR, EIMS, EIMC) set or clear the bits that are written, so lanes do not disturb one another.

import { lock, unlock } from "../../../mem/access.ts";
import type { Batch } from "../../../mem/batch.ts";
import { DELIVER_LOCK, DELIVER_STATUS, FETCH_STATUS, RING_STOPPED } from "../../../mem/lane-state.ts";
import type { WindowTable } from "../../../mem/window.ts";
import type { Lane } from "../../port.ts";
import type { Registers } from "../registers.ts";
import { TX_NEXT } from "./layout.ts";
import { hasReceived, type Receiver, receiveBurst, repost, tellTail } from "./receive.ts";
import { E1000_STATUS } from "./registers.ts";
import { reap, transmitBurst } from "./transmit.ts";
import type { Transmitter } from "./transmitter.ts";

/** Registers of a cause: where it is cleared, unmasked and masked, and its bit. */
export interface InterruptRegisters {
  clear: number;
  unmask: number;
  mask: number;
  cause: number;
}

export class IntelLane implements Lane {
  readonly delivers = true;
  /** An eventfd: every signal is a new edge. */
  readonly wakeEdge = true;

  constructor(
    readonly accepts: number,
    readonly wakeFd: number,
    /** Null in a worker that only delivers. */
    private readonly receiver: Receiver | null,
    private readonly transmitter: Transmitter,
    private readonly registers: Registers,
    private readonly interrupt: InterruptRegisters,
    private readonly windows: WindowTable,
    private readonly window: number,
    private readonly state: Int32Array,
    private readonly shared: boolean,
  ) {}

  fetch(batch: Batch): number {
    return this.receiver === null ? 0 : receiveBurst(this.receiver, batch);
  }

  release(_batch: Batch): void {
    if (this.receiver !== null) repost(this.receiver);
  }

  deliver(batch: Batch, list: Int32Array, count: number): number {
    if (!this.shared) return transmitBurst(this.transmitter, batch, list, count);
    lock(this.state, DELIVER_LOCK);
    const sent = transmitBurst(this.transmitter, batch, list, count);
    unlock(this.state, DELIVER_LOCK);
    return sent;
  }

  /** Looks which frames were sent that are held in their senders' memory. */
  reap(): void {
    const transmitter = this.transmitter;
    if (this.shared) lock(this.state, DELIVER_LOCK);
    reap(transmitter, transmitter.own[TX_NEXT]);
    if (this.shared) unlock(this.state, DELIVER_LOCK);
  }

  arm(): boolean {
    const receiver = this.receiver;
    if (receiver === null) return false;
    // No interrupts at all: the queue has to be polled.
    if (this.wakeFd < 0) return true;
    const { clear, unmask, cause } = this.interrupt;
    tellTail(receiver);
    this.registers.write32(clear, cause);
    this.registers.write32(unmask, cause);
    this.registers.read32(E1000_STATUS);
    return hasReceived(receiver);
  }

  disarm(): void {
    if (this.receiver !== null && this.wakeFd >= 0) this.registers.write32(this.interrupt.mask, this.interrupt.cause);
  }

  /** The memory is the control thread's. Positions stay in the lane's own words, for whoever opens the lane again. */
  close(): void {
    this.disarm();
    if (this.receiver !== null) {
      this.state[FETCH_STATUS] = RING_STOPPED;
      this.state[DELIVER_STATUS] = RING_STOPPED;
    }
    this.windows.remove(this.window);
  }
}
