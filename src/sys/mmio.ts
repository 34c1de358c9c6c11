// HOT
// Loads from a device's registers, mapped into this process: one access of the asked width each, at the moment of the call.
//
//   load32(address, offset) -> bun:ffi's read.u32, a call that no optimiser hoists, merges or widens
//
// Not by typed arrays: their plain loads are hoisted out of loops, and `Atomics` may compile to a locked read-modify-write, which a
// device sees as a write. Stores go the other way round, by plain typed arrays (ports/vfio/registers.ts). x86 keeps the order
// of stores among themselves, and that of a load before or after a store to the same device (uncached memory: Intel SDM volume
// 3, 12.3). Any thread. Nothing is checked here: an address outside of a mapping ends the process.

import { read } from "bun:ffi";

type Address = Parameters<typeof read.u32>[0];

export function load8(address: number, offset: number): number {
  return read.u8(address as Address, offset);
}

export function load16(address: number, offset: number): number {
  return read.u16(address as Address, offset);
}

export function load32(address: number, offset: number): number {
  return read.u32(address as Address, offset);
}
