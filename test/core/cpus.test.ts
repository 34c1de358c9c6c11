// Lists and masks of processors, against what Linux prints and takes.

import { expect, test } from "bun:test";
import { cpuMask, parseCpus } from "../../src/core/cpus.ts";

test("a list of processors is read as the kernel prints it", () => {
  expect(parseCpus("0\n")).toEqual([0]);
  expect(parseCpus("0-3,8,10-11\n")).toEqual([0, 1, 2, 3, 8, 10, 11]);
  expect(parseCpus("\n")).toBeNull();
  expect(parseCpus("3-1")).toBeNull();
});

test("a mask is written as the kernel reads it: words of 32, the highest first", () => {
  expect(cpuMask([1])).toBe("00000002");
  expect(cpuMask([0, 31])).toBe("80000001");
  expect(cpuMask([0, 33])).toBe("00000002,00000001");
  expect(cpuMask([64])).toBe("00000001,00000000,00000000");
});
