// A way there and back through a switch, as the latency client (latency-client-entry.ts) drives it: a frame leaves the first end, the second
// end sends it back, and it is home. Frames are numbered; the number travels in them, and times do not: when a frame was meant to leave
// follows from its number.
//
//   first end --frame n--> switch --> second end
//             <-----------        <--            one round trip is two passes through the switch
//
// Both ends are polled by one thread on CPU 1, so that no wake-up of an end is in what is measured.

/** An EtherType for experiments (IEEE 802, 9.2.3): nothing else on a host takes such frames. */
export const ETHERTYPE = 0x88b5;
/** Of the frame's number, from the frame's start: 4 bytes, little-endian. */
export const NUMBER_AT = 16;
export const FRAME_SIZE = 64;
/**
 * Frames that may be under way: what the ends surely hold. The socket of a packet end has room for 166 (rmem_default over 1280 bytes
 * of truesize), and a vhost-user ring for 1024.
 */
export const LIMIT = 128;

export interface Trip {
  /** The numbers of the frames that the last `turn` brought home. */
  readonly home: Int32Array;
  /** Sends frame `n`; the switch may see it only at the next `flush`. At most LIMIT are under way. */
  send(n: number): void;
  flush(): void;
  /** The second end sends back what came. Returns how many frames are home. */
  turn(): number;
  /** Throws where what was counted cannot be what arrived. */
  check(): void;
}

export function tripFrame(from: readonly number[], to: readonly number[]): Uint8Array {
  const frame = new Uint8Array(FRAME_SIZE);
  frame.set([...to, ...from, ETHERTYPE >> 8, ETHERTYPE & 0xff]);
  return frame;
}
