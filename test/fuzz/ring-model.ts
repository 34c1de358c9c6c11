// The split ring once more, as slowly and plainly as the specification reads (virtio 1.2, 2.7 and 5.1.6): BigInt addresses,
// one byte at a time, objects everywhere. Shares nothing with src but names of counters, and changes its own copy of the
// memory, so that afterwards every byte can be compared.

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const HEADER_SIZE = 12;
const MAX_FRAME = 65535 + 14 + 8;
const MIN_FRAME = 14;
/** What is pulled together of a frame whose first piece is too short to look at. */
const PULL_SIZE = 64;
const TX_SEGMENTS = 2048;
const RX_SEGMENTS = 1024;

export interface ModelRegion {
  guest: number;
  bytes: Uint8Array;
}

export interface Descriptor {
  address: bigint;
  length: number;
  flags: number;
  next: number;
}

export interface Piece {
  address: number;
  length: number;
}

export class ModelMemory {
  constructor(readonly regions: readonly ModelRegion[]) {}

  private at(address: number): { bytes: Uint8Array; offset: number } | undefined {
    for (const { guest, bytes } of this.regions) {
      if (address >= guest && address < guest + bytes.length) return { bytes, offset: address - guest };
    }
    return undefined;
  }

  /** Bytes of one region from an address on. */
  left(address: bigint): number {
    if (address >= 2n ** 53n) return 0;
    const place = this.at(Number(address));
    return place === undefined ? 0 : place.bytes.length - place.offset;
  }

  read(address: number): number {
    const place = this.at(address);
    if (place === undefined) throw new Error(`the model reads outside the memory at ${address}`);
    return place.bytes[place.offset];
  }

  write(address: number, byte: number): void {
    const place = this.at(address);
    if (place === undefined) throw new Error(`the model writes outside the memory at ${address}`);
    place.bytes[place.offset] = byte;
  }

  number(address: number, size: number): bigint {
    let value = 0n;
    for (let n = size - 1; n >= 0; n--) value = value * 256n + BigInt(this.read(address + n));
    return value;
  }

  store(address: number, size: number, value: number): void {
    for (let n = 0; n < size; n++) this.write(address + n, Math.floor(value / 256 ** n) % 256);
  }

  descriptor(address: number): Descriptor {
    const flags = Number(this.number(address + 12, 2));
    const length = Number(this.number(address + 8, 4));
    return { address: this.number(address, 8), length, flags, next: Number(this.number(address + 14, 2)) };
  }
}

/** The pieces of a chain, cut where regions end, or the counter under which it is refused. */
export function walk(
  memory: ModelMemory,
  table: number,
  size: number,
  head: number,
  direction: number,
  room: number,
): Piece[] | string {
  const pieces: Piece[] = [];
  let [at, limit, index, inside, total, seen] = [table, size, head, false, 0, 0];
  for (;;) {
    if (seen++ === limit) return "desc_loop";
    const { address, length, flags, next } = memory.descriptor(at + index * 16);
    if ((flags & INDIRECT) !== 0) {
      if (inside) return "desc_nested";
      if ((flags & NEXT) !== 0 || length === 0 || length % 16 !== 0 || length > 32768 * 16) return "desc_indirect";
      if (memory.left(address) < length) return "desc_address";
      [at, limit, index, inside, seen] = [Number(address), length / 16, 0, true, 0];
      continue;
    }
    if ((flags & WRITE) !== direction) return "desc_direction";
    total += length;
    if (length === 0 || total > 2 ** 20) return "desc_length";
    for (let done = 0; done < length; ) {
      if (pieces.length === room) return "desc_loop";
      const here = Math.min(memory.left(address + BigInt(done)), length - done);
      if (here === 0) return "desc_address";
      pieces.push({ address: Number(address) + done, length: here });
      done += here;
    }
    if ((flags & NEXT) === 0) return pieces;
    if (next >= limit) return "desc_index";
    index = next;
  }
}

export interface ModelRing {
  size: number;
  desc: number;
  avail: number;
  used: number;
  /** Where the device stands; free-running. */
  next: number;
}

export interface ModelFrame {
  bytes: number[];
  header: number[];
  /** Pieces that the frame is handed on in. */
  pieces: number;
  /** Some of it lies in its ring's own used entries: what it says there hangs on when the device publishes, which is up to the device. */
  ofUsed: boolean;
}

export type Counts = Record<string, number>;

function count(counts: Counts, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}

