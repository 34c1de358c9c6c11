// Meters: rates and bursts with their units, the burst that is chosen, and mistakes that name the key.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  formatBurst,
  formatRate,
  meterFromObject,
  meterSchema,
  meterToObject,
} from "../../../src/control/rules/meter-spec.ts";
import { RingyardError } from "../../../src/core/errors.ts";
import type { MeterSpec } from "../../../src/dataplane/rules/rule.ts";

describe("a meter", () => {
  const cases: [value: unknown, meter: Omit<MeterSpec, "name">, rate: string, burst: string][] = [
    ["100 Mbit/s", { unit: "bits", rate: 1e8, burst: 1e7 }, "100 Mbit/s", "10 Mbit"],
    ["100Mbit/s", { unit: "bits", rate: 1e8, burst: 1e7 }, "100 Mbit/s", "10 Mbit"],
    ["1000 frames/s", { unit: "frames", rate: 1000, burst: 100 }, "1000 frames/s", "100 frames"],
    [{ rate: "100 Mbit/s", burst: "1 Mbit" }, { unit: "bits", rate: 1e8, burst: 1e6 }, "100 Mbit/s", "1 Mbit"],
    [{ rate: "10M", unit: "bits" }, { unit: "bits", rate: 1e7, burst: 1e6 }, "10 Mbit/s", "1 Mbit"],
    [{ rate: 1e7, unit: "bits", burst: "2M" }, { unit: "bits", rate: 1e7, burst: 2e6 }, "10 Mbit/s", "2 Mbit"],
    [{ rate: "5k", unit: "frames", burst: 9 }, { unit: "frames", rate: 5000, burst: 9 }, "5000 frames/s", "9 frames"],
    ["2.5 Gbit/s", { unit: "bits", rate: 2.5e9, burst: 2.5e8 }, "2500 Mbit/s", "250 Mbit"],
    ["1 Tbit/s", { unit: "bits", rate: 1e12, burst: 17_179_869_176 }, "1 Tbit/s", "17179869176 bit"],
    [{ rate: "8 bits/s", burst: "8 bits" }, { unit: "bits", rate: 8, burst: 8 }, "8 bit/s", "8 bit"],
    [{ rate: "1 frame/s", burst: "1 frame" }, { unit: "frames", rate: 1, burst: 1 }, "1 frames/s", "1 frames"],
  ];
  test.each(cases)("%j", (value, meter, rate, burst) => {
    const spec = meterFromObject("web", value);
    expect(spec).toEqual({ name: "web", ...meter });
    expect([formatRate(spec), formatBurst(spec)]).toEqual([rate, burst]);
    expect(meterToObject(spec)).toEqual({ rate, burst });
    expect(meterSchema.parse(value)).toEqual(meter);
  });
});

describe("a burst that nobody chose", () => {
  test("is a tenth of a second's worth", () => {
    expect(meterFromObject("m", "1 Gbit/s").burst).toBe(1e8);
    expect(meterFromObject("m", "1005 frames/s").burst).toBe(101);
  });

  test("is never less than what comes at once: a super-frame, or what a worker fetches together", () => {
    expect(meterFromObject("m", "1 kbit/s").burst).toBe(65_536 * 8);
    expect(meterFromObject("m", "1 frame/s").burst).toBe(64);
  });

  test("nor more than a bucket holds", () => {
    expect(meterFromObject("m", "1 Tbit/s").burst).toBe((2 ** 31 - 1) * 8);
    expect(meterFromObject("m", { rate: 1e12, unit: "frames" }).burst).toBe(2 ** 31 - 1);
  });
});

