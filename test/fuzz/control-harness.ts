// The fuzzer of the control codec: makes CBOR items that are right, almost right, and wrong, and holds the guard and the
// decoder to what must be true of each:
//
//   guard(item) agrees with a second, naive reading of RFC 8949     and what it accepts
//   decodes without throwing, to plain values only, no deeper than the limit, and encodes again to the same
//
// A failure shows the seed and the item in hex; save the item as a file in `crashers/control` and it is tried every time.

import { DEPTH_MAX } from "../../src/control/cbor-guard.ts";
import type { Random } from "./random.ts";

export interface Codec {
  /** What is wrong with an item, or null. */
  guard(item: Uint8Array): string | null;
  decode(item: Uint8Array): unknown;
  encode(value: unknown): Uint8Array;
}

/** Throws where the codec breaks a rule on one of `rounds` items. */
export function fuzzCodec(codec: Codec, random: Random, rounds: number): void {
  for (let round = 0; round < rounds; round++) {
    const item = makeItem(random);
    try {
      checkItem(codec, item);
    } catch (error) {
      const hex = Buffer.from(item).toString("hex");
      throw new Error(`seed ${random.seed}, round ${round}, item ${hex}: ${(error as Error).message}`);
    }
  }
}

export function checkItem(codec: Codec, item: Uint8Array): void {
  const problem = codec.guard(item);
  if ((problem === null) !== isProtocolItem(item)) throw new Error(`the guard says ${problem}`);
  if (problem !== null) return;
  const value = codec.decode(item);
  if (!isPlain(value, DEPTH_MAX)) throw new Error("decoded to something else than plain values");
  const again = codec.encode(value);
  if (codec.guard(again) !== null) throw new Error("what was decoded is refused when encoded again");
  if (Buffer.compare(codec.encode(codec.decode(again)), again) !== 0) throw new Error("changes when encoded again");
}

/** One item: usually well formed, then often damaged in one place, as a mutation of real traffic would be. */
export function makeItem(random: Random): Uint8Array {
  if (random.once(16)) return random.bytes(random.below(40));
  const bytes: number[] = [];
  // Now and then a chain of arrays and maps that ends just before, at or just after the limit.
  const chain = random.once(8) ? DEPTH_MAX - 1 + random.below(3) : 0;
  for (let depth = 0; depth < chain; depth++) bytes.push(...random.pick([[0x81], [0xa1, 0x61, 0x61]]));
  put(bytes, random, chain === 0 ? 3 : 0);
  const item = Uint8Array.from(bytes);
  if (random.once(2)) return item;
  switch (random.below(4)) {
    case 0:
      item[random.below(item.length)] = random.below(256);
      return item;
    case 1:
      item[random.below(item.length)] ^= 1 << random.below(8);
      return item;
    case 2:
      return item.subarray(0, random.below(item.length));
    default:
      return Uint8Array.from([...item, ...random.bytes(1 + random.below(3))]);
  }
}

const LENGTHS = [0, 1, 2, 3, 23, 24, 25, 255, 256];

function put(bytes: number[], random: Random, depth: number): void {
  const major = depth === 0 ? random.pick([0, 1, 2, 3, 7]) : random.pick([0, 1, 2, 3, 4, 4, 5, 5, 6, 7]);
  if (major === 7) putSimple(bytes, random);
  else if (major < 2)
    putHead(bytes, major, random.once(4) ? random.next() * 2 ** random.below(24) : random.below(300), random);
  else if (major < 4) putString(bytes, random, major);
  else if (major < 6) putElements(bytes, random, depth, major);
  else {
    if (random.once(8)) putHead(bytes, 6, random.below(70), random);
    put(bytes, random, depth - 1);
  }
}

function putElements(bytes: number[], random: Random, depth: number, major: number): void {
  const count = random.below(4);
  putHead(bytes, major, count, random);
  for (let index = 0; index < count; index++) {
    if (major === 5) {
      if (random.once(32)) put(bytes, random, 0);
      else putString(bytes, random, 3);
    }
    put(bytes, random, depth - 1);
  }
}

function putString(bytes: number[], random: Random, major: number): void {
  const length = random.once(8) ? random.pick(LENGTHS) : random.below(8);
  putHead(bytes, major, length, random);
  const text = major === 3 && !random.once(16);
  for (let index = 0; index < length; index++) bytes.push(text ? 97 + random.below(26) : random.below(256));
}

function putSimple(bytes: number[], random: Random): void {
  const info = random.pick([20, 21, 22, 23, 25, 26, 27, 27]);
  bytes.push((7 << 5) | info, ...random.bytes(info < 24 ? 0 : 1 << (info - 24)));
}

/** A head in its shortest form, or sometimes in a longer one (RFC 8949, 3 allows both). */
function putHead(bytes: number[], major: number, argument: number, random: Random): void {
  let extra = argument < 24 ? 0 : argument < 256 ? 1 : argument < 65536 ? 2 : argument < 2 ** 32 ? 4 : 8;
  if (random.once(8)) extra = Math.max(extra, random.pick([1, 2, 4, 8]));
  bytes.push((major << 5) | (extra === 0 ? argument : 24 + Math.log2(extra)));
  for (let shift = extra - 1; shift >= 0; shift--) bytes.push(Math.floor(argument / 256 ** shift) % 256);
}

/** A second reading of the rules, recursive and slow, sharing nothing with the guard. */
function isProtocolItem(item: Uint8Array): boolean {
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  let at = 0;
  const take = (size: number) => {
    if (at + size > item.length) throw new Error("short");
    at += size;
    return item.subarray(at - size, at);
  };
  const refuse = (): never => {
    throw new Error("refused");
  };
  const read = (depth: number, keyed: boolean): void => {
    const [head] = take(1);
    const [major, info] = [head >> 5, head & 31];
    if (keyed && major !== 3) refuse();
    if (major === 7) {
      if (info >= 25 && info <= 27) take(1 << (info - 24));
      else if (info < 20 || info > 23) refuse();
      return;
    }
    if (info > 27 || major === 6) refuse();
    let argument = BigInt(info);
    if (info >= 24) argument = BigInt(`0x${Buffer.from(take(1 << (info - 24))).toString("hex")}`);
    if (major === 0 && argument >= 2n ** 53n) refuse();
    if (major === 1 && info === 27) refuse();
    if (major < 2) return;
    if (argument > BigInt(item.length)) refuse();
    const count = Number(argument);
    if (major < 4) {
      const bytes = take(count);
      if (major === 3) utf8.decode(bytes);
      return;
    }
    if (depth === 0) refuse();
    for (let index = 0; index < count; index++) {
      if (major === 5) read(depth - 1, true);
      read(depth - 1, false);
    }
  };
  try {
    read(DEPTH_MAX, false);
    return at === item.length;
  } catch {
    return false;
  }
}

function isPlain(value: unknown, depth: number): boolean {
  if (value === null || ["string", "number", "boolean", "undefined"].includes(typeof value)) return true;
  if (value instanceof Uint8Array) return true;
  if (typeof value !== "object" || depth === 0) return false;
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return false;
  return Object.values(value).every((inner) => isPlain(inner, depth - 1));
}