function entry(ring: ModelRing, next: number): number {
  return next % ring.size;
}

function putUsed(memory: ModelMemory, ring: ModelRing, next: number, head: number, length: number): void {
  memory.store(ring.used + 4 + entry(ring, next) * 8, 4, head);
  memory.store(ring.used + 8 + entry(ring, next) * 8, 4, length);
}

function ahead(memory: ModelMemory, ring: ModelRing, next: number): number {
  return (Number(memory.number(ring.avail + 2, 2)) - next + 65536) % 65536;
}

function headAt(memory: ModelMemory, ring: ModelRing, next: number): number {
  return Number(memory.number(ring.avail + 4 + entry(ring, next) * 2, 2));
}

/** Everything that the device takes from a transmit queue; `forms` of its frames is the set of HOST_* forms allowed. */
export function fetchAll(memory: ModelMemory, ring: ModelRing, forms: Forms, counts: Counts): ModelFrame[] {
  const frames: ModelFrame[] = [];
  let { next } = ring;
  let pending = ahead(memory, ring, next);
  if (pending > ring.size) {
    count(counts, "avail_index");
    return frames;
  }
  for (; pending > 0; pending--) {
    const head = headAt(memory, ring, next);
    if (head >= ring.size) {
      count(counts, "avail_head");
      break;
    }
    const frame = fetchOne(memory, ring, head, forms);
    if (typeof frame === "string") count(counts, frame);
    else {
      frames.push(frame);
      count(counts, "rxBytes", frame.bytes.length);
    }
    count(counts, "rxFrames");
    putUsed(memory, ring, next, head, 0);
    next = (next + 1) % 65536;
  }
  if (next !== ring.next) memory.store(ring.used + 2, 2, next);
  return frames;
}

function fetchOne(memory: ModelMemory, ring: ModelRing, head: number, forms: Forms): ModelFrame | string {
  const pieces = walk(memory, ring.desc, ring.size, head, 0, TX_SEGMENTS);
  if (typeof pieces === "string") return pieces;
  const all = pieces.flatMap(({ address, length }) => Array.from({ length }, (_, n) => memory.read(address + n)));
  if (all.length < HEADER_SIZE + MIN_FRAME) return "runt";
  if (all.length > HEADER_SIZE + MAX_FRAME) return "oversized";
  const header = all.slice(0, HEADER_SIZE);
  const bytes = all.slice(HEADER_SIZE);
  const told = readHeader(header, bytes.length, forms);
  if (told === undefined) return "bad_header";
  const usedEnd = ring.used + 4 + ring.size * 8;
  const ofUsed = pieces.some(({ address, length }) => address < usedEnd && address + length > ring.used);
  return { bytes, header: told, pieces: handedOn(pieces.map(({ length }) => length)), ofUsed };
}

/** How many pieces are left when the header is gone, and the frame's start is together. */
function handedOn(lengths: number[]): number {
  const take = (wanted: number) => {
    for (let left = wanted; left > 0; ) {
      const piece = Math.min(lengths[0], left);
      lengths[0] -= piece;
      left -= piece;
      if (lengths[0] === 0) lengths.shift();
    }
  };
  take(HEADER_SIZE);
  if (lengths[0] >= MIN_FRAME) return lengths.length;
  take(
    Math.min(
      lengths.reduce((sum, length) => sum + length, 0),
      PULL_SIZE,
    ),
  );
  return lengths.length + 1;
}

/** Forms that a driver may use. */
export interface Forms {
  csum: boolean;
  tso4: boolean;
  tso6: boolean;
  ecn: boolean;
  uso: boolean;
}

/** The header as a receiver that takes every form is told it; undefined where the sender may not say it. */
function readHeader(header: number[], length: number, forms: Forms): number[] | undefined {
  const [flags, gso] = header;
  const word = (at: number) => header[at] + header[at + 1] * 256;
  if (flags % 2 === 0 && gso === 0) return new Array(HEADER_SIZE).fill(0);
  const [gsoSize, start, offset] = [word(4), word(6), word(8)];
  if (flags % 2 === 0 || !forms.csum || start + offset + 2 > length) return undefined;
  if (![0, 1, 4, 5, 0x81, 0x84].includes(gso)) return undefined;
  const type = gso % 128;
  if ((type === 1 && !forms.tso4) || (type === 4 && !forms.tso6) || (gso >= 128 && !forms.ecn)) return undefined;
  if (type === 5 && !forms.uso) return undefined;
  if (type !== 0 && gsoSize === 0) return undefined;
  const hint = type === 0 ? 0 : Math.min(start + (type === 5 ? 8 : 20), length);
  const size = type === 0 ? 0 : gsoSize;
  return [1, gso, ...[hint, size, start, offset, 0].flatMap((value) => [value % 256, value >> 8])];
}

