// MAC addresses as the dataplane holds them: two integers, because a 48-bit number has no fast form in JavaScript.
//
//   bytes on the wire   02:11:22:33 | 44:55
//   lo  int32, little-endian  ----'     '---  hi  uint16, little-endian
//   lo = view.getInt32(at, true), hi = view.getUint16(at + 4, true)
//
// The group bit (IEEE 802-2014, 8.2.2) is the lowest bit of the first byte, so it is `lo & 1`.
// The text form is for people: control code only, on any thread.

import { RingyardError } from "./errors.ts";
import { quoted } from "./quote.ts";

export interface Mac {
  readonly lo: number;
  readonly hi: number;
}

const MAC_TEXT = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

/** Parses `aa:bb:cc:dd:ee:ff` (either case) and nothing else. */
export function parseMac(text: string): Mac {
  if (!MAC_TEXT.test(text)) {
    // The text may come from a socket.
    throw new RingyardError(
      "BAD_OPTION",
      `${quoted(text.slice(0, 40))} is not a MAC address`,
      "write it as 02:00:00:00:00:01",
    );
  }
  const byte = (index: number) => Number.parseInt(text.slice(index * 3, index * 3 + 2), 16);
  return { lo: byte(0) | (byte(1) << 8) | (byte(2) << 16) | (byte(3) << 24), hi: byte(4) | (byte(5) << 8) };
}

export function formatMac(lo: number, hi: number): string {
  const bytes = [lo, lo >>> 8, lo >>> 16, lo >>> 24, hi, hi >>> 8];
  return bytes.map((byte) => (byte & 0xff).toString(16).padStart(2, "0")).join(":");
}

/** Multicast and broadcast: never a source, never in the fdb. */
export function isGroupMac(lo: number): boolean {
  return (lo & 1) !== 0;
}
