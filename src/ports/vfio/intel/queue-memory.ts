// The memory of one queue pair: made, filled with descriptors that the device may receive into, given back.
// Control thread.

import type { DmaMemory } from "../../../mem/dma.ts";
import { mapAnonymous, unmap, viewOf } from "../../../sys/memory.ts";
import type { PciFunction } from "../nic.ts";
import { DESC_SHIFT } from "./descriptors.ts";
import { addressWords, dmaSize, ownSize, type QueueLayout, RX_TAIL, rxBuffersAt, txRingAt } from "./layout.ts";

export class QueueMemory {
  /** Freed with the device. */
  readonly dma: DmaMemory;
  /** Address of the lane's own words. */
  readonly own: number;
  private given = false;

  constructor(
    device: PciFunction,
    readonly layout: QueueLayout,
  ) {
    this.dma = device.allocate(dmaSize(layout));
    this.own = mapAnonymous(ownSize(layout));
    this.prepare();
  }

  get rxRing(): number {
    return this.dma.iova;
  }

  get txRing(): number {
    return this.dma.iova + txRingAt(this.layout);
  }

  /** Every receive descriptor has its buffer, all but one are the device's, nothing is on its way out. */
  private prepare(): void {
    const { layout, dma } = this;
    const words = new Int32Array(viewOf(dma.address, 0, txRingAt(layout)));
    const addresses = addressWords(dma.iova + rxBuffersAt(layout), layout.rxCount, layout.rxBufferSize);
    for (let slot = 0; slot < layout.rxCount; slot++) {
      words[slot << DESC_SHIFT] = addresses[slot * 2];
      words[(slot << DESC_SHIFT) + 1] = addresses[slot * 2 + 1];
    }
    new Int32Array(viewOf(this.own, 0, ownSize(layout)))[RX_TAIL] = layout.rxCount - 1;
  }

  /** No lane uses it any more. The DMA memory goes with the device. */
  give(): void {
    if (this.given) return;
    this.given = true;
    unmap(this.own, ownSize(this.layout));
  }
}
