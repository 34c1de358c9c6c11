// Reads one frame out of a capture: classic pcap in either byte order, in micro- or nanoseconds, and pcapng
// (draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng). Nothing is kept of the rest, so a capture may be of any size.
//
//   pcap     magic u32 | version | … | link type u32 at 20        then   seconds, fraction, captured u32, length u32 | frame
//   pcapng   blocks: type u32, total length u32 | body | total length: section (byte order), interface (link type), packet
//
// Whatever stands in the file, each read is bounded and each step goes on by at least a header. Control thread; reads a file.

import { closeSync, openSync, readSync } from "node:fs";
import { RingyardError } from "../core/errors.ts";
import { word } from "../core/quote.ts";

export interface CapturedFrame {
  bytes: Uint8Array;
  /** On the wire; more than what was captured, where that was cut. */
  length: number;
}

/** Bytes of a file, or of memory: at most `size` from `at`, fewer at its end. */
export type ReadAt = (at: number, size: number) => Uint8Array;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_SIZE = 24;
const RECORD_HEADER_SIZE = 16;
const LINKTYPE_ETHERNET = 1;

const SECTION_BLOCK = 0x0a0d0d0a;
const SECTION_MAGIC = 0x1a2b3c4d;
const INTERFACE_BLOCK = 1;
const OLD_PACKET_BLOCK = 2;
const SIMPLE_PACKET_BLOCK = 3;
const PACKET_BLOCK = 6;
const BLOCK_HEADER_SIZE = 8;
/** Type, length, and the length again. */
const BLOCK_SIZE_MIN = 12;

/** No snap length of a real capture is larger. */
const CAPTURED_MAX = 256 * 1024;

/** Frame `number` (from 1) of the capture in `file`; throws RingyardError. */
export function readCapture(file: string, number: number): CapturedFrame {
  let fd: number | undefined;
  try {
    fd = openSync(file, "r");
    return nthFrame(bufferedFile(fd), number, word(file));
  } catch (error) {
    if (error instanceof RingyardError) throw error;
    // A directory opens and cannot be read; nor can a pipe, at an offset.
    const { code } = error as NodeJS.ErrnoException;
    throw new RingyardError("MISSING", `cannot read ${word(file)}: ${code}`, "name the file of a capture");
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The same over any source of bytes; `name` is for messages. */
export function nthFrame(read: ReadAt, number: number, name: string): CapturedFrame {
  const magic = read(0, 4);
  if (magic.length < 4) throw noCapture(name);
  const big = viewOf(magic).getUint32(0);
  const little = viewOf(magic).getUint32(0, true);
  const frames =
    big === SECTION_BLOCK
      ? blockFrames(read, name)
      : recordFrames(read, name, [MAGIC_MICROSECONDS, MAGIC_NANOSECONDS].includes(little), [big, little]);
  let count = 0;
  for (const frame of frames) if (++count === number) return frame();
  const there = count === 1 ? "1 frame" : `${count} frames`;
  throw new RingyardError("NOT_FOUND", `${name} has ${there}, none is number ${number}`);
}

/** Makes the frame when it is the one. */
type Found = () => CapturedFrame;

function* recordFrames(read: ReadAt, name: string, little: boolean, magics: number[]): Generator<Found> {
  if (!magics.some((magic) => magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS)) throw noCapture(name);
  const header = read(0, FILE_HEADER_SIZE);
  if (header.length < FILE_HEADER_SIZE) throw cutShort(name);
  // The upper bits say how long a frame's check sequence is.
  requireEthernet(name, viewOf(header).getUint32(20, little) & 0xffff);
  for (let at = FILE_HEADER_SIZE; ; ) {
    const record = read(at, RECORD_HEADER_SIZE);
    if (record.length === 0) return;
    if (record.length < RECORD_HEADER_SIZE) throw cutShort(name);
    const captured = viewOf(record).getUint32(8, little);
    const length = viewOf(record).getUint32(12, little);
    const start = at + RECORD_HEADER_SIZE;
    yield () => frameAt(read, name, start, captured, length);
    at = start + captured;
  }
}

function* blockFrames(read: ReadAt, name: string): Generator<Found> {
  let little = true;
  let interfaces: { linkType: number; snapLength: number }[] = [];
  for (let at = 0; ; ) {
    const head = read(at, BLOCK_HEADER_SIZE + 20);
    if (head.length === 0) return;
    if (head.length < BLOCK_SIZE_MIN) throw cutShort(name);
    const view = viewOf(head);
    if (view.getUint32(0) === SECTION_BLOCK) {
      little = view.getUint32(8, true) === SECTION_MAGIC;
      if (!little && view.getUint32(8) !== SECTION_MAGIC) throw noCapture(name);
      interfaces = [];
    }
    const type = view.getUint32(0, little);
    const size = view.getUint32(4, little);
    if (size < BLOCK_SIZE_MIN || size % 4 !== 0) throw noCapture(name);
    const field = (offset: number) => {
      if (offset + 4 > head.length) throw cutShort(name);
      return view.getUint32(offset, little);
    };
    const packet = (port: number, captured: number, length: number, start: number): Found => {
      const found = interfaces[port];
      if (found === undefined) throw noCapture(name);
      return () => {
        requireEthernet(name, found.linkType);
        return frameAt(read, name, start, captured, length);
      };
    };
    if (type === INTERFACE_BLOCK) {
      const linkType = little ? field(8) & 0xffff : field(8) >>> 16;
      interfaces.push({ linkType, snapLength: field(12) });
    } else if (type === PACKET_BLOCK) yield packet(field(8), field(20), field(24), at + 28);
    else if (type === OLD_PACKET_BLOCK) {
      const port = little ? field(8) & 0xffff : field(8) >>> 16;
      yield packet(port, field(20), field(24), at + 28);
    } else if (type === SIMPLE_PACKET_BLOCK) {
      const length = field(8);
      const snapLength = interfaces[0]?.snapLength || length;
      yield packet(0, Math.min(length, snapLength), length, at + 12);
    }
    at += size;
  }
}

function frameAt(read: ReadAt, name: string, start: number, captured: number, length: number): CapturedFrame {
  if (captured > CAPTURED_MAX) throw noCapture(name);
  const bytes = read(start, captured);
  if (bytes.length < captured) throw cutShort(name);
  return { bytes: bytes.slice(), length: Math.max(length, captured) };
}

function requireEthernet(name: string, linkType: number): void {
  if (linkType === LINKTYPE_ETHERNET) return;
  throw new RingyardError("UNSUPPORTED", `${name}: frames of link type ${linkType}`, "capture on an Ethernet device");
}

function noCapture(name: string): RingyardError {
  return new RingyardError("BAD_OPTION", `${name} is no pcap or pcapng file, or broken`, "write one with tcpdump -w");
}

function cutShort(name: string): RingyardError {
  return new RingyardError("BAD_OPTION", `${name} ends in the middle of a frame`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const BLOCK_SIZE = 64 * 1024;

/** Headers follow each other closely: one system call for many. */
function bufferedFile(fd: number): ReadAt {
  const block = new Uint8Array(BLOCK_SIZE);
  let start = 0;
  let size = 0;
  return (at, wanted) => {
    if (wanted > BLOCK_SIZE) {
      const bytes = new Uint8Array(wanted);
      return bytes.subarray(0, readSync(fd, bytes, 0, wanted, at));
    }
    if (at < start || at + wanted > start + size) {
      start = at;
      size = readSync(fd, block, 0, BLOCK_SIZE, at);
    }
    return block.subarray(at - start, Math.min(at - start + wanted, size));
  };
}
