// A kernel struct in memory, by the names of its table in src/uapi: what an ioctl takes and gives.
//
//   const map = new KernelStruct(struct_vfio_iommu_type1_dma_map, { vaddr, iova, size });
//   ioctl(fd, VFIO_IOMMU_MAP_DMA, map.bytes, "VFIO_IOMMU_MAP_DMA");
//
// VFIO's `argsz` and iommufd's `size` are the first word of each struct and are filled in here. 64-bit fields are numbers: exact
// below 2^53, and rounded above, where only ends of ranges lie. Control thread.

export interface StructTable<Field extends string> {
  readonly size: number;
  readonly fields: Readonly<Record<Field, readonly [number, number]>>;
}

/** A struct and what follows it, whatever its fields. */
export interface StructBytes {
  readonly bytes: Uint8Array;
  at(offset: number, size: 2 | 4 | 8): number;
}

const HIGH = 2 ** 32;

export class KernelStruct<Field extends string> implements StructBytes {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  /** `total` bytes where more follows the struct than its table says: arrays, capability chains. */
  constructor(
    private readonly table: StructTable<Field>,
    values: Partial<Record<Field, number>> = {},
    total = table.size,
  ) {
    this.bytes = new Uint8Array(total);
    this.view = new DataView(this.bytes.buffer);
    this.view.setUint32(0, total, true);
    for (const [field, value] of Object.entries(values)) this.set(field as Field, value as number);
  }

  get(field: Field): number {
    const [offset, size] = this.table.fields[field];
    return readUint(this.view, offset, size);
  }

  set(field: Field, value: number): void {
    const [offset, size] = this.table.fields[field];
    if (size === 8) {
      this.view.setUint32(offset, value % HIGH, true);
      this.view.setUint32(offset + 4, Math.floor(value / HIGH), true);
    } else if (size === 4) this.view.setUint32(offset, value, true);
    else if (size === 2) this.view.setUint16(offset, value, true);
    else this.view.setUint8(offset, value);
  }

  /** A little-endian number anywhere in the bytes; 0 outside of them. */
  at(offset: number, size: 2 | 4 | 8): number {
    return offset >= 0 && offset + size <= this.bytes.length ? readUint(this.view, offset, size) : 0;
  }
}

function readUint(view: DataView, offset: number, size: number): number {
  if (size === 8) return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * HIGH;
  if (size === 4) return view.getUint32(offset, true);
  return size === 2 ? view.getUint16(offset, true) : view.getUint8(offset);
}

/** A capability of an INFO ioctl: where it begins in the struct's bytes. */
export interface InfoCapability {
  id: number;
  offset: number;
}

/**
 * The capabilities that follow a struct, from byte `first` on (linux/vfio.h: struct vfio_info_cap_header, id u16, version u16,
 * next u32). A chain that leaves the bytes or comes back to itself ends there.
 */
export function infoCapabilities(info: StructBytes, first: number): InfoCapability[] {
  const found: InfoCapability[] = [];
  const seen = new Set<number>();
  for (let offset = first; offset !== 0 && offset + 8 <= info.bytes.length && !seen.has(offset); ) {
    seen.add(offset);
    found.push({ id: info.at(offset, 2), offset });
    offset = info.at(offset + 4, 4);
  }
  return found;
}
