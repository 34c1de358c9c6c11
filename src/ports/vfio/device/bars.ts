// A device's BARs as registers: mapped where the kernel lets us, read and written by pread(2) and pwrite(2) where not.
//
//   all of it mapped               { address, size }
//   some of it (sparse mmap)       { fd, offset, size, pieces }
//   none (I/O ports, a refusal)    { fd, offset, size }
//
// A BAR is mapped when it is first asked for, and stays until the device closes: no lane reads it then. Control thread.

import { RingyardError } from "../../../core/errors.ts";
import { SysError } from "../../../sys/errno.ts";
import { unmap } from "../../../sys/memory.ts";
import { VFIO_PCI_BAR5_REGION_INDEX } from "../../../uapi/vfio.ts";
import { type MappedPiece, openRegisters, type Registers, type RegistersConfig } from "../registers.ts";
import type { Machine } from "./machine.ts";
import { type Area, type Region, readRegion } from "./region.ts";

/** Registers of NICs end long before; what lies behind is memory of other devices. */
const MAX_MAPPED = 2 ** 30;

interface Bar {
  config: RegistersConfig;
  registers: Registers;
  /** Why it is read and written by system calls, or "". */
  refusal: string;
}

export class Bars {
  private readonly bars = new Map<number, Bar>();
  private closed = false;
  private readonly mappings: { address: number; size: number }[] = [];

  constructor(
    private readonly machine: Machine,
    private readonly fd: number,
    /** The device, for errors. */
    private readonly who: string,
  ) {}

  registers(index: number): Registers {
    return this.bar(index).registers;
  }

  config(index: number): RegistersConfig {
    return this.bar(index).config;
  }

  /** What is not mapped, and why: `BAR 2: I/O ports`. For `port show`. */
  refusals(): string[] {
    return [...this.bars]
      .filter(([, { refusal }]) => refusal !== "")
      .map(([index, bar]) => `BAR ${index}: ${bar.refusal}`);
  }

  private bar(index: number): Bar {
    const known = this.bars.get(index);
    if (known !== undefined) return known;
    if (this.closed) throw new RingyardError("BAD_REQUEST", `${this.who} is closed`);
    if (!(Number.isInteger(index) && index >= 0 && index <= VFIO_PCI_BAR5_REGION_INDEX)) {
      throw new RingyardError("BAD_REQUEST", `${this.who}: there is no BAR ${index} on PCI`);
    }
    const region = readRegion(this.machine, this.fd, index);
    if (region.size === 0) {
      throw new RingyardError("UNSUPPORTED", `${this.who} has no BAR ${index}`, "it is not the NIC that its ids say");
    }
    const { config, refusal } = this.open(region);
    const bar = { config, refusal, registers: openRegisters(config) };
    this.bars.set(index, bar);
    return bar;
  }

  private open(region: Region): { config: RegistersConfig; refusal: string } {
    const file = { fd: this.fd, offset: region.offset, size: region.size };
    if (region.mappable.length === 0) return { config: file, refusal: "not to be mapped" };
    const pieces: MappedPiece[] = [];
    let refusal = "";
    for (const area of region.mappable) {
      try {
        pieces.push(this.map(region, area));
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        refusal = error.message;
      }
    }
    const [first] = pieces;
    if (first?.at === 0 && first.size === region.size)
      return { config: { address: first.address, size: first.size }, refusal };
    if (refusal === "") refusal = "mapped in part";
    return { config: pieces.length === 0 ? file : { ...file, pieces }, refusal };
  }

  private map(region: Region, { at, size }: Area): MappedPiece {
    const mapped = Math.min(size, MAX_MAPPED);
    const address = this.machine.map(this.fd, mapped, region.offset + at);
    this.mappings.push({ address, size: mapped });
    return { at, address, size: mapped };
  }

  /** Nobody uses the registers any more. Idempotent. */
  close(): void {
    this.closed = true;
    this.bars.clear();
    for (const { address, size } of this.mappings.splice(0)) unmap(address, size);
  }
}
