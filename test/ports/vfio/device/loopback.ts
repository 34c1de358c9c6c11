// An 82574L that sends frames to itself (RCTL.LBM), so that a test sees the device read memory and write memory without a wire.
//
//   memory: 0 transmit descriptors | 4096 receive descriptors | 8192 frame to send | 12288 frame as received
//
// Legacy descriptors; register names and offsets as in Intel's 82574 data sheet, chapter 10. Main thread of a test process.

import type { DmaMemory } from "../../../../src/mem/dma.ts";
import type { VfioDevice } from "../../../../src/ports/vfio/device/vfio-device.ts";
import type { Registers } from "../../../../src/ports/vfio/registers.ts";
import { PAGE_SIZE, viewOf } from "../../../../src/sys/memory.ts";
import { until } from "../../../support/until.ts";

export const CTRL = 0x0000;
export const STATUS = 0x0008;
export const ICR = 0x00c0;
export const ICS = 0x00c8;
export const IMS = 0x00d0;
export const IMC = 0x00d8;
export const IVAR = 0x00e4;
export const RAL = 0x5400;
export const RAH = 0x5404;
const RCTL = 0x0100;
const TCTL = 0x0400;
const [RDBAL, RDBAH, RDLEN, RDH, RDT] = [0x2800, 0x2804, 0x2808, 0x2810, 0x2818];
const [TDBAL, TDBAH, TDLEN, TDH, TDT] = [0x3800, 0x3804, 0x3808, 0x3810, 0x3818];

const CTRL_SLU = 1 << 6;
const STATUS_LU = 1 << 1;
const RFCTL = 0x5008;
/** Enabled, unicast and multicast promiscuous, MAC loopback, broadcast accepted, buffers of 2048. */
const RCTL_LOOP = (1 << 1) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 15);
/** Enabled, short frames padded. */
const TCTL_ON = (1 << 1) | (1 << 3);
/** End of packet, FCS, report status. */
const COMMAND = 0x0b;
const RING = 8;
const DESCRIPTOR = 16;

export class Loopback {
  private readonly registers: Registers;
  private readonly view: DataView;
  private sent = 0;

  private constructor(
    device: VfioDevice,
    readonly memory: DmaMemory,
    /** Where received frames are written: an IOVA. */
    private readonly target: number,
  ) {
    this.registers = device.bar(0);
    this.view = new DataView(viewOf(memory.address, 0, 3 * PAGE_SIZE));
  }

  /** Brings the device up; `target` has room for 2048 bytes. */
  static async start(device: VfioDevice, target: number): Promise<Loopback> {
    const loop = new Loopback(device, device.allocate(3 * PAGE_SIZE), target);
    device.setBusMaster(true);
    const { registers, memory } = loop;
    // Legacy descriptors, whatever the driver before us wanted.
    registers.write32(RFCTL, 0);
    registers.write32(CTRL, registers.read32(CTRL) | CTRL_SLU);
    await until("the link", () => (registers.read32(STATUS) & STATUS_LU) !== 0);
    for (const [low, high, length, iova] of [
      [TDBAL, TDBAH, TDLEN, memory.iova],
      [RDBAL, RDBAH, RDLEN, memory.iova + PAGE_SIZE],
    ]) {
      registers.write32(low, iova % 2 ** 32);
      registers.write32(high, Math.floor(iova / 2 ** 32));
      registers.write32(length, RING * DESCRIPTOR);
    }
    for (const register of [TDH, TDT, RDH, RDT]) registers.write32(register, 0);
    registers.write32(RCTL, RCTL_LOOP);
    registers.write32(TCTL, TCTL_ON);
    return loop;
  }

  /** Sends a frame; resolves with the bytes that came, as the descriptor says, when the device is done. */
  async send(frame: Uint8Array): Promise<number> {
    const { view, registers, memory, target } = this;
    const index = this.sent++ % RING;
    const next = (index + 1) % RING;
    const receive = PAGE_SIZE + index * DESCRIPTOR;
    view.setBigUint64(receive, BigInt(target), true);
    view.setBigUint64(receive + 8, 0n, true);
    new Uint8Array(view.buffer, 2 * PAGE_SIZE).set(frame);
    const transmit = index * DESCRIPTOR;
    view.setBigUint64(transmit, BigInt(memory.iova + 2 * PAGE_SIZE), true);
    view.setUint32(transmit + 8, frame.length | (COMMAND << 24), true);
    view.setUint32(transmit + 12, 0, true);
    registers.write32(RDT, next);
    registers.write32(TDT, next);
    const words = new Int32Array(view.buffer);
    const done = (descriptor: number) => (Atomics.load(words, (descriptor + 12) >> 2) & 1) !== 0;
    await until("the frame to be sent", () => done(transmit));
    await until("the frame to come back", () => done(receive));
    return words[(receive + 8) >> 2] & 0xffff;
  }

  stop(): void {
    this.registers.write32(RCTL, 0);
    this.registers.write32(TCTL, 0);
  }
}
