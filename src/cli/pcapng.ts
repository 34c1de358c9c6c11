// Writes a capture as pcapng (draft-ietf-opsawg-pcapng): blocks of little-endian words, for a file or a pipe. pcap.ts reads such files.
//
//   section | interface 0 | packet, packet, ... | interface 1 | packet ... | statistics of each interface
//
//   block   type u32 | length u32 | body, padded to 4 | length u32        option   code u16 | length u16 | value, padded to 4
//
// An interface is a port, described before its first packet. Times are microseconds, which is the format's default. Pure.

const SECTION_BLOCK = 0x0a0d0d0a;
const SECTION_MAGIC = 0x1a2b3c4d;
const INTERFACE_BLOCK = 1;
const STATISTICS_BLOCK = 5;
const PACKET_BLOCK = 6;
const LINKTYPE_ETHERNET = 1;

const OPTION_END = 0;
const OPTION_COMMENT = 1;
const SECTION_APPLICATION = 4;
const INTERFACE_NAME = 2;
const PACKET_FLAGS = 2;
const STATISTICS_RECEIVED = 4;
const STATISTICS_DROPPED = 5;

const WORD_MAX = 2 ** 32;
/** Type, length, interface, time, captured bytes, bytes. */
const PACKET_HEADER_SIZE = 28;
/** A packet's flags, whose lowest bits these are, and the end of its options. */
const DIRECTION_OPTIONS = { in: lastOptions(1), out: lastOptions(2) };

export interface Packet {
  /** Index of its interface, in the order of their blocks. */
  interface: number;
  direction: keyof typeof DIRECTION_OPTIONS;
  timeUs: number;
  /** Of the whole frame. */
  length: number;
  bytes: Uint8Array;
  comment?: string;
}

/** The beginning of a file. */
export function sectionBlock(application: string): Uint8Array {
  // Version 1.0; the section's length is not known.
  const body = Buffer.concat([words(SECTION_MAGIC), halves(1, 0), words(WORD_MAX - 1, WORD_MAX - 1)]);
  return block(SECTION_BLOCK, body, text(SECTION_APPLICATION, application));
}

/** `snap`: the most bytes of a packet. */
export function interfaceBlock(name: string, snap: number): Uint8Array {
  return block(INTERFACE_BLOCK, Buffer.concat([halves(LINKTYPE_ETHERNET, 0), words(snap)]), text(INTERFACE_NAME, name));
}

/** In one piece: there may be hundreds of thousands of them a second. */
export function packetBlock({ interface: index, direction, timeUs, length, bytes, comment }: Packet): Uint8Array {
  const options = packetOptions(direction, comment);
  const optionsAt = PACKET_HEADER_SIZE + padding(bytes.length) + bytes.length;
  const size = optionsAt + options.length + 4;
  const made = new Uint8Array(size);
  const view = new DataView(made.buffer);
  const [high, low] = time(timeUs);
  view.setUint32(0, PACKET_BLOCK, true);
  view.setUint32(4, size, true);
  view.setUint32(8, index, true);
  view.setUint32(12, high, true);
  view.setUint32(16, low, true);
  view.setUint32(20, bytes.length, true);
  view.setUint32(24, length, true);
  made.set(bytes, PACKET_HEADER_SIZE);
  made.set(options, optionsAt);
  view.setUint32(size - 4, size, true);
  return made;
}

function packetOptions(direction: Packet["direction"], comment: string | undefined): Uint8Array {
  if (comment === undefined) return DIRECTION_OPTIONS[direction];
  return Buffer.concat([text(OPTION_COMMENT, comment), DIRECTION_OPTIONS[direction]]);
}

export interface Statistics {
  interface: number;
  timeUs: number;
  /** Packets that came, and of these those that are not in the file for want of room. */
  received: number;
  dropped: number;
  comment?: string;
}

export function statisticsBlock({ interface: index, timeUs, received, dropped, comment }: Statistics): Uint8Array {
  const options = [option(STATISTICS_RECEIVED, long(received)), option(STATISTICS_DROPPED, long(dropped))];
  if (comment !== undefined) options.push(text(OPTION_COMMENT, comment));
  return block(STATISTICS_BLOCK, words(index, ...time(timeUs)), ...options);
}

function block(type: number, body: Uint8Array, ...options: Uint8Array[]): Uint8Array {
  const end = options.length === 0 ? [] : [option(OPTION_END, new Uint8Array())];
  const content = Buffer.concat([body, ...options, ...end]);
  const length = content.length + 12;
  return Buffer.concat([words(type, length), content, words(length)]);
}

function lastOptions(flags: number): Uint8Array {
  return Buffer.concat([option(PACKET_FLAGS, words(flags)), option(OPTION_END, new Uint8Array())]);
}

function option(code: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([halves(code, value.length), padded(value)]);
}

function text(code: number, value: string): Uint8Array {
  return option(code, new TextEncoder().encode(value));
}

/** High word, low word. */
function time(us: number): [number, number] {
  return [Math.floor(us / WORD_MAX), us % WORD_MAX];
}

/** 64 bits. */
function long(value: number): Uint8Array {
  return words(value % WORD_MAX, Math.floor(value / WORD_MAX));
}

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => void view.setUint32(4 * index, value, true));
  return bytes;
}

function halves(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => void view.setUint16(2 * index, value, true));
  return bytes;
}

function padded(bytes: Uint8Array): Uint8Array {
  const more = padding(bytes.length);
  return more === 0 ? bytes : Buffer.concat([bytes, new Uint8Array(more)]);
}

/** Bytes that fill `size` up to a multiple of 4. */
function padding(size: number): number {
  return -size & 3;
}
