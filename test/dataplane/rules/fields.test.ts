// Where fields lie in the key: the words that key.ts promises, written out once by hand, and the two ways between a field and
// key words, which have to agree on every key.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { askFor, FIELDS, fieldValue, fullMask } from "../../../src/dataplane/rules/fields.ts";
import { CLASS_IP4, CLASS_TCP, FIELD_NAMES, KEY_WORDS } from "../../../src/dataplane/rules/key.ts";
import { hex, keyOf } from "./parsed.ts";

const anyName = fc.constantFrom(...FIELD_NAMES);
const anyKey = fc
  .array(fc.integer(), { minLength: KEY_WORDS, maxLength: KEY_WORDS })
  .map((words) => Int32Array.from(words));

function words(key: Int32Array): string {
  return [...key].map((word) => (word >>> 0).toString(16)).join(" ");
}

function matches(key: Int32Array, mask: Int32Array, value: Int32Array): boolean {
  return key.every((word, i) => (word & mask[i]) === value[i]);
}

function ask(name: (typeof FIELD_NAMES)[number], value: bigint, mask: bigint) {
  const words = { mask: new Int32Array(KEY_WORDS), value: new Int32Array(KEY_WORDS) };
  expect(askFor(words.mask, words.value, name, value, mask)).toBe(true);
  return words;
}

describe("the key's words", () => {
  test("of TCP over IPv4 behind two tags", () => {
    const ethernet = "0102030405060708090a0b0c 88a8 a064 8100 effe 0800";
    const ip4 = "45 b9 0028 0001 4000 40 06 0000 fa000001 c0a80102";
    const key = keyOf(hex(ethernet, ip4, "01bb cafe 00000001 00000002 5b12 ffff 0000 0000"), 0x1234);
    const zeros = "0 0 0";
    const ip = `fa000001 ${zeros} c0a80102 ${zeros}`;
    expect(words(key)).toBe(`2b1234 1020304 5060708 90a0b0c 80006b9 a064effe 1bbcafe b120000 ${ip} ${zeros} 0`);
  });

  test("of TCP over plain IPv4, the same but for the tags", () => {
    const ethernet = "0102030405060708090a0b0c 0800";
    const ip4 = "45 b9 0028 0001 4000 40 06 0000 fa000001 c0a80102";
    const key = keyOf(hex(ethernet, ip4, "01bb cafe 00000001 00000002 5b12 ffff 0000 0000"), 0x1234);
    const ip = "fa000001 0 0 0 c0a80102 0 0 0";
    expect(words(key)).toBe(`281234 1020304 5060708 90a0b0c 80006b9 0 1bbcafe b120000 ${ip} 0 0 0 0`);
  });

  test("of ICMPv6 over IPv6, a first fragment", () => {
    const ethernet = "0102030405060708090a0b0c 86dd";
    const ip6 = "6b9fffff 000c 2c 40 fd000000000000010000000200000003 fd000000000000040000000500000006";
    const key = keyOf(hex(ethernet, ip6, "3a 00 0001 00000007 87 04 0000"), 1);
    const ip = "fd000000 1 2 3 fd000000 4 5 6";
    expect(words(key)).toBe(`6100001 1020304 5060708 90a0b0c 86dd3ab9 0 870004 0 ${ip} 0 0 0 0`);
  });

  test("of ARP", () => {
    const arp = "0001 0800 06 04 0002 a1a2a3a4a5a6 0a000001 b1b2b3b4b5b6 0a000002";
    const key = keyOf(hex("0102030405060708090a0b0c 0806", arp), 2);
    const addresses = "a000001 0 0 0 a000002 0 0 0 a1a2a3a4 a5a6b1b2 b3b4b5b6 0";
    expect(words(key)).toBe(`40002 1020304 5060708 90a0b0c 8060000 0 0 2 ${addresses}`);
  });

  test("of a frame without a type: the port", () => {
    expect(words(keyOf(hex("0102030405060708090a0b0c 08"), 7))).toBe(`7${" 0".repeat(KEY_WORDS - 1)}`);
  });
});

