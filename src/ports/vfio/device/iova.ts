// Which addresses devices are given: an allocator of IOVAs within the ranges that the IOMMU translates and the platform leaves
// free (the MSI doorbell at 0xfee00000 is not, nor are the firmware's reserved pieces).
//
//   ranges   |1M ............ fedfffff|   |fef00000 ................ 2^39 - 1|
//   taken        [ring][pool    ]             [guest's memory      ]
//
// First fit, lowest first. An IOVA is congruent to its address modulo the largest page that the piece can hold, where there is
// such a place, so that the IOMMU may use large pages for memory that has them. The first MiB is never given: address 0 is what a confused device uses.
// Numbers below 2^53; pure; control thread.

/** Both ends included, as the kernel has them. */
export interface IovaRange {
  start: number;
  last: number;
}

interface Hole {
  start: number;
  end: number;
}

/** What the IOMMUs of today have as page sizes, largest first. */
const PAGE_SIZES = [2 ** 30, 2 ** 21, 2 ** 12];
const FIRST = 2 ** 20;
const END = 2 ** 53;

export class IovaAllocator {
  private holes: Hole[] = [];
  private readonly taken = new Map<number, number>();
  private total = 0;

  constructor(ranges: readonly IovaRange[]) {
    this.restrict(ranges);
  }

  /** Bytes given out. */
  get used(): number {
    return this.total;
  }

  /** Other ranges from now on, since a device joined or left. False, and nothing changes, where what is taken lies outside. */
  restrict(ranges: readonly IovaRange[]): boolean {
    const usable = ranges
      .map(({ start, last }) => ({ start: pageUp(Math.max(start, FIRST)), end: pageDown(Math.min(last + 1, END)) }))
      .filter(({ start, end }) => start < end)
      .sort((a, b) => a.start - b.start);
    const taken = [...this.taken].sort(([a], [b]) => a - b);
    for (const [start, size] of taken) {
      if (!usable.some((range) => start >= range.start && start + size <= range.end)) return false;
    }
    this.holes = usable.flatMap((range) => without(range, taken));
    return true;
  }

  /** An address for `size` bytes (a multiple of 4096) of memory at `address`; undefined where nothing is large enough. */
  allocate(size: number, address = 0): number | undefined {
    for (const page of PAGE_SIZES) {
      if (page > size) continue;
      const iova = this.place(size, address % page, page);
      if (iova !== undefined) return iova;
    }
    return undefined;
  }

  /** The first place whose remainder by `page` is this one. */
  private place(size: number, remainder: number, page: number): number | undefined {
    for (let index = 0; index < this.holes.length; index++) {
      const hole = this.holes[index];
      const iova = hole.start + ((((remainder - hole.start) % page) + page) % page);
      if (iova + size > hole.end) continue;
      const parts = [
        { start: hole.start, end: iova },
        { start: iova + size, end: hole.end },
      ];
      this.holes.splice(index, 1, ...parts.filter(({ start, end }) => start < end));
      this.taken.set(iova, size);
      this.total += size;
      return iova;
    }
    return undefined;
  }

  /** How many bytes an address was given for; undefined where it was not. */
  sizeAt(iova: number): number | undefined {
    return this.taken.get(iova);
  }

  /** Takes an address back, and says how many bytes it was for; undefined where it was never given. */
  free(iova: number): number | undefined {
    const size = this.taken.get(iova);
    if (size === undefined) return undefined;
    this.taken.delete(iova);
    this.total -= size;
    const at = this.holes.findIndex(({ start }) => start > iova);
    const index = at < 0 ? this.holes.length : at;
    this.holes.splice(index, 0, { start: iova, end: iova + size });
    this.merge(index);
    this.merge(index - 1);
    return size;
  }

  /** Makes one hole of the one at `index` and the next where they touch. */
  private merge(index: number): void {
    const hole = this.holes[index];
    const next = this.holes[index + 1];
    if (hole === undefined || next === undefined || hole.end !== next.start) return;
    hole.end = next.end;
    this.holes.splice(index + 1, 1);
  }
}

/** What remains of a range without the taken pieces, which are in order. */
function without(range: Hole, taken: readonly (readonly [number, number])[]): Hole[] {
  const holes: Hole[] = [];
  let start = range.start;
  for (const [iova, size] of taken) {
    if (iova < range.start || iova >= range.end) continue;
    if (start < iova) holes.push({ start, end: iova });
    start = iova + size;
  }
  if (start < range.end) holes.push({ start, end: range.end });
  return holes;
}

function pageUp(value: number): number {
  return Math.ceil(value / 4096) * 4096;
}

function pageDown(value: number): number {
  return Math.floor(value / 4096) * 4096;
}
