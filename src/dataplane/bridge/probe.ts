// The loop guard's probe: a frame that goes out of one port, and tells when it comes back where from.
//
//    0  destination   a group address of our own that bridges forward: not of 01-80-c2, which ends at the next bridge
//    6  source        locally administered, random, its last byte the port: bridges beyond see no address at two of our ports
//   12  88b5          IEEE 802's type for local experiments
//   14  port | version
//   16  token         128 random bits of the port
//   32  what it is, for whoever finds it in a capture
//
// A guest sees the probes of its own port, and no others. So the token is the port's own: whoever replays a probe can say "from my port"
// only, and harms, where it comes in, his own port only (control/policy/loop-guard.ts). It needs no more than the token, then: a
// replayed probe is as good as a fresh one. Cold.

export const PROBE_TYPE = 0x88b5;
export const PROBE_DESTINATION = [0x03, 0x72, 0x79, 0x00, 0x00, 0x01] as const;
/** The first four bytes of that, as a word of a frame. */
export const PROBE_DESTINATION_WORD = 0x00797203;
/** Word of an untagged frame whose upper half is port and version, and the first one of the token. */
export const PROBE_PORT_WORD = 3;
export const PROBE_TOKEN_WORD = 4;
export const TOKEN_WORDS = 4;
/** Where the token of an untagged probe ends. */
export const PROBE_TOKEN_END = 32;
const VERSION = 1;
const SIZE = 60;
const TEXT = "ringyard loop guard";

/** The probe of a port. `source` has the five bytes that the probes of all ports begin their address with. */
export function probeFrame(source: Uint8Array, port: number, token: Int32Array): Uint8Array {
  const frame = new Uint8Array(SIZE);
  frame.set(PROBE_DESTINATION, 0);
  frame.set(source, 6);
  frame[11] = port;
  frame.set([PROBE_TYPE >> 8, PROBE_TYPE & 0xff, port, VERSION], 12);
  frame.set(new Uint8Array(Int32Array.from(token).buffer), PROBE_TOKEN_WORD * 4);
  frame.set(new TextEncoder().encode(TEXT), PROBE_TOKEN_END);
  return frame;
}