test("what is printed is read as the same", () => {
  const anyMeter = fc.oneof(
    fc.record({
      unit: fc.constant("bits"),
      rate: fc.integer({ min: 1, max: 1e12 }),
      burst: fc.integer({ min: 8, max: 17_179_869_176 }),
    }),
    fc.record({
      unit: fc.constant("frames"),
      rate: fc.integer({ min: 1, max: 1e12 }),
      burst: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    }),
  ) as fc.Arbitrary<Omit<MeterSpec, "name">>;
  fc.assert(
    fc.property(anyMeter, fc.constantFrom(1, 1000, 1e6), (meter, unit) => {
      // Round numbers, too, which are printed with a prefix.
      const round = Math.max(Math.floor(meter.rate / unit) * unit, 1);
      const spec = { name: "m", ...meter, rate: round };
      expect(meterFromObject("m", meterToObject(spec))).toEqual(spec);
    }),
  );
});

describe("a mistake", () => {
  const examples = "write for example 100 Mbit/s or 1000 frames/s";
  const cases: [value: unknown, line: string][] = [
    [5, `meter web: expected a rate or a table: ${examples}`],
    [{}, `meter web: rate: expected a number with a unit: ${examples}`],
    [{ rate: true }, `meter web: rate: expected a number with a unit: ${examples}`],
    ["", `meter web: rate: "" is no rate: ${examples}`],
    ["fast", `meter web: rate: "fast" is no rate: ${examples}`],
    ["100 Mbit", `meter web: rate: "100 Mbit" is no rate: ${examples}`],
    ["100 mbit/s", `meter web: rate: "100 mbit/s" is no rate: ${examples}`],
    ["-1 bit/s", `meter web: rate: "-1 bit/s" is no rate: ${examples}`],
    ["1.5 frames/s", `meter web: rate: "1.5 frames/s" is no rate: ${examples}`],
    [{ rate: 1.5, unit: "bits" }, `meter web: rate: 1.5 is no rate: ${examples}`],
    ["1000", `meter web: rate: "1000" lacks its unit: ${examples}`],
    [{ rate: 1000 }, `meter web: rate: 1000 lacks its unit: ${examples}`],
    [{ rate: "1 Mbit/s", unit: "frames" }, 'meter web: rate: "1 Mbit/s" is not in frames'],
    [{ rate: "1 Mbit/s", unit: "bytes" }, "meter web: unit: expected bits or frames"],
    ["0 bit/s", "meter web: rate: expected 1 to 10^12 a second"],
    ["1.001 Tbit/s", "meter web: rate: expected 1 to 10^12 a second"],
    [
      { rate: "1 Mbit/s", burst: "1 Mbit/s" },
      'meter web: burst: "1 Mbit/s" is no burst: write for example 1 Mbit or 64 frames',
    ],
    [{ rate: "1 Mbit/s", burst: "5 frames" }, 'meter web: burst: "5 frames" is not in bits, as the rate is'],
    [{ rate: "1 Mbit/s", burst: "7 bit" }, "meter web: burst: expected 8 to 17179869176 bits"],
    [{ rate: "1 frame/s", burst: 0 }, "meter web: burst: expected 1 to 2147483647 frames"],
    [{ rate: "1 frame/s", burst: "3G" }, "meter web: burst: expected 1 to 2147483647 frames"],
    [{ rate: "1 frame/s", brst: 1 }, 'meter web: unknown key "brst": did you mean burst? known: burst, rate, unit'],
  ];
  test.each(cases)("%j", (value, line) => {
    try {
      meterFromObject("web", value);
    } catch (error) {
      if (!(error instanceof RingyardError)) throw error;
      expect([error.code, error.advice]).toEqual(["BAD_RULE", line]);
      return;
    }
    throw new Error("accepted");
  });

  test("in its name", () => {
    const line = '"a b" is not the name of a meter';
    expect(() => meterFromObject("a b", "1 Mbit/s")).toThrow(line);
  });

  test("of any length takes no time", () => {
    for (const text of ["1".repeat(1e6), " ".repeat(1e6), `1${" ".repeat(1e6)}x`, "1.".repeat(5e5)]) {
      expect(() => meterFromObject("web", text)).toThrow("is no rate");
    }
  });
});
