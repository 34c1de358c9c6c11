// A result says of which machine, and of which version of each of the others, it is.

import { expect, test } from "bun:test";
import { release } from "node:os";
import { origin } from "../../bench/machine.ts";

test("the origin has machine, kernel, Bun and every peer", () => {
  const { cpu, cpuCount, kernel, versions } = origin();
  expect(cpu).not.toBe("");
  expect(cpuCount).toBeGreaterThan(0);
  expect(kernel).toBe(release());
  expect(versions.bun).toBe(Bun.version);
  expect(Object.keys(versions)).toEqual(
    expect.arrayContaining(["commit", "dpdk", "ovs", "ovsUserspace", "vde", "iperf3", "qemu"]),
  );
  for (const [name, version] of Object.entries(versions)) expect(version, name).not.toBe("");
});
