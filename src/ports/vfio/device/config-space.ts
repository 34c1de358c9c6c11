// PCI configuration space of a VFIO device: words of region 7, and the list of capabilities in them.
//
//   0x00 vendor, device | 0x04 command, status | ... | 0x34 first capability -> (id, next) -> (id, next) -> 0
//
// The kernel shows and takes what is harmless, and plays the rest (BARs, the command register's memory bit). What it says of a
// device that is gone is all ones, so the walk is bounded by the number of places there are. Control thread.

import { preadWord, pwriteWord } from "../../../sys/fd.ts";
import {
  PCI_CAP_LIST_ID,
  PCI_CAP_LIST_NEXT,
  PCI_CAP_SIZEOF,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
} from "../../../uapi/pci_regs.ts";
import type { ConfigSpace } from "../nic.ts";

/** The two low bits of a pointer are reserved (PCI Local Bus 3.0, 6.7). */
const POINTER = 0xfc;
const MAX_CAPABILITIES = (PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / PCI_CAP_SIZEOF;

export class VfioConfigSpace implements ConfigSpace {
  constructor(
    private fd: number,
    /** Of region 7, in the device's file. */
    private readonly offset: number,
    readonly size: number,
  ) {}

  read8(offset: number): number {
    return this.read(offset, 1) & 0xff;
  }

  read16(offset: number): number {
    return this.read(offset, 2) & 0xffff;
  }

  read32(offset: number): number {
    return this.read(offset, 4) >>> 0;
  }

  write8(offset: number, value: number): void {
    this.write(offset, 1, value);
  }

  write16(offset: number, value: number): void {
    this.write(offset, 2, value);
  }

  write32(offset: number, value: number): void {
    this.write(offset, 4, value);
  }

  capabilities(id: number): number[] {
    const found: number[] = [];
    if ((this.read16(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return found;
    let offset = this.read8(PCI_CAPABILITY_LIST) & POINTER;
    const seen = new Set<number>();
    for (let count = 0; count < MAX_CAPABILITIES; count++) {
      if (offset < PCI_STD_HEADER_SIZEOF || seen.has(offset)) break;
      seen.add(offset);
      const each = this.read8(offset + PCI_CAP_LIST_ID);
      if (each === 0xff) break;
      if (each === id) found.push(offset);
      offset = this.read8(offset + PCI_CAP_LIST_NEXT) & POINTER;
    }
    return found;
  }

  /** The device's file goes: its number may soon be another's. */
  close(): void {
    this.fd = -1;
  }

  /** -1, which is all ones in any width, outside of the space and where the device is gone. */
  private read(offset: number, size: number): number {
    return offset >= 0 && offset + size <= this.size ? preadWord(this.fd, this.offset + offset, size) : -1;
  }

  private write(offset: number, size: number, value: number): void {
    if (offset >= 0 && offset + size <= this.size) pwriteWord(this.fd, this.offset + offset, size, value);
  }
}
