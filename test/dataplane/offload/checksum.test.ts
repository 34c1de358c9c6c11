// The ones-complement sum against its definition, and the completion of partial checksums: what it writes, and where it
// refuses to write.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bindScratch, completeChecksum, sum16 } from "../../../src/dataplane/offload/checksum.ts";
import {
  REFUSED_CSUM_FIELD,
  REFUSED_FRAGMENT,
  REFUSED_HEADER,
  REFUSED_TRUNCATED,
} from "../../../src/dataplane/offload/headers.ts";
import {
  anySpec,
  build,
  buildEthernet,
  buildIpv4,
  buildIpv6,
  pattern,
  place,
  pseudoHeader,
  referenceSum,
  spec4,
  spec6,
} from "./reference.ts";

/** Makes `memory` the fast scratch, or makes sure that it is not. */
function bind(memory: Uint8Array, fast: boolean): void {
  bindScratch(fast ? memory : new Uint8Array(0));
}

describe("sum16", () => {
  test("gives the sum that RFC 1071 section 3 works out", () => {
    expect(sum16(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8, 0)).toBe(0xddf2);
    // The same bytes one by one, as the RFC's first column has them: an odd last byte is a high byte.
    expect(sum16(Uint8Array.of(0x00, 0x01, 0xf2), 0, 3, 0)).toBe(0xf201);
    expect(sum16(new Uint8Array(0), 0, 0, 0)).toBe(0);
    expect(sum16(new Uint8Array(0), 0, 0, 0x7fffffff)).toBe(0x7fff);
  });

  test("gives 0 only where every byte is 0, and 0xffff for other multiples of it", () => {
    for (const fast of [false, true]) {
      const memory = new Uint8Array(1024);
      bind(memory, fast);
      expect(sum16(memory, 0, 1024, 0)).toBe(0);
      memory.fill(0xff);
      expect(sum16(memory, 0, 1024, 0)).toBe(0xffff);
      expect(sum16(memory, 1, 1023, 0)).toBe(referenceSum(memory.subarray(1)));
    }
  });

  test("agrees with the definition at every alignment and size, by bytes and by words", () => {
    const memory = place([], 0, 1100, 99);
    for (const fast of [false, true]) {
      bind(memory, fast);
      for (let offset = 0; offset < 5; offset++) {
        for (let size = 0; size < 1024; size += size < 300 ? 1 : 61) {
          const expected = referenceSum(memory.subarray(offset, offset + size));
          expect([offset, size, sum16(memory, offset, size, 0)]).toEqual([offset, size, expected]);
        }
      }
    }
  });

  test("agrees with the definition for any bytes, range and initial sum", () => {
    const cases = fc.record({
      bytes: fc.uint8Array({ maxLength: 3000, size: "max" }),
      from: fc.integer({ min: 0, max: 9 }),
      initial: fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0x7fffffff })),
      fast: fc.boolean(),
    });
    fc.assert(
      fc.property(cases, ({ bytes, from, initial, fast }) => {
        const offset = Math.min(from, bytes.length);
        bind(bytes, fast);
        const words = [initial >>> 24, (initial >>> 16) & 255, (initial >>> 8) & 255, initial & 255];
        const expected = referenceSum([...words, ...bytes.subarray(offset)]);
        expect(sum16(bytes, offset, bytes.length - offset, initial)).toBe(expected);
      }),
      { numRuns: 400 },
    );
  });

  test("carries nothing away at the size limit with every bit set", () => {
    const memory = new Uint8Array(128 * 1024 + 8).fill(0xff);
    for (const fast of [false, true]) {
      bind(memory, fast);
      for (const size of [65535, 65557, 128 * 1024]) {
        const expected = referenceSum([0x7f, 0xff, 0xff, 0xff, ...memory.subarray(3, 3 + size)]);
        expect([fast, size, sum16(memory, 3, size, 0x7fffffff)]).toEqual([fast, size, expected]);
      }
    }
  });

  test("is right in a scratch that is a piece of a larger buffer, aligned or not", () => {
    const whole = place([], 0, 2048, 5);
    for (const base of [0, 1, 2, 3, 4, 64]) {
      const scratch = whole.subarray(base, base + 1501);
      bindScratch(scratch);
      expect(sum16(scratch, 0, 1501, 0)).toBe(referenceSum(scratch));
      expect(sum16(scratch, 7, 1490, 0)).toBe(referenceSum(scratch.subarray(7, 1497)));
    }
  });
});

