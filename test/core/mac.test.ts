// The text form and the two integers of a MAC address are one thing in two spellings.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { RingyardError } from "../../src/core/errors.ts";
import { formatMac, isGroupMac, parseMac } from "../../src/core/mac.ts";

test("lo and hi are what a frame's bytes read as, little-endian", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
      const mac = parseMac(text);
      expect(mac).toEqual({ lo: view.getInt32(0, true), hi: view.getUint16(4, true) });
      expect(parseMac(text.toUpperCase())).toEqual(mac);
      expect(formatMac(mac.lo, mac.hi)).toBe(text);
      expect(isGroupMac(mac.lo)).toBe((bytes[0] & 1) === 1);
    }),
  );
});

test.each([
  "",
  "02:00:00:00:00",
  "02:00:00:00:00:01:02",
  "02:00:00:00:00:0g",
  "02-00-00-00-00-01",
  "2:0:0:0:0:1",
  "020000000001",
  " 02:00:00:00:00:01",
  "02:00:00:00:00:01\n",
])("%j is refused", (text) => {
  const refusal = () => parseMac(text);
  expect(refusal).toThrow(RingyardError);
  expect(refusal).toThrow(expect.objectContaining({ code: "BAD_OPTION" }));
});

test("a refusal is one line of bounded length, whatever the text", () => {
  for (const text of ["x".repeat(100_000), "\n\x1b[2J\n", "\u009b2J\u2028"]) {
    let message = "";
    try {
      parseMac(text);
    } catch (error) {
      message = (error as RingyardError).message;
    }
    expect(message.length).toBeGreaterThan(0);
    expect(message.length).toBeLessThan(120);
    expect(message).not.toMatch(/[\p{Cc}\u2028]/u);
  }
});