describe("a field", () => {
  test("has pieces inside the key that do not overlap, and the width of all of them", () => {
    for (const name of FIELD_NAMES) {
      const taken = new Int32Array(KEY_WORDS);
      let width = 0;
      for (const { word, shift, bits } of FIELDS[name].pieces) {
        const mask = bits === 32 ? -1 : ((1 << bits) - 1) << shift;
        expect([name, word < KEY_WORDS, shift + bits <= 32, taken[word] & mask]).toEqual([name, true, true, 0]);
        taken[word] |= mask;
        width += bits;
      }
      expect([name, FIELDS[name].width]).toEqual([name, width]);
    }
  });

  test("is absent without its class bit, whatever else the key holds", () => {
    const key = new Int32Array(KEY_WORDS).fill(-1);
    expect(fieldValue(key, "tcp.dport")).toBe(0xffffn);
    key[0] &= ~CLASS_TCP;
    expect(fieldValue(key, "tcp.dport")).toBeUndefined();
    expect([fieldValue(key, "tcp"), fieldValue(key, "ip4"), fieldValue(key, "eth.dst")]).toEqual([
      0n,
      1n,
      0xffffffffffffn,
    ]);
  });
});

describe("askFor", () => {
  test("asks for a prefix of an address, and that it is there", () => {
    const { mask, value } = ask("ip4.dst", 0xfa000000n, 0xff000000n);
    expect([mask[12] >>> 0, value[12] >>> 0]).toEqual([0xff000000, 0xfa000000]);
    expect([mask[0], value[0]]).toEqual([CLASS_IP4, CLASS_IP4]);
    expect([...mask, ...value].filter((word) => word !== 0)).toHaveLength(4);
  });

  test("asks for absence by the class bit alone", () => {
    const { mask, value } = ask("ip4", 0n, 1n);
    expect(mask[0]).toBe(CLASS_IP4);
    expect(value.every((word) => word === 0)).toBe(true);
  });

  test("agrees with fieldValue on every key", () => {
    fc.assert(
      fc.property(
        anyKey,
        anyName,
        fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
        fc.boolean(),
        (key, name, noise, same) => {
          const mask = noise & fullMask(name);
          const wanted = (same ? (fieldValue(key, name) ?? 0n) : noise >> 1n) & mask;
          const asked = ask(name, wanted, mask);
          const value = fieldValue(key, name);
          expect(matches(key, asked.mask, asked.value)).toBe(value !== undefined && (value & mask) === wanted);
        },
      ),
      { numRuns: 5_000 },
    );
  });

  test("of several fields holds where each of them does, or says that none can", () => {
    fc.assert(
      fc.property(anyKey, fc.array(fc.tuple(anyName, fc.nat()), { maxLength: 4 }), (key, fields) => {
        const mask = new Int32Array(KEY_WORDS);
        const value = new Int32Array(KEY_WORDS);
        const asked = fields.map(([name, seed]) => {
          // Mostly what the key has.
          const wanted = (seed % 8 === 0 ? BigInt(seed) : (fieldValue(key, name) ?? 0n)) & fullMask(name);
          return { name, wanted, possible: askFor(mask, value, name, wanted, fullMask(name)) };
        });
        const all = asked.every(({ name, wanted }) => fieldValue(key, name) === wanted);
        expect(asked.every(({ possible }) => possible) && matches(key, mask, value)).toBe(all);
      }),
      { numRuns: 5_000 },
    );
  });

  test("sees what contradicts itself", () => {
    const mask = new Int32Array(KEY_WORDS);
    const value = new Int32Array(KEY_WORDS);
    expect(askFor(mask, value, "tcp.dport", 80n, 0xffffn)).toBe(true);
    expect(askFor(mask.slice(), value.slice(), "tcp", 0n, 1n)).toBe(false);
    expect(askFor(mask.slice(), value.slice(), "tcp.dport", 81n, 0xffffn)).toBe(false);
    expect(askFor(mask, value, "tcp.dport", 0x0050n, 0x00f0n)).toBe(true);
  });
});
