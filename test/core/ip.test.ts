// IP addresses between text and number, held against what others say: node's inet_pton, the URL standard's RFC 5952 form.

import { describe, expect, test } from "bun:test";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { IP4, IP6, prefixLength, prefixMask } from "../../src/core/ip.ts";

const any4 = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n });
/** Zeros in runs, as addresses have them. */
const any6 = fc
  .array(fc.oneof(fc.constant(0n), fc.constant(1n), fc.bigInt({ min: 0n, max: 0xffffn })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => groups.reduce((address, group) => (address << 16n) | group, 0n));

describe("IPv4", () => {
  test.each<[string, bigint]>([
    ["0.0.0.0", 0n],
    ["10.1.0.255", 0x0a0100ffn],
    ["255.255.255.255", 0xffffffffn],
  ])("%s", (text, address) => {
    expect(IP4.parse(text)).toBe(address);
    expect(IP4.format(address)).toBe(text);
  });

  test.each([
    "",
    "10",
    "10.0.0",
    "10.0.0.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "10.0.0.-1",
    "10..0.1",
    "10.0.0.1 ",
    "0x0a.0.0.1",
    "10.0.0.1/8",
    "1e1.0.0.0",
  ])("%j is none", (text) => {
    expect(IP4.parse(text)).toBeNull();
  });

  test("every address comes back", () => {
    fc.assert(
      fc.property(any4, (address) => {
        expect(isIPv4(IP4.format(address))).toBe(true);
        expect(IP4.parse(IP4.format(address))).toBe(address);
      }),
    );
  });
});

describe("IPv6", () => {
  test.each<[string, string]>([
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["fe80:0:0:0:0:0:0:0", "fe80::"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["::FFFF:c000:0201", "::ffff:192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["::192.0.2.1", "::c000:201"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ])("%s is printed as %s", (text, canonical) => {
    const address = IP6.parse(text);
    expect(address).not.toBeNull();
    expect(IP6.format(address!)).toBe(canonical);
    expect(IP6.parse(canonical)).toBe(address);
  });

  test.each([
    "",
    ":",
    ":::",
    "1",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    "1::2::3",
    ":1::",
    "::1:",
    "12345::",
    "g::",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::1.2.3",
    "::1.2.3.04",
    "1:2:3:4:5:6:7:1.2.3.4",
    "fe80::1%eth0",
    "::1/64",
    " ::1",
  ])("%j is none", (text) => {
    expect(IP6.parse(text)).toBeNull();
  });

  test("nor is a text without end", () => {
    for (const part of [":", "1:", "::", "1.", "0"]) expect(IP6.parse(part.repeat(1_000_000))).toBeNull();
    expect(IP4.parse("1.".repeat(1_000_000))).toBeNull();
  });

  test("every address comes back, printed as the URL standard prints it", () => {
    fc.assert(
      fc.property(any6, (address) => {
        const text = IP6.format(address);
        expect(IP6.parse(text)).toBe(address);
        // That knows no dotted form.
        if (!text.includes(".")) expect(new URL(`http://[${text}]`).hostname).toBe(`[${text}]`);
      }),
      { numRuns: 1000 },
    );
  });

  test("what is an address is what inet_pton says", () => {
    const word = fc.constantFrom("", "0", "1", "ffff", "00001", "1.2.3.4", "1.2.3.256", ":", "::", "g");
    fc.assert(
      fc.property(fc.array(word, { maxLength: 10 }), fc.boolean(), (words, colons) => {
        const text = words.join(colons ? ":" : "");
        expect(IP6.parse(text) !== null).toBe(isIPv6(text));
      }),
      { numRuns: 3000 },
    );
  });
});

describe("prefixes", () => {
  test.each<[32 | 128, number, bigint]>([
    [32, 0, 0n],
    [32, 8, 0xff000000n],
    [32, 31, 0xfffffffen],
    [32, 32, 0xffffffffn],
    [128, 0, 0n],
    [128, 64, 0xffffffffffffffff0000000000000000n],
    [128, 128, 2n ** 128n - 1n],
  ])("of %d bits, /%d", (bits, length, mask) => {
    expect(prefixMask(bits, length)).toBe(mask);
    expect(prefixLength(bits, mask)).toBe(length);
  });

  test("a mask with a hole has no length", () => {
    fc.assert(
      fc.property(any4, (mask) => {
        const length = prefixLength(32, mask);
        const isPrefix = /^1*0*$/.test(mask.toString(2).padStart(32, "0"));
        expect(length !== null).toBe(isPrefix);
        if (length !== null) expect(prefixMask(32, length)).toBe(mask);
      }),
    );
    expect(prefixLength(32, 0xff00ff00n)).toBeNull();
    expect(prefixLength(32, 1n)).toBeNull();
  });
});
