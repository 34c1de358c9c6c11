// The frames of many flows: UDP over IPv4 to one address, from sources and ports that are counted through. Beside them, what every
// client of the bench sends, so that rules can be made that its frames miss (mixed-rules.ts). Pure.
//
//   flow n: n times an odd number, modulo 2^32 = [ 17 bits: source in 198.18.0.0/15 | 15 bits: source port from 1024 ]
//
// No flow comes twice before 2^32 frames, and neighbours differ in both. The IPv4 checksum is left at 0: no switch here looks at it.

export type Mac = readonly number[];

/** RFC 2544, appendix C.2.2: what benchmarks between networks use. testpmd's frames are from and to it, too. */
export const CLIENT_NETWORK = "198.18.0.0/15";
export const CLIENT_TARGET = "198.18.0.2";
/** testpmd's frames come from it as well: UDP's discard service. */
export const CLIENT_PORT = 9;

const FIRST_SOURCE_PORT = 1024;
/** 2^32 over the golden ratio, made odd: multiplying by it is a permutation. */
const SCATTER = 0x9e3779b1;
/** Its inverse, modulo 2^32. */
const GATHER = 0xe8b2f51;

const ETHERNET_SIZE = 14;
const IP_SIZE = 20;
// Places of what differs, in half words from the frame's start.
const SOURCE_HIGH = (ETHERNET_SIZE + 12) >> 1;
const SOURCE_LOW = SOURCE_HIGH + 1;
const SOURCE_PORT = (ETHERNET_SIZE + IP_SIZE) >> 1;

export function macOf(text: string): Mac {
  return text.split(":").map((byte) => Number.parseInt(byte, 16));
}

/** A frame of `size` bytes; `setFlow` makes it one of a flow. */
export function flowFrame(size: number, from: Mac, to: Mac): Uint8Array {
  const frame = new Uint8Array(size);
  const view = new DataView(frame.buffer);
  frame.set([...to, ...from, 0x08, 0x00, 0x45]);
  view.setUint16(ETHERNET_SIZE + 2, size - ETHERNET_SIZE);
  frame.set([64, 17], ETHERNET_SIZE + 8);
  frame.set(CLIENT_TARGET.split(".").map(Number), ETHERNET_SIZE + 16);
  view.setUint16(ETHERNET_SIZE + IP_SIZE + 2, CLIENT_PORT);
  view.setUint16(ETHERNET_SIZE + IP_SIZE + 4, size - ETHERNET_SIZE - IP_SIZE);
  return frame;
}

/** Makes the frame that begins at half word `at` one of flow `n`. */
export function setFlow(halves: Uint16Array, at: number, n: number): void {
  const scattered = Math.imul(n, SCATTER);
  const host = scattered >>> 15;
  halves[at + SOURCE_HIGH] = bigEndian(0xc612 + (host >>> 16));
  halves[at + SOURCE_LOW] = bigEndian(host & 0xffff);
  halves[at + SOURCE_PORT] = bigEndian(FIRST_SOURCE_PORT + (scattered & 0x7fff));
}

/** The flow of the frame that begins at half word `at`, which `setFlow` made. */
export function flowAt(halves: Uint16Array, at: number): number {
  const host = ((bigEndian(halves[at + SOURCE_HIGH]) - 0xc612) << 16) | bigEndian(halves[at + SOURCE_LOW]);
  return Math.imul((host << 15) | (bigEndian(halves[at + SOURCE_PORT]) - FIRST_SOURCE_PORT), GATHER) >>> 0;
}

function bigEndian(half: number): number {
  return ((half & 0xff) << 8) | (half >>> 8);
}
