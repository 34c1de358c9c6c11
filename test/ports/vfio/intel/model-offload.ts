// What a device makes of transmit descriptors: their context read as the data sheets say (82574: 7.2.4, 82576: 7.2.2), the
// checksums filled in and super-frames cut the slow way. Shares nothing with src.

export interface Context {
  /** Whether descriptors are the 82576's. */
  advanced: boolean;
  words: readonly number[];
}

export interface Asked {
  bytes: Uint8Array<ArrayBuffer>;
  /** POPTS: the IP checksum, the transport's. */
  ixsm: boolean;
  txsm: boolean;
  tse: boolean;
  /** PAYLEN of an advanced data descriptor. */
  payload: number;
  context: Context | undefined;
}

/** Sum of 16-bit words, carried, from `from` to `to`. */
function sum(bytes: Uint8Array, from: number, to: number, start = 0): number {
  let total = start;
  for (let at = from; at < to; at++) total += (at - from) % 2 === 0 ? bytes[at] * 256 : bytes[at];
  while (total > 0xffff) total = (total % 65536) + Math.floor(total / 65536);
  return total;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

interface Places {
  l3: number;
  l4: number;
  csumAt: number;
  header: number;
  mss: number;
  payload: number;
}

function places({ bytes, context, payload }: Asked): Places {
  if (context === undefined) throw new Error("an offload without a context");
  const [w0, w1, w2, w3] = context.words;
  if (context.advanced) {
    const l3 = (w0 >> 9) & 0x7f;
    const l4 = l3 + (w0 & 0x1ff);
    const tcp = ((w2 >> 11) & 3) === 1;
    return { l3, l4, csumAt: l4 + (tcp ? 16 : 6), header: l4 + ((w3 >> 8) & 0xff), mss: w3 >>> 16, payload };
  }
  const l3 = w0 & 0xff;
  const l4 = w1 & 0xff;
  const header = (w3 >> 8) & 0xff;
  const length = w2 & 0xfffff;
  if (length !== 0 && length !== bytes.length - header) throw new Error("PAYLEN is not the payload");
  return { l3, l4, csumAt: (w1 >> 8) & 0xff, header, mss: w3 >>> 16, payload: length };
}

/** The frames that go out on the wire. */
export function wireFrames(asked: Asked): Uint8Array<ArrayBuffer>[] {
  if (asked.tse) return cut(asked, places(asked));
  if (!asked.txsm && !asked.ixsm) {
    if (asked.context?.advanced === true && asked.payload !== asked.bytes.length)
      throw new Error("PAYLEN is not the frame");
    return [asked.bytes];
  }
  const { l4, csumAt } = places(asked);
  const bytes = asked.bytes.slice();
  const value = 0xffff - sum(bytes, l4, bytes.length);
  put16(bytes, csumAt, value === 0 && csumAt === l4 + 6 ? 0xffff : value);
  return [bytes];
}

function cut(
  { bytes, ixsm, txsm }: Asked,
  { l3, l4, csumAt, header, mss, payload }: Places,
): Uint8Array<ArrayBuffer>[] {
  if (!txsm || mss === 0 || payload !== bytes.length - header) throw new Error("a super-frame that contradicts itself");
  const frames: Uint8Array<ArrayBuffer>[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sequence = view.getUint32(l4 + 4);
  const v4 = bytes[l3] >> 4 === 4;
  if (v4 !== ixsm) throw new Error("IXSM is for IPv4");
  const seed = view.getUint16(csumAt);
  for (let at = header; at < bytes.length; at += mss) {
    const size = Math.min(mss, bytes.length - at);
    const frame = new Uint8Array([...bytes.subarray(0, header), ...bytes.subarray(at, at + size)]);
    const out = new DataView(frame.buffer);
    const last = at + size === bytes.length;
    out.setUint32(l4 + 4, sequence + at - header);
    // FIN and PSH are of the last segment.
    if (!last) frame[l4 + 13] &= ~0x09;
    if (v4) {
      out.setUint16(l3 + 2, frame.length - l3);
      out.setUint16(l3 + 4, view.getUint16(l3 + 4) + frames.length);
      put16(frame, l3 + 10, 0xffff - sum(frame, l3, l4));
    } else out.setUint16(l3 + 4, frame.length - l3 - 40);
    put16(frame, csumAt, 0);
    // The seed is the pseudo-header without a length, which the device adds.
    put16(frame, csumAt, 0xffff - sum(frame, l4, frame.length, seed + frame.length - l4));
    frames.push(frame);
  }
  return frames;
}
