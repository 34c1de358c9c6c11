// DMA: memory that a device reads and writes by itself, at addresses that an IOMMU translates.
//
//   process address ---DmaSpace.map---> IOVA, chosen by the space outside what the platform reserves
//
// One space serves every NIC of a switch that goes through the same door, so that memory is mapped once for all of them.
// Control thread only; addresses and IOVAs are plain numbers (below 2^53) that a worker may be told.

/** An address space of devices. Implemented by the doors to the IOMMU (ports/vfio). */
export interface DmaSpace {
  /** Which door it is. */
  readonly door: "type1" | "iommufd";
  /** Bytes mapped at the moment. */
  readonly mappedSize: number;
  /**
   * Maps `size` bytes of this process at `address` (both multiples of PAGE_SIZE) for reading and writing by the devices; the
   * pages are pinned until `unmap`. Returns the IOVA of the first byte. Throws RingyardError: LIMIT where the locked-memory
   * limit or the address space is too small (and says what to raise), SYSTEM for what else the kernel refuses.
   */
  map(address: number, size: number): number;
  /**
   * Takes a mapping away: no device reaches it when this returns. Throws RingyardError for what was never mapped. When the last
   * device has left the space the kernel has taken all away, and this does nothing.
   */
  unmap(iova: number): void;
}

/** Memory of our own that a NIC reaches: rings and buffers. */
export interface DmaMemory {
  readonly address: number;
  readonly iova: number;
  readonly size: number;
}
