// A device's registers: 32-bit words of a BAR, little-endian, each read or written by one access and in the order of the calls.
//
// Control thread and workers alike; a worker builds its own from the plain data of `RegistersConfig`. Offsets are bytes.

/** Where the registers are: mapped into this process, or behind pread(2) and pwrite(2) where the kernel does not let us map. */
export type RegistersConfig = { address: number; size: number } | { fd: number; offset: number; size: number };

export interface Registers {
  readonly size: number;
  read8(offset: number): number;
  read16(offset: number): number;
  read32(offset: number): number;
  write8(offset: number, value: number): void;
  write16(offset: number, value: number): void;
  /** Hot: also the doorbells. Earlier stores to DMA memory are seen by the device first (publish them by mem/access.ts). */
  write32(offset: number, value: number): void;
}
