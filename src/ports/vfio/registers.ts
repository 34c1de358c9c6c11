// HOT
// A device's registers: little-endian words of a BAR, each read or written by one access and in the order of the calls.
//
//   mapped     |-------- BAR --------|   loads by sys/mmio.ts, stores by plain typed arrays
//   a file     pread(2), pwrite(2) at the region's offset; pieces of it may be mapped all the same (sparse mmap)
//
// Control thread and workers alike; a worker builds its own from the plain data of `RegistersConfig`. Offsets are bytes and
// aligned to their access. Outside of the BAR, and where the device is gone, reads give ones and writes nothing, as on the bus.

import { preadWord, pwriteWord } from "../../sys/fd.ts";
import { viewOf } from "../../sys/memory.ts";
import { load8, load16, load32 } from "../../sys/mmio.ts";

/** A piece of a BAR that is mapped while its neighbours are not. */
export interface MappedPiece {
  /** Offset of its first byte in the BAR. */
  at: number;
  address: number;
  size: number;
}

/** Where the registers are: mapped into this process, or behind pread(2) and pwrite(2) where the kernel does not let us map. */
export type RegistersConfig =
  | { address: number; size: number }
  | { fd: number; offset: number; size: number; pieces?: MappedPiece[] };

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

/** Registers of this thread's own over what the control thread mapped, which outlives them. Cold. */
export function openRegisters(config: RegistersConfig): Registers {
  return "address" in config ? new MappedRegisters(config.address, config.size) : new FileRegisters(config);
}

class MappedRegisters implements Registers {
  private readonly u8: Uint8Array;
  private readonly u16: Uint16Array;
  private readonly u32: Uint32Array;

  constructor(
    private readonly address: number,
    readonly size: number,
  ) {
    const buffer = viewOf(address, 0, size);
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer, 0, size >> 1);
    this.u32 = new Uint32Array(buffer, 0, size >> 2);
  }

  read8(offset: number): number {
    return offset >= 0 && offset < this.size ? load8(this.address, offset) : 0xff;
  }

  read16(offset: number): number {
    return offset >= 0 && offset + 2 <= this.size ? load16(this.address, offset) : 0xffff;
  }

  read32(offset: number): number {
    return offset >= 0 && offset + 4 <= this.size ? load32(this.address, offset) : 0xffffffff;
  }

  write8(offset: number, value: number): void {
    this.u8[offset] = value;
  }

  write16(offset: number, value: number): void {
    this.u16[offset >> 1] = value;
  }

  write32(offset: number, value: number): void {
    this.u32[offset >> 2] = value;
  }
}

class FileRegisters implements Registers {
  readonly size: number;
  private readonly fd: number;
  private readonly offset: number;
  private readonly at: readonly number[];
  private readonly pieces: readonly Registers[];

  constructor({ fd, offset, size, pieces = [] }: Extract<RegistersConfig, { fd: number }>) {
    this.fd = fd;
    this.offset = offset;
    this.size = size;
    this.at = pieces.map((piece) => piece.at);
    this.pieces = pieces.map((piece) => new MappedRegisters(piece.address, piece.size));
  }

  /** Index of the mapped piece that holds `offset`, or -1. */
  private piece(offset: number): number {
    for (let index = 0; index < this.at.length; index++) {
      const inside = offset - this.at[index];
      if (inside >= 0 && inside < this.pieces[index].size) return index;
    }
    return -1;
  }

  private fits(offset: number, size: number): boolean {
    return offset >= 0 && offset + size <= this.size;
  }

  read8(offset: number): number {
    const piece = this.piece(offset);
    if (piece >= 0) return this.pieces[piece].read8(offset - this.at[piece]);
    return this.fits(offset, 1) ? preadWord(this.fd, this.offset + offset, 1) & 0xff : 0xff;
  }

  read16(offset: number): number {
    const piece = this.piece(offset);
    if (piece >= 0) return this.pieces[piece].read16(offset - this.at[piece]);
    return this.fits(offset, 2) ? preadWord(this.fd, this.offset + offset, 2) & 0xffff : 0xffff;
  }

  read32(offset: number): number {
    const piece = this.piece(offset);
    if (piece >= 0) return this.pieces[piece].read32(offset - this.at[piece]);
    return this.fits(offset, 4) ? preadWord(this.fd, this.offset + offset, 4) >>> 0 : 0xffffffff;
  }

  write8(offset: number, value: number): void {
    const piece = this.piece(offset);
    if (piece >= 0) this.pieces[piece].write8(offset - this.at[piece], value);
    else if (this.fits(offset, 1)) pwriteWord(this.fd, this.offset + offset, 1, value);
  }

  write16(offset: number, value: number): void {
    const piece = this.piece(offset);
    if (piece >= 0) this.pieces[piece].write16(offset - this.at[piece], value);
    else if (this.fits(offset, 2)) pwriteWord(this.fd, this.offset + offset, 2, value);
  }

  write32(offset: number, value: number): void {
    const piece = this.piece(offset);
    if (piece >= 0) this.pieces[piece].write32(offset - this.at[piece], value);
    else if (this.fits(offset, 4)) pwriteWord(this.fd, this.offset + offset, 4, value);
  }
}
