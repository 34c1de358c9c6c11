// Frames for tests, and a slow look at what came out: addresses, numbered frames that show loss and order, super-frames
// with their virtio-net header, and a check of every length and checksum that shares nothing with src.
//
//   numbered   to 6 | from 6 | 88b5 | sender u16 | number u32 | filler       (IEEE 802: 88b5 is for local experiments)
//   super      a frame of dataplane/offload/reference.ts | header: NEEDS_CSUM, gso type and size, csum_start, csum_offset

import { build, type FrameSpec, pseudoHeader, referenceSum } from "../dataplane/offload/reference.ts";

export type Mac = readonly number[];

export const BROADCAST: Mac = [255, 255, 255, 255, 255, 255];
export const HEADER_SIZE = 12;
const NUMBERED_TYPE = [0x88, 0xb5];

/** A unicast address of our own making: 02:00:00:00:XX:XX. */
export function mac(n: number): Mac {
  return [0x02, 0, 0, 0, n >> 8, n & 0xff];
}

export function macText(address: Mac): string {
  return address.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** A frame of no protocol, `size` bytes long. */
export function frame(to: Mac, from: Mac, size = 64, fill = 0x5a): Uint8Array {
  const bytes = new Uint8Array(size).fill(fill);
  bytes.set(to, 0);
  bytes.set(from, 6);
  bytes.set(NUMBERED_TYPE, 12);
  return bytes;
}

export function numbered(to: Mac, from: Mac, sender: number, number: number, size = 64): Uint8Array {
  const bytes = frame(to, from, size, number & 0xff);
  const view = new DataView(bytes.buffer);
  view.setUint16(14, sender);
  view.setUint32(16, number);
  return bytes;
}

export interface Numbered {
  sender: number;
  number: number;
}

/** What `numbered` wrote; null for other frames (a kernel's own chatter). */
export function readNumbered(bytes: Uint8Array): Numbered | null {
  if (bytes.length < 20 || bytes[12] !== NUMBERED_TYPE[0] || bytes[13] !== NUMBERED_TYPE[1]) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { sender: view.getUint16(14), number: view.getUint32(16) };
}

/** struct virtio_net_hdr_v1 as numbers. */
export interface NetHeader {
  flags: number;
  gsoType: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
}

export const NEEDS_CSUM = 1;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_ECN = 0x80;

export function netHeader(header: Partial<NetHeader>): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  bytes[0] = header.flags ?? 0;
  bytes[1] = header.gsoType ?? 0;
  view.setUint16(4, header.gsoSize ?? 0, true);
  view.setUint16(6, header.csumStart ?? 0, true);
  view.setUint16(8, header.csumOffset ?? 0, true);
  return bytes;
}

export function readNetHeader(bytes: Uint8Array): NetHeader & { hdrLen: number; buffers: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  return {
    flags: bytes[0],
    gsoType: bytes[1],
    hdrLen: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    csumStart: view.getUint16(6, true),
    csumOffset: view.getUint16(8, true),
    buffers: view.getUint16(10, true),
  };
}

export interface Sent {
  bytes: Uint8Array;
  header: Uint8Array;
}

/** A TCP frame as a stack with offloads hands it over: `gsoSize` 0 asks for its checksum only. */
export function offloaded(to: Mac, from: Mac, spec: FrameSpec, gsoSize: number, ecn = false): Sent {
  const { bytes, l4 } = build({ ...spec, partial: true });
  const gsoType = gsoSize === 0 ? 0 : (spec.version === 4 ? GSO_TCPV4 : GSO_TCPV6) | (ecn ? GSO_ECN : 0);
  const header = netHeader({ flags: NEEDS_CSUM, gsoType, gsoSize, csumStart: l4, csumOffset: 16 });
  return { bytes: addressed(to, from, bytes), header };
}

/** The frame that the same stack would send without offloads. */
export function complete(to: Mac, from: Mac, spec: FrameSpec): Uint8Array {
  return addressed(to, from, build({ ...spec, partial: false }).bytes);
}

function addressed(to: Mac, from: Mac, bytes: number[]): Uint8Array {
  return Uint8Array.from([...to, ...from, ...bytes.slice(12)]);
}

const FIN_PSH = 0x09;
const CWR = 0x80;

/** The frames that a sender without TSO would have sent in a super-frame's place. */
export function plainSegments(to: Mac, from: Mac, spec: FrameSpec, mss: number): Uint8Array[] {
  const count = Math.max(1, Math.ceil(spec.payload.length / mss));
  return Array.from({ length: count }, (_, k) => {
    const flags = spec.flags & ~(k === 0 ? 0 : CWR) & ~(k === count - 1 ? 0 : FIN_PSH);
    const payload = spec.payload.slice(k * mss, (k + 1) * mss);
    const sequence = (spec.sequence + k * mss) % 2 ** 32;
    return complete(to, from, { ...spec, payload, flags, sequence, id: (spec.id + k) % 65536 });
  });
}

export interface Tcp {
  l3: number;
  l4: number;
  version: 4 | 6;
  tags: number;
  sequence: number;
  acknowledgment: number;
  flags: number;
  payload: Uint8Array;
}

/** Takes a TCP frame apart and checks every length and checksum in it; throws what is wrong. Null: no TCP. */
export function verifyTcp(bytes: Uint8Array): Tcp | null {
  const at16 = (offset: number) => bytes[offset] * 256 + bytes[offset + 1];
  const at32 = (offset: number) => at16(offset) * 65536 + at16(offset + 2);
  let l3 = 14;
  while (at16(l3 - 2) === 0x8100 || at16(l3 - 2) === 0x88a8) l3 += 4;
  const type = at16(l3 - 2);
  if (type !== 0x0800 && type !== 0x86dd) return null;
  const version = type === 0x0800 ? 4 : 6;
  if (bytes[l3 + (version === 4 ? 9 : 6)] !== 6) return null;
  const headerSize = version === 4 ? (bytes[l3] % 16) * 4 : 40;
  const size = version === 4 ? at16(l3 + 2) : at16(l3 + 4) + 40;
  const l4 = l3 + headerSize;
  const end = l3 + size;
  // Ethernet pads to 60 bytes.
  if (end > bytes.length || (end < bytes.length && bytes.length > 60)) {
    throw new Error(`the IP header says ${size} bytes, ${bytes.length - l3} are there`);
  }
  if (version === 4 && referenceSum(bytes.subarray(l3, l4)) !== 0xffff) throw new Error("wrong IPv4 header checksum");
  const addresses = version === 4 ? [12, 16, 20] : [8, 24, 40];
  const [source, target] = [0, 1].map((i) => [...bytes.subarray(l3 + addresses[i], l3 + addresses[i + 1])]);
  const sum = referenceSum([...pseudoHeader(source, target, 6, end - l4), ...bytes.subarray(l4, end)]);
  if (sum !== 0xffff) throw new Error(`wrong TCP checksum in ${end - l4} bytes: the sum is 0x${sum.toString(16)}`);
  const payload = bytes.subarray(l4 + (bytes[l4 + 12] >> 4) * 4, end);
  const common = { l3, l4, version, tags: (l3 - 14) / 4, flags: bytes[l4 + 13], payload } as const;
  return { ...common, sequence: at32(l4 + 4), acknowledgment: at32(l4 + 8) };
}
