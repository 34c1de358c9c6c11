// A frame as a person gives it to `ringyard trace` and `rule test`: hex digits, or the Nth frame of a capture.
//
//   'ffff ffff ffff 0200 0000 0001 0806 …'   ff:ff:ff:ff:ff:ff:02:…   web.pcap:3   /tmp/x.pcapng:1
//
// Main thread of a command.

import type { FrameArgs } from "../control/protocol.ts";
import { RingyardError } from "../core/errors.ts";
import { quoted } from "../core/quote.ts";

/** Ethernet's addresses and type. */
const FRAME_MIN = 14;
/** Rules look at far less, and a request has to fit. */
const HEAD_MAX = 4096;

const CAPTURE = /^(.*[^:]):(\d{1,9})$/s;

/** What the switch is asked about the frame; throws RingyardError. */
export async function frameArgs(port: string, text: string): Promise<FrameArgs> {
  const { bytes, length } = await readFrame(text);
  if (length < FRAME_MIN || bytes.length < FRAME_MIN) {
    const next = `two addresses and a type are ${FRAME_MIN}`;
    throw new RingyardError("BAD_OPTION", `FRAME: a frame of ${bytes.length} bytes`, next);
  }
  const frame = bytes.subarray(0, HEAD_MAX);
  return { port, frame, ...(length > frame.length && { length }) };
}

async function readFrame(text: string): Promise<{ bytes: Uint8Array; length: number }> {
  const hex = readHex(text);
  if (hex !== null) return { bytes: hex, length: hex.length };
  const [, file, number] = CAPTURE.exec(text) ?? [];
  if (file === undefined) {
    const next = "write hex digits, or FILE.pcap:N for the Nth frame of a capture";
    throw new RingyardError("BAD_OPTION", `FRAME: ${quoted(text)} is no frame`, next);
  }
  if (Number(number) === 0) throw new RingyardError("BAD_OPTION", `FRAME: ${quoted(text)}: frames are counted from 1`);
  const { readCapture } = await import("./pcap.ts");
  return readCapture(file, Number(number));
}

/** Pairs of hex digits, with blanks, colons or dashes between; null where it is something else. */
export function readHex(text: string): Uint8Array | null {
  const digits = text.replace(/[\s:-]/g, "");
  return digits.length > 0 && digits.length % 2 === 0 && /^[0-9a-f]+$/i.test(digits)
    ? Uint8Array.from(Buffer.from(digits, "hex"))
    : null;
}
