// What a lane needs to transmit; made once by lane-open.ts, its fields never change shape. Any worker that runs the lane.

import type { ZeroCopy } from "../../../mem/held.ts";
import type { WindowTable } from "../../../mem/window.ts";
import type { Registers } from "../registers.ts";
import { E1000_ADVTXD_DTYP_DATA, E1000_TXD_CMD_DEXT, E1000_TXD_CMD_IFCS, E1000_TXD_DTYP_D } from "./descriptors.ts";
import { ticketsAt } from "./layout.ts";

export interface TransmitterParts {
  windows: WindowTable;
  /** The DMA memory's window. */
  window: number;
  /** The lane's own words (layout.ts). */
  own: Int32Array;
  counters: Float64Array;
  registers: Registers;
  /** Offset of the tail register. */
  tail: number;
  count: number;
  /** Word of the first descriptor in the DMA memory, offset of the first buffer there. */
  ringWord: number;
  buffersAt: number;
  /** Two words for each buffer: its IOVA. */
  addresses: Int32Array;
  maxFrame: number;
  /** Whether descriptors are the 82576's. */
  advanced: boolean;
  /** The lane's state words, for tickets. */
  state: Int32Array;
  /** What the device reaches without a copy, and the lane's name for it (mem/held.ts). */
  zeroCopy: Pick<ZeroCopy, "self" | "iova">;
}

export class Transmitter {
  readonly windows: WindowTable;
  readonly window: number;
  readonly words: Int32Array;
  readonly bytes: Uint8Array;
  readonly own: Int32Array;
  readonly counters: Float64Array;
  readonly registers: Registers;
  readonly tail: number;
  readonly mask: number;
  readonly ringWord: number;
  readonly buffersAt: number;
  readonly addresses: Int32Array;
  readonly maxFrame: number;
  readonly advanced: boolean;
  readonly state: Int32Array;
  readonly self: number;
  readonly iova: Float64Array;
  /** Word of the first ticket in the lane's own words. */
  readonly tickets: number;
  /** Word 2 of every data descriptor. */
  readonly dataCommand: number;

  /** The ticket given out last, within a burst. */
  posted = 0;
  /** Frames of the burst that the device reads in their senders' memory. */
  direct = 0;

  // What the offloads of the frame at hand ask (offload.ts).
  /** Words 2 and 3 of its data descriptors, without length. */
  command = 0;
  options = 0;
  /** Whether it needs the context below. */
  needsContext = false;
  context0 = 0;
  context1 = 0;
  context2 = 0;
  context3 = 0;

  constructor(parts: TransmitterParts) {
    this.windows = parts.windows;
    this.window = parts.window;
    this.words = parts.windows.i32[parts.window];
    this.bytes = parts.windows.u8[parts.window];
    this.own = parts.own;
    this.counters = parts.counters;
    this.registers = parts.registers;
    this.tail = parts.tail;
    this.mask = parts.count - 1;
    this.ringWord = parts.ringWord;
    this.buffersAt = parts.buffersAt;
    this.addresses = parts.addresses;
    this.maxFrame = parts.maxFrame;
    this.advanced = parts.advanced;
    this.state = parts.state;
    this.self = parts.zeroCopy.self;
    this.iova = parts.zeroCopy.iova;
    this.tickets = ticketsAt(parts.count);
    const type = parts.advanced ? E1000_ADVTXD_DTYP_DATA : E1000_TXD_DTYP_D;
    this.dataCommand = E1000_TXD_CMD_DEXT | E1000_TXD_CMD_IFCS | type;
  }
}
