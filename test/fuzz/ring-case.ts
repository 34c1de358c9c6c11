// Cases for the ring fuzzer: the memory of a sender and of a receiver, with a ring in each. Most of what is in a ring is
// nearly right, since pure noise is refused at its first descriptor. A case is plain data, so that one that was found can
// be kept as a file.
//
//   region 0: descriptor table | avail ring | used ring | noise        regions 1..: noise
//   noise holds frames, headers and indirect tables wherever addresses happen to point

import type { Random } from "./random.ts";
import type { ModelRing } from "./ring-model.ts";

export interface Image {
  regions: { guest: number; bytes: Uint8Array }[];
  ring: ModelRing;
}

export interface RingCase {
  sender: Image;
  receiver: Image;
  mergeable: boolean;
  /** Offload forms the sender negotiated: CSUM, TSO4 and ECN, and then perhaps USO too. */
  forms: boolean;
  uso: boolean;
}

/** Around zero, the sign, and what a chain may have together. */
const ODD_LENGTHS = [0, 16, 65536, 2 ** 20 - 20, 2 ** 20, 2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1];
const LENGTHS = [1, 2, 11, 12, 13, 14, 25, 26, 27, 40, 60, 76, 200, 1526, 4096];
/** What Linux knows of gso types, with and without ECN, and some that it does not. */
const GSO_TYPES = [0, 1, 4, 5, 0x81, 0x84, 0x85, 2, 3, 6, 0x80];
const BASES = [0, 4096, 2 ** 32 - 8192, 2 ** 32, 2 ** 40, 2 ** 53 - 2 ** 17];

export function makeCase(random: Random): RingCase {
  return {
    sender: makeImage(random, 0),
    receiver: makeImage(random, 2),
    mergeable: random.once(2),
    forms: random.once(2),
    uso: random.once(2),
  };
}

function makeImage(random: Random, flags: number): Image {
  const size = random.pick([1, 2, 4, 8, 8, 16]);
  const regions: Image["regions"] = [];
  let guest = random.pick(BASES);
  for (let n = 1 + random.below(3); n > 0; n--) {
    const bytes = noise(random, 1024 + random.below(1500) * 4);
    regions.push({ guest, bytes });
    guest += bytes.length + (random.once(3) ? 64 : 0);
  }
  const base = regions[0].guest;
  const avail = base + size * 16;
  const used = Math.ceil((avail + 4 + size * 2) / 4) * 4;
  const image = {
    regions,
    ring: { size, desc: base, avail, used, next: random.pick([0, 1, 65530, random.below(65536)]) },
  };
  fillRing(random, image, flags);
  return image;
}

/** Mostly small numbers: a header of noise would nearly always be a bad one. */
function noise(random: Random, length: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  const mask = random.pick([0, 0, 0x01000001, 0xff]);
  for (let n = 0; n < words.length; n++) words[n] = random.once(3) ? random.next() & mask : 0;
  return new Uint8Array(words.buffer);
}

function fillRing(random: Random, { regions, ring }: Image, flags: number): void {
  const view = new DataView(regions[0].bytes.buffer);
  const base = regions[0].guest;
  const tables = Array.from({ length: 3 }, () => makeTable(random, regions, ring, flags));
  for (let n = 0; n < ring.size; n++) putDescriptor(random, view, n * 16, ring.size, regions, flags, tables);
  const at = ring.avail - base;
  const pending = random.once(30) ? random.pick([ring.size + 1, random.below(65536)]) : 1 + random.below(ring.size);
  view.setUint16(at, random.below(2), true);
  view.setUint16(at + 2, (ring.next + pending) & 0xffff, true);
  for (let n = 0; n < ring.size; n++) {
    const head = random.once(60) ? random.pick([ring.size, 65535]) : random.below(ring.size);
    view.setUint16(at + 4 + n * 2, head, true);
  }
  view.setUint16(ring.used - base + 2, ring.next, true);
}

interface Table {
  address: number;
  length: number;
}

/** An indirect table somewhere in the noise, behind the ring. */
function makeTable(random: Random, regions: Image["regions"], ring: ModelRing, flags: number): Table {
  const { guest, bytes } = random.pick(regions);
  const count = 1 + random.below(6);
  const first = guest === regions[0].guest ? ring.used - guest + 4 + ring.size * 8 : 0;
  const offset = first + random.below(bytes.length - first - count * 16);
  const view = new DataView(bytes.buffer);
  for (let n = 0; n < count; n++) putDescriptor(random, view, offset + n * 16, count, regions, flags, []);
  return { address: guest + offset, length: count * 16 };
}

function putDescriptor(
  random: Random,
  view: DataView,
  at: number,
  size: number,
  regions: Image["regions"],
  direction: number,
  tables: readonly Table[],
): void {
  let flags = direction | (random.once(3) ? 1 : 0);
  let length = random.once(12) ? random.pick(ODD_LENGTHS) : random.pick(LENGTHS);
  const buffer = place(random, regions, length, direction);
  if (direction === 0 && random.once(3)) putHeader(random, regions, buffer);
  let address = BigInt(buffer);
  if (random.once(40)) address = BigInt(random.next()) << BigInt(random.below(33));
  if (tables.length > 0 ? random.once(5) : random.once(40)) {
    const table = tables.length > 0 ? random.pick(tables) : undefined;
    flags = 4 | (random.once(10) ? 1 : 0) | (random.once(4) ? 2 : 0);
    if (table !== undefined) address = BigInt(table.address);
    length = table === undefined || random.once(8) ? random.below(100) : table.length;
  } else if (random.once(25)) flags ^= random.pick([2, 4, 8, 0xfff0]);
  view.setBigUint64(at, address, true);
  view.setUint32(at + 8, length, true);
  view.setUint16(at + 12, flags, true);
  view.setUint16(at + 14, random.once(20) ? random.below(65536) : random.below(size + 1), true);
}

/** A virtio-net header that asks for something: types are too many for noise to say each now and then. */
function putHeader(random: Random, regions: Image["regions"], address: number): void {
  const region = regions.find(({ guest, bytes }) => address >= guest && address + 12 <= guest + bytes.length);
  if (region === undefined) return;
  const size = random.pick([0, 1, 100, 0xffff]);
  const fields = [random.below(4), random.pick(GSO_TYPES), 0, 0, size & 255, size >> 8, random.below(40), 0, 6, 0];
  region.bytes.set(fields, address - region.guest);
}

/** An address of a buffer: mostly inside, sometimes across a border. What is written to keeps clear of the ring. */
function place(random: Random, regions: Image["regions"], length: number, direction: number): number {
  const index = random.below(regions.length);
  const { guest, bytes } = regions[index];
  const first = index === 0 ? 500 : 0;
  if (random.once(6)) return guest + bytes.length - random.below(Math.min(length + 2, bytes.length - first));
  // Two buffers that share bytes are as good as any, unless the device writes both at once.
  const room = Math.max(1, bytes.length - first - (direction === 0 ? 0 : Math.min(length, 1600)));
  return guest + first + random.below(room);
}

/** A case as text: numbers as they are, memory in base64. */
export function caseToText(it: RingCase): string {
  return JSON.stringify(it, (_key, value) =>
    value instanceof Uint8Array ? { base64: Buffer.from(value).toString("base64") } : value,
  );
}

export function caseFromText(text: string): RingCase {
  return JSON.parse(text, (_key, value) =>
    typeof value?.base64 === "string" ? new Uint8Array(Buffer.from(value.base64, "base64")) : value,
  );
}
