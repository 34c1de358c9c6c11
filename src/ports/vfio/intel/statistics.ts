// The hardware's statistics (82574: 10.2.7, 82576: 8.18): 32-bit counters that a read clears, and octets in two of them, of
// which the high one clears both. Added up here, so that they go on where the registers start anew or stop at their largest.
// Control thread, about once a second: a gigabit link fills the shortest of them in half an hour.

import type { Registers } from "../registers.ts";
import { GONE } from "./reset.ts";

/** Names as in the data sheets, written out, with the register of each. */
const COUNTERS: Readonly<Record<string, number>> = {
  rx_crc_errors: 0x4000,
  rx_alignment_errors: 0x4004,
  rx_symbol_errors: 0x4008,
  rx_errors: 0x400c,
  rx_missed: 0x4010,
  single_collisions: 0x4014,
  excessive_collisions: 0x4018,
  multiple_collisions: 0x401c,
  late_collisions: 0x4020,
  collisions: 0x4028,
  tx_deferred: 0x4030,
  tx_no_carrier: 0x4034,
  rx_sequence_errors: 0x4038,
  rx_length_errors: 0x4040,
  xon_received: 0x4048,
  xon_transmitted: 0x404c,
  xoff_received: 0x4050,
  xoff_transmitted: 0x4054,
  rx_good_packets: 0x4074,
  rx_broadcast: 0x4078,
  rx_multicast: 0x407c,
  tx_good_packets: 0x4080,
  rx_no_buffers: 0x40a0,
  rx_undersize: 0x40a4,
  rx_fragments: 0x40a8,
  rx_oversize: 0x40ac,
  rx_jabber: 0x40b0,
  rx_packets: 0x40d0,
  tx_packets: 0x40d4,
  tx_multicast: 0x40f0,
  tx_broadcast: 0x40f4,
  tx_tso: 0x40f8,
  tx_tso_failed: 0x40fc,
};

/** Low words; the high ones are four bytes further. */
const OCTETS: Readonly<Record<string, number>> = {
  rx_good_octets: 0x4088,
  tx_good_octets: 0x4090,
  rx_octets: 0x40c0,
  tx_octets: 0x40c8,
};

export class Statistics {
  private readonly sums: Record<string, number> = {};

  /** Begins at zero, whatever the registers say. */
  constructor(private readonly registers: Registers) {
    this.read();
    for (const name of Object.keys(this.sums)) this.sums[name] = 0;
  }

  /** What was counted since the beginning; of a device that is gone, what was read before. */
  read(): Record<string, number> {
    const { registers, sums } = this;
    for (const [name, register] of Object.entries(COUNTERS)) {
      const value = registers.read32(register);
      sums[name] = (sums[name] ?? 0) + (value === GONE ? 0 : value);
    }
    for (const [name, register] of Object.entries(OCTETS)) {
      const low = registers.read32(register);
      const high = registers.read32(register + 4);
      sums[name] = (sums[name] ?? 0) + (high === GONE ? 0 : high * 2 ** 32 + low);
    }
    return { ...sums };
  }
}