/** Puts frames into a receive queue, whose index and buffers do not change meanwhile. */
export function deliverAll(
  memory: ModelMemory,
  ring: ModelRing,
  mergeable: boolean,
  frames: readonly ModelFrame[],
  counts: Counts,
): void {
  const start = ring.next;
  const state = { next: start, free: ahead(memory, ring, start) };
  if (state.free > ring.size && frames.length > 0) count(counts, "avail_index");
  if (state.free > ring.size) state.free = 0;
  for (const frame of frames) {
    const outcome = deliverOne(memory, ring, mergeable, frame, state, counts);
    count(counts, outcome);
    if (outcome === "txFrames") count(counts, "txBytes", frame.bytes.length);
  }
  if (state.next !== start) memory.store(ring.used + 2, 2, state.next);
}

function deliverOne(
  memory: ModelMemory,
  ring: ModelRing,
  mergeable: boolean,
  frame: ModelFrame,
  state: { next: number; free: number },
  counts: Counts,
): string {
  const needed = HEADER_SIZE + frame.bytes.length;
  for (;;) {
    if (state.free === 0) return "no_buffer";
    const head = headAt(memory, ring, state.next);
    if (head >= ring.size) {
      count(counts, "avail_head");
      state.free = 0;
      return "no_buffer";
    }
    const buffers = gather(memory, ring, mergeable, state, needed);
    if (buffers === "bad_buffer") {
      count(counts, "bad_buffer");
      putUsed(memory, ring, state.next, head, 0);
      state.next = (state.next + 1) % 65536;
      state.free--;
      continue;
    }
    if (typeof buffers === "string") return buffers;
    fill(memory, ring, frame, state, buffers, needed);
    state.next = (state.next + buffers.length) % 65536;
    state.free -= buffers.length;
    return "txFrames";
  }
}

interface Buffer {
  head: number;
  pieces: Piece[];
  length: number;
}

/** The buffers that a frame goes into, from state.next on. */
function gather(
  memory: ModelMemory,
  ring: ModelRing,
  mergeable: boolean,
  { next, free }: { next: number; free: number },
  needed: number,
): Buffer[] | string {
  const buffers: Buffer[] = [];
  let [room, segments] = [0, 0];
  while (room < needed) {
    if (buffers.length > 0 && !mergeable) return "buffer_too_small";
    if (buffers.length === free) return "no_buffer";
    const head = headAt(memory, ring, (next + buffers.length) % 65536);
    if (head >= ring.size) return "no_buffer";
    let pieces = walk(memory, ring.desc, ring.size, head, WRITE, RX_SEGMENTS - segments);
    if (buffers.length === 0) pieces = inPlace(memory, ring, head, needed) ?? pieces;
    if (typeof pieces === "string") return buffers.length === 0 ? "bad_buffer" : "no_buffer";
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    buffers.push({ head, pieces, length });
    room += length;
    segments += pieces.length;
  }
  return buffers;
}

/** A frame may go into a single buffer that has room for it, whatever lies behind that room. */
function inPlace(memory: ModelMemory, ring: ModelRing, head: number, needed: number) {
  const { address, length, flags } = memory.descriptor(ring.desc + head * 16);
  if ((flags & 7) !== WRITE || length < needed || length >= 2 ** 31) return undefined;
  return memory.left(address) < needed ? undefined : [{ address: Number(address), length: needed }];
}

function fill(
  memory: ModelMemory,
  ring: ModelRing,
  frame: ModelFrame,
  { next }: { next: number },
  buffers: Buffer[],
  needed: number,
): void {
  let left = needed;
  for (const [n, { head, length }] of buffers.entries()) {
    putUsed(memory, ring, (next + n) % 65536, head, Math.min(length, left));
    left -= Math.min(length, left);
  }
  const all = [...frame.header.slice(0, 10), buffers.length % 256, buffers.length >> 8, ...frame.bytes];
  const places = buffers.flatMap(({ pieces }) => pieces);
  let at = 0;
  for (const { address, length } of places) {
    for (let n = 0; n < length && at < all.length; n++) memory.write(address + n, all[at++]);
  }
}
