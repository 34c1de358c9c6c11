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
export const GSO_UDP_L4 = 5;
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

/** A frame as a stack with offloads hands it over: `gsoSize` 0 asks for its checksum only. */
export function offloaded(to: Mac, from: Mac, spec: FrameSpec, gsoSize: number, ecn = false): Sent {
  const { bytes, l4 } = build({ ...spec, partial: true });
  const tcp = spec.transport === "tcp";
  const tso = (spec.version === 4 ? GSO_TCPV4 : GSO_TCPV6) | (ecn ? GSO_ECN : 0);
  const gsoType = gsoSize === 0 ? 0 : tcp ? tso : GSO_UDP_L4;
  const header = netHeader({ flags: NEEDS_CSUM, gsoType, gsoSize, csumStart: l4, csumOffset: tcp ? 16 : 6 });
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

/** The frames that a sender without TSO or USO would have sent in a super-frame's place. */
export function plainSegments(to: Mac, from: Mac, spec: FrameSpec, mss: number): Uint8Array[] {
  const count = Math.max(1, Math.ceil(spec.payload.length / mss));
  return Array.from({ length: count }, (_, k) => {
    const flags = spec.flags & ~(k === 0 ? 0 : CWR) & ~(k === count - 1 ? 0 : FIN_PSH);
    const payload = spec.payload.slice(k * mss, (k + 1) * mss);
    const sequence = (spec.sequence + k * mss) % 2 ** 32;
    return complete(to, from, { ...spec, payload, flags, sequence, id: (spec.id + k) % 65536 });
  });
}

/** Where an IP packet's layers lie. */
interface Layers {
  l3: number;
  l4: number;
  end: number;
  version: 4 | 6;
  tags: number;
}

export interface Tcp extends Omit<Layers, "end"> {
  sequence: number;
  acknowledgment: number;
  flags: number;
  payload: Uint8Array;
}

export interface Udp extends Omit<Layers, "end"> {
  from: number;
  to: number;
  payload: Uint8Array;
}

const at16 = (bytes: Uint8Array, offset: number) => bytes[offset] * 256 + bytes[offset + 1];
const at32 = (bytes: Uint8Array, offset: number) => at16(bytes, offset) * 65536 + at16(bytes, offset + 2);

/** Takes a TCP frame apart and checks every length and checksum in it; throws what is wrong. Null: no TCP. */
export function verifyTcp(bytes: Uint8Array): Tcp | null {
  const layers = verifyPacket(bytes, 6, "TCP");
  if (layers === null) return null;
  const { end, ...rest } = layers;
  const { l4 } = rest;
  const payload = bytes.subarray(l4 + (bytes[l4 + 12] >> 4) * 4, end);
  const [sequence, acknowledgment] = [at32(bytes, l4 + 4), at32(bytes, l4 + 8)];
  return { ...rest, flags: bytes[l4 + 13], payload, sequence, acknowledgment };
}

/** The same for a UDP datagram, which has to have a checksum. */
export function verifyUdp(bytes: Uint8Array): Udp | null {
  const layers = verifyPacket(bytes, 17, "UDP");
  if (layers === null) return null;
  const { end, ...rest } = layers;
  const { l4 } = rest;
  if (at16(bytes, l4 + 4) !== end - l4) throw new Error(`UDP says ${at16(bytes, l4 + 4)} bytes, ${end - l4} are there`);
  if (at16(bytes, l4 + 6) === 0) throw new Error("no UDP checksum");
  return { ...rest, from: at16(bytes, l4), to: at16(bytes, l4 + 2), payload: bytes.subarray(l4 + 8, end) };
}

/** Checks the IP packet around a transport protocol and that protocol's checksum. Null: another protocol. */
function verifyPacket(bytes: Uint8Array, protocol: number, name: string): Layers | null {
  let l3 = 14;
  while (at16(bytes, l3 - 2) === 0x8100 || at16(bytes, l3 - 2) === 0x88a8) l3 += 4;
  const type = at16(bytes, l3 - 2);
  if (type !== 0x0800 && type !== 0x86dd) return null;
  const version = type === 0x0800 ? 4 : 6;
  if (bytes[l3 + (version === 4 ? 9 : 6)] !== protocol) return null;
  const headerSize = version === 4 ? (bytes[l3] % 16) * 4 : 40;
  const size = version === 4 ? at16(bytes, l3 + 2) : at16(bytes, l3 + 4) + 40;
  const l4 = l3 + headerSize;
  const end = l3 + size;
  // Ethernet pads to 60 bytes.
  if (end > bytes.length || (end < bytes.length && bytes.length > 60)) {
    throw new Error(`the IP header says ${size} bytes, ${bytes.length - l3} are there`);
  }
  if (version === 4 && referenceSum(bytes.subarray(l3, l4)) !== 0xffff) throw new Error("wrong IPv4 header checksum");
  const addresses = version === 4 ? [12, 16, 20] : [8, 24, 40];
  const [source, target] = [0, 1].map((i) => [...bytes.subarray(l3 + addresses[i], l3 + addresses[i + 1])]);
  const sum = referenceSum([...pseudoHeader(source, target, protocol, end - l4), ...bytes.subarray(l4, end)]);
  if (sum !== 0xffff) throw new Error(`wrong ${name} checksum in ${end - l4} bytes: the sum is 0x${sum.toString(16)}`);
  return { l3, l4, end, version, tags: (l3 - 14) / 4 };
}
