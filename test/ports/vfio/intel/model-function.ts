// A PCI function for tests: registers are a device's model, DMA memory is anonymous memory at made-up IOVAs above 4 GiB,
// interrupts are eventfds that the model signals. `give` frees all of it.

import type { DmaMemory } from "../../../../src/mem/dma.ts";
import type { ConfigSpace, PciFunction } from "../../../../src/ports/vfio/nic.ts";
import type { Registers, RegistersConfig } from "../../../../src/ports/vfio/registers.ts";
import { clearSignal, closeFd, eventFd, signal } from "../../../../src/sys/fd.ts";
import { mapAnonymous, unmap, viewOf } from "../../../../src/sys/memory.ts";

const FIRST_IOVA = 0x1_ffff_0000;

export class ModelFunction implements PciFunction {
  readonly address = "0000:03:00.0";
  readonly vendor = 0x8086;
  registers!: Registers;
  busMaster = false;
  /** Called when it may reach memory from now on. */
  onMaster: () => void = () => undefined;
  interruptKind: PciFunction["interruptKind"] = "none";
  fds: number[] = [];
  unmasked = 0;
  private readonly memories: DmaMemory[] = [];
  private readonly foreign: DmaMemory[] = [];
  private nextIova = FIRST_IOVA;

  constructor(
    readonly device: number,
    readonly vectors: number,
    private readonly kind: PciFunction["interruptKind"] = "msix",
  ) {}

  bar(_index: number): Registers {
    return this.registers;
  }

  /** Nothing maps a model: lanes are built over its registers (lane-open.ts, buildLane). */
  barConfig(_index: number): RegistersConfig {
    return { address: 0, size: 0 };
  }

  get config(): ConfigSpace {
    throw new Error("the model has no configuration space");
  }

  allocate(size: number): DmaMemory {
    const memory = { address: mapAnonymous(size), iova: this.nextIova, size };
    this.nextIova += (size + 0xffff) & ~0xffff;
    this.memories.push(memory);
    return memory;
  }

  /** The device reaches this memory from now on, which stays its owner's; returns the IOVA. */
  map(address: number, size: number): number {
    const iova = this.nextIova;
    this.nextIova += (size + 0xffff) & ~0xffff;
    this.foreign.push({ address, iova, size });
    return iova;
  }

  enableInterrupts(count: number): number[] {
    if (this.fds.length > 0) throw new Error("interrupts are enabled once");
    this.interruptKind = this.kind;
    this.fds = Array.from({ length: count }, () => eventFd());
    return this.fds;
  }

  unmaskIntx(): void {
    this.unmasked++;
  }

  setBusMaster(on: boolean): void {
    this.busMaster = on;
    if (on) this.onMaster();
  }

  reset(): boolean {
    return true;
  }

  /** Bytes at an IOVA, as the device reaches them; throws outside of what was mapped. */
  dma(iova: number, size: number): Uint8Array<ArrayBuffer> {
    const memory = [...this.memories, ...this.foreign].find(
      (one) => iova >= one.iova && iova + size <= one.iova + one.size,
    );
    if (memory === undefined) throw new Error(`DMA to 0x${iova.toString(16)}, which is not mapped`);
    return new Uint8Array(viewOf(memory.address, iova - memory.iova, size));
  }

  interrupt(vector: number): void {
    if (this.fds[vector] !== undefined) signal(this.fds[vector]);
  }

  /** Whether the vector interrupted since it was asked last. */
  interrupted(vector: number): boolean {
    return clearSignal(this.fds[vector]);
  }

  give(): void {
    for (const fd of this.fds) closeFd(fd);
    for (const { address, size } of this.memories) unmap(address, size);
  }
}