describe("completeChecksum", () => {
  test("turns any partial TCP frame into the frame with the full checksum", () => {
    const cases = fc.record({
      spec: anySpec(1600),
      offset: fc.integer({ min: 0, max: 9 }),
      noise: fc.integer(),
      fast: fc.boolean(),
    });
    fc.assert(
      fc.property(cases, ({ spec, offset, noise, fast }) => {
        const { bytes, l4 } = build(spec);
        const memory = place(bytes, offset, offset + bytes.length + 40, noise);
        const expected = Uint8Array.from(memory);
        expected.set(build({ ...spec, partial: false }).bytes, offset);
        bind(memory, fast);
        expect(completeChecksum(memory, offset, bytes.length, l4, 16)).toBe(0);
        expect(Buffer.compare(memory, expected)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  /** A UDP datagram whose last two bytes are chosen so that its checksum comes out as 0. */
  function zeroSumUdp(version: 4 | 6): { bytes: number[]; l4: number } {
    const spec = version === 4 ? spec4() : spec6();
    const size = 8 + 32;
    const pseudo = pseudoHeader(spec.source, spec.target, 17, size);
    const head = [0x30, 0x39, 0x00, 0x35, 0, size];
    const data = pattern(30);
    const missing = 0xffff - referenceSum([...pseudo, ...head, 0, 0, ...data]);
    const partial = referenceSum(pseudo);
    const datagram = [...head, partial >> 8, partial & 255, ...data, missing >> 8, missing & 255];
    const packet = version === 4 ? buildIpv4(spec, 17, datagram) : buildIpv6(spec, 17, datagram);
    const bytes = buildEthernet([], version === 4 ? 0x0800 : 0x86dd, packet);
    return { bytes, l4: bytes.length - size };
  }

  test.each([4, 6] as const)("sends a UDP checksum of 0 over IPv%i as 0xffff", (version) => {
    const { bytes, l4 } = zeroSumUdp(version);
    const memory = Uint8Array.from(bytes);
    expect(completeChecksum(memory, 0, memory.length, l4, 6)).toBe(0);
    expect([memory[l4 + 6], memory[l4 + 7]]).toEqual([0xff, 0xff]);
  });

  test("leaves a TCP checksum of 0 as it is", () => {
    const free = build(spec4({ payload: [0, 0], partial: false }));
    const field = free.bytes.slice(free.l4 + 16, free.l4 + 18);
    // Adding the checksum as payload makes the sum 0xffff.
    const { bytes, l4 } = build(spec4({ payload: field }));
    const memory = Uint8Array.from(bytes);
    expect(completeChecksum(memory, 0, memory.length, l4, 16)).toBe(0);
    expect([memory[l4 + 16], memory[l4 + 17]]).toEqual([0, 0]);
  });

  test.each([
    spec4({ payload: pattern(9) }),
    spec6({ payload: pattern(9) }),
    spec4({ tags: [{ type: 0x8100, tci: 5 }] }),
  ])("refuses every field before the TCP checksum or past the frame, and touches nothing", (spec) => {
    const { bytes, l4 } = build(spec);
    for (let field = 0; field <= bytes.length + 3; field++) {
      for (const start of [0, Math.min(14, field), Math.min(l4, field), field]) {
        const memory = Uint8Array.from([...bytes, 1, 2, 3, 4, 5, 6]);
        const before = Uint8Array.from(memory);
        const allowed = field >= l4 + 16 && field + 2 <= bytes.length;
        const outcome = completeChecksum(memory, 0, bytes.length, start, field - start);
        expect([field, start, outcome]).toEqual([field, start, allowed ? 0 : REFUSED_CSUM_FIELD]);
        const kept = allowed ? [...memory.subarray(0, field), ...memory.subarray(field + 2)] : [...memory];
        const wanted = allowed ? [...before.subarray(0, field), ...before.subarray(field + 2)] : [...before];
        expect(kept).toEqual(wanted);
      }
    }
  });

  test("keeps ports of UDP and type of ICMP out of reach, and allows a checksum inside an encapsulation", () => {
    const udp = Uint8Array.from(buildEthernet([], 0x0800, buildIpv4(spec4(), 17, pattern(80))));
    for (const [field, outcome] of [
      [34 + 2, REFUSED_CSUM_FIELD],
      [34 + 5, REFUSED_CSUM_FIELD],
      [34 + 6, 0],
      [34 + 60, 0],
    ]) {
      expect([field, completeChecksum(udp, 0, udp.length, field, 0)]).toEqual([field, outcome]);
    }
    const icmp = Uint8Array.from(buildEthernet([], 0x0800, buildIpv4(spec4(), 1, pattern(16))));
    expect(completeChecksum(icmp, 0, icmp.length, 34, 1)).toBe(REFUSED_CSUM_FIELD);
    expect(completeChecksum(icmp, 0, icmp.length, 34, 2)).toBe(0);
  });

  test("completes a checksum behind an unknown EtherType, after the Ethernet header only", () => {
    const pppoe = () => Uint8Array.from(buildEthernet([], 0x8864, pattern(60)));
    for (let field = 0; field < 14; field++) {
      expect(completeChecksum(pppoe(), 0, 74, field, 0)).toBe(REFUSED_CSUM_FIELD);
    }
    const memory = pppoe();
    const expected = 0xffff - referenceSum(memory.subarray(40));
    expect(completeChecksum(memory, 0, 74, 40, 6)).toBe(0);
    expect((memory[46] << 8) | memory[47]).toBe(expected);
  });

  test("refuses fragments, false lengths, negative offsets and frames outside the memory", () => {
    const good = build(spec4({ payload: pattern(8) })).bytes;
    const change = (at: number, value: number) => Uint8Array.from(good, (byte, i) => (i === at ? value : byte));
    const run = (memory: Uint8Array) => completeChecksum(memory, 0, memory.length, 34, 16);
    expect(run(change(20, 0x20))).toBe(REFUSED_FRAGMENT);
    expect(run(change(16, 0xff))).toBe(REFUSED_HEADER);
    const memory = Uint8Array.from(good);
    expect(completeChecksum(memory, 0, memory.length, 60, -10)).toBe(REFUSED_CSUM_FIELD);
    expect(completeChecksum(memory, 0, memory.length, -10, 60)).toBe(REFUSED_CSUM_FIELD);
    expect(completeChecksum(memory, 0, memory.length, 0xffff, 0xffff)).toBe(REFUSED_CSUM_FIELD);
    expect(completeChecksum(memory, -1, memory.length, 34, 16)).toBe(REFUSED_TRUNCATED);
    expect(completeChecksum(memory, 1, memory.length, 34, 16)).toBe(REFUSED_TRUNCATED);
    expect(completeChecksum(memory, 0, -1, 34, 16)).toBe(REFUSED_TRUNCATED);
    expect(memory).toEqual(Uint8Array.from(good));
  });
});
