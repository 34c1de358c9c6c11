// Memory that a front end may not describe, and memory that changes while rings run (QEMU docs/interop/vhost-user.rst,
// SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG).

import { describe, expect, test } from "bun:test";
import { closeFd, eventFd } from "../../../src/sys/fd.ts";
import { memfd } from "../../../src/sys/memory.ts";
import * as vu from "../../../src/uapi/vhost_user.ts";
import { useCleanup } from "../../support/cleanup.ts";
import { frame } from "../../support/frames.ts";
import type { FrontEnd, FrontEndOptions } from "../../support/frontend.ts";
import { openPath } from "../../support/frontend-memory.ts";
import { u32s, u64s } from "../../support/frontend-wire.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { until } from "../../support/until.ts";
import { LEFT, useVhostRig, VM } from "./rig.ts";

const MIB = 1 << 20;
const GIB = 2 ** 30;
const BASE = 2 ** 32;
const rig = useVhostRig({ vm: "" });
const defer = useCleanup();

const file = memfd("memory-test", 16 * MIB);
const directory = openPath("/proc/self", "r");
const readOnly = openPath(process.execPath, "r");
const nothing = openPath("/dev/null", "r+");
const event = eventFd();
defer(() => {
  for (const { close } of [directory, readOnly, nothing]) close();
  for (const fd of [file, event]) closeFd(fd);
});

type Region = [guest: number | bigint, size: number | bigint, user: number | bigint, offset: number | bigint];

function table(...regions: Region[]): Uint8Array {
  return Buffer.concat([u32s(regions.length, 0), u64s(...regions.flat())]);
}

/** Sends a memory message to a fresh connection that must end with one error of this kind; nothing is kept. */
async function expectRefused(code: number, payload: Uint8Array, fds: number[], logged: string, error = "protocol") {
  const before = holdings();
  const vm = await rig.connected("vm");
  await vm.negotiate();
  const counted = rig.error("vm", error);
  rig.warnings.length = 0;
  vm.wire.send(code, payload, { fds });
  await vm.wire.ended();
  await rig.drop(vm, "vm");
  expect([rig.error("vm", error), rig.warnings.length]).toEqual([counted + 1, 1]);
  expect(rig.warnings[0]).toContain(logged);
  expect(heldDifference(before, holdings())).toEqual([]);
  await rig.expectUsable("vm");
}

const USER = 2 ** 44;
const good: Region = [BASE, MIB, USER, 0];

describe("a region that cannot be", () => {
  test.each<[string, Region, string]>([
    ["of no bytes", [BASE, 0, USER, 0], "memory region of 0 bytes"],
    ["larger than a port may have", [BASE, 257 * GIB, USER, 0], "memory region of 275951648768 bytes"],
    ["that ends behind its file", [BASE, 16 * MIB + 1, USER, 0], "ends at 16777217 of a file of 16777216 bytes"],
    ["that starts behind its file", [BASE, 4096, USER, 16 * MIB], "ends at 16781312 of a file of 16777216 bytes"],
    ["with an offset that wraps around", [BASE, MIB, USER, 2n ** 64n - 4096n], "mmap offset is above 2^53"],
    ["with a misaligned offset", [BASE, MIB, USER, 100], "misaligned memory region"],
    ["with a misaligned guest address", [BASE + 2, MIB, USER, 0], "misaligned memory region"],
    ["above 2^53 for the guest", [2n ** 53n, MIB, USER, 0], "guest address is above 2^53"],
    ["that ends above 2^53 for the guest", [2 ** 53 - 4096, MIB, USER, 0], "memory region ends above 2^53"],
    ["that ends above 2^53 for the front end", [BASE, MIB, 2 ** 53 - 4096, 0], "memory region ends above 2^53"],
    ["of 2^64 - 1 bytes", [BASE, 2n ** 64n - 1n, USER, 0], "region size is above 2^53"],
  ])("%s", async (_name, region, logged) => {
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table(region), [file], logged);
    const one = Buffer.concat([u64s(0), u64s(...region)]);
    await expectRefused(vu.VHOST_USER_ADD_MEM_REG, one, [file], logged);
  });
});

describe("a table that cannot be", () => {
  test.each<[string, Region[]]>([
    ["the same memory from another place of the file", [good, [BASE, MIB, USER, MIB]]],
    ["an overlap in guest addresses", [good, [BASE + MIB - 4, MIB, USER + GIB, 0]]],
    ["an overlap in user addresses", [good, [BASE + GIB, MIB, USER + MIB - 1, 0]]],
    ["a region inside another", [good, [BASE + 4096, 4096, USER + 4096, 4096]]],
  ])("%s", async (_name, regions) => {
    const fds = regions.map(() => file);
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table(...regions), fds, "memory regions overlap");
  });

  test("nine regions", async () => {
    const nine = Array.from({ length: 9 }, (_, n): Region => [n * GIB, MIB, USER + n * GIB, 0]);
    // With the descriptors that a message may carry, and without the ninth region's bytes.
    const fds = new Array(8).fill(file);
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table(...nine), fds, "SET_MEM_TABLE with 296 bytes");
    const short = Buffer.concat([u32s(9, 0), table(...nine.slice(1)).subarray(8)]);
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, short, fds, "SET_MEM_TABLE of 9 regions in 264 bytes");
  });

  test("a count that the payload or the descriptors do not bear out", async () => {
    const wrong = (count: number) => Buffer.concat([u32s(count, 0), table(good).subarray(8)]);
    const set = vu.VHOST_USER_SET_MEM_TABLE;
    await expectRefused(set, wrong(2), [file, file], "SET_MEM_TABLE of 2 regions in 40 bytes");
    await expectRefused(set, wrong(0xffffffff), [file], "SET_MEM_TABLE of 4294967295 regions in 40 bytes");
    await expectRefused(set, table(good), [], "SET_MEM_TABLE of 1 regions with 0 descriptors");
    await expectRefused(set, table(good), [file, file], "SET_MEM_TABLE of 1 regions with 2 descriptors");
  });

  test("more than 256 GiB together", async () => {
    const sparse = memfd("memory-test-large", 130 * GIB);
    const halves: Region[] = [0, 1].map((n) => [n * 2 ** 40, 130 * GIB, USER + n * 2 ** 40, 0]);
    defer(() => closeFd(sparse));
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table(...halves), [sparse, sparse], "more than 256 GiB of memory");
  });
});

describe("a descriptor that is no memory", () => {
  test.each<[string, number, string, string]>([
    ["a file opened for reading", readOnly.fd, "mmap", "system"],
    ["a directory", directory.fd, "memory region ends at", "protocol"],
    ["/dev/null", nothing.fd, "memory region ends at", "protocol"],
    ["an eventfd", event, "another process may serve", "protocol"],
  ])("%s", async (_name, fd, logged, error) => {
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table([BASE, 4096, USER, 0]), [fd], logged, error);
  });

  test("a good region before a bad one is given back", async () => {
    const regions: Region[] = [good, [BASE + GIB, 4096, USER + GIB, 0]];
    await expectRefused(vu.VHOST_USER_SET_MEM_TABLE, table(...regions), [file, readOnly.fd], "mmap", "system");
  });
});

/** Payload of ADD_MEM_REG and REM_MEM_REG for a region of a front end. */
function slot(vm: FrontEnd, index: number): Uint8Array {
  const { guest, size, user, offset } = vm.ram.regions[index];
  return u64s(0, guest, size, user, offset);
}

describe("memory slots", () => {
  const two: FrontEndOptions = {
    regions: [
      { guest: BASE, size: 2 * MIB },
      { guest: BASE + GIB, size: MIB, offset: 3 * 4096 },
    ],
  };

  test("a region is added, used, taken away, and gone", async () => {
    const vm = await rig.connected("vm", two);
    await vm.negotiate();
    expect(await vm.wire.get(vu.VHOST_USER_GET_MAX_MEM_SLOTS)).toBe(64n);
    const fds = vm.ram.regions.map(({ fd }) => fd);
    expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, slot(vm, 0), [fds[0]])).toBe(0);
    for (const ring of vm.rings) vm.startRing(ring);
    await vm.settled();
    await rig.passes(vm);
    const address = vm.ram.regions[1].guest + 100;
    const there = frame(LEFT, VM, 77);
    vm.ram.view(address + 12, 77).set(there);
    const { ring } = vm.transmitRing();
    const sendFromThere = () => {
      ring.addChain([[address, 89]], false);
      ring.publish();
      vm.send(frame(LEFT, VM, 60));
    };
    sendFromThere();
    expect((await rig.memory.receive("left", 1)).map(({ length }) => length)).toEqual([60]);
    expect(rig.api.port("vm").drops).toEqual({ desc_address: 1 });

    expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, slot(vm, 1), [fds[1]])).toBe(0);
    expect(rig.api.port("vm").details.memoryRegions).toBe(2);
    sendFromThere();
    expect((await rig.memory.receive("left", 2)).map(({ length }) => length)).toEqual([77, 60]);

    expect(await vm.wire.ack(vu.VHOST_USER_REM_MEM_REG, slot(vm, 1))).toBe(0);
    sendFromThere();
    expect((await rig.memory.receive("left", 1)).map(({ length }) => length)).toEqual([60]);
    expect(rig.api.port("vm").drops).toEqual({ desc_address: 2 });
    await rig.passes(vm);
  });

  test("the rings' own region goes and comes back, and traffic goes on", async () => {
    const vm = await rig.started("vm");
    await rig.passes(vm);
    expect(await vm.wire.ack(vu.VHOST_USER_REM_MEM_REG, slot(vm, 0))).toBe(0);
    expect(rig.api.port("vm").carrier).toBe(false);
    await rig.othersPass();
    expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, slot(vm, 0), [vm.ram.regions[0].fd])).toBe(0);
    await rig.passes(vm);
  });

  test("a region that is added twice is there until it was taken away twice", async () => {
    const vm = await rig.started("vm", two);
    const { fd } = vm.ram.regions[1];
    for (const expected of [2, 2]) {
      expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, slot(vm, 1), [fd])).toBe(0);
      expect(rig.api.port("vm").details.memoryRegions).toBe(expected);
    }
    for (const expected of [2, 2, 1]) {
      expect(await vm.wire.ack(vu.VHOST_USER_REM_MEM_REG, slot(vm, 1))).toBe(0);
      expect(rig.api.port("vm").details.memoryRegions).toBe(expected);
    }
    await rig.passes(vm);
  });

  test("a region that is not there cannot be taken away", async () => {
    await expectRefused(vu.VHOST_USER_REM_MEM_REG, u64s(0, BASE, MIB, USER, 0), [], "a region that is not there");
  });

  test("64 regions fit, a 65th does not", async () => {
    const vm = await rig.connected("vm");
    await vm.negotiate();
    const before = rig.error("vm", "protocol");
    const region = (n: number) => u64s(0, n * GIB, 4096, USER + n * GIB, (n % 16) * 4096);
    for (let n = 0; n < 64; n++) {
      expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, region(n), [file])).toBe(0);
    }
    expect(rig.api.port("vm").details.memoryRegions).toBe(64);
    expect(await vm.wire.ack(vu.VHOST_USER_ADD_MEM_REG, region(64), [file])).toBe(1);
    await vm.wire.ended();
    expect(rig.error("vm", "protocol")).toBe(before + 1);
  });
});

test("a table that is sent again while rings run keeps every frame", async () => {
  const vm = await rig.started("vm");
  for (let round = 0; round < 5; round++) {
    for (let n = 0; n < 8; n++) vm.send(frame(LEFT, VM, 60 + n));
    vm.setMemory();
    for (let n = 8; n < 16; n++) vm.send(frame(LEFT, VM, 60 + n));
    const sizes = (await rig.memory.receive("left", 16)).map(({ length }) => length);
    expect(sizes).toEqual(Array.from({ length: 16 }, (_, n) => 60 + n));
    await vm.settled();
    await rig.passes(vm);
  }
  expect(rig.api.port("vm").details.memoryRegions).toBe(1);
});

test("a table without the rings stops them, and one with them starts them where they were", async () => {
  const vm = await rig.started("vm");
  await rig.passes(vm);
  vm.wire.send(vu.VHOST_USER_SET_MEM_TABLE, table([0, MIB, USER - GIB, 0]), { fds: [file] });
  await vm.settled();
  expect(rig.api.port("vm").carrier).toBe(false);
  vm.send(frame(LEFT, VM, 91));
  await rig.othersPass();
  vm.setMemory();
  await vm.settled();
  expect(await rig.memory.receive("left", 1)).toEqual([frame(LEFT, VM, 91)]);
  await rig.passes(vm);
});

describe("a ring that its memory does not cover", () => {
  /** Starts ring 1 at another place; the connection must end. */
  async function expectUncovered(change: (vm: FrontEnd) => void, logged: string): Promise<void> {
    const vm = await rig.connected("vm");
    await vm.negotiate();
    vm.setMemory();
    const counted = rig.error("vm", "protocol");
    change(vm);
    vm.startRing(vm.transmitRing());
    await vm.wire.ended();
    expect(rig.error("vm", "protocol")).toBe(counted + 1);
    expect(rig.warnings.join()).toContain(logged);
    await rig.drop(vm, "vm");
    await rig.expectUsable("vm");
  }

  test.each<["desc" | "avail" | "used", number, string]>([
    ["desc", BASE + 3 * MIB, "vring 1 is not in the memory table"],
    ["avail", BASE - 4096, "vring 1 is not in the memory table"],
    ["used", 2 ** 50, "vring 1 is not in the memory table"],
    ["desc", BASE + 2 * MIB - 512, "descriptor table at 0x1001ffe00 (1024 bytes) is not in shared memory"],
    ["avail", BASE + 2 * MIB - 64, "avail ring at 0x1001fffc0 (132 bytes) is not in shared memory"],
    ["used", BASE + 2 * MIB - 64, "used ring at 0x1001fffc0 (516 bytes) is not in shared memory"],
    ["desc", BASE + 8, "descriptor table at 0x100000008 is not aligned to 16 bytes"],
    ["avail", BASE + 1025, "avail ring at 0x100000401 is not aligned to 2 bytes"],
    ["used", BASE + 2050, "used ring at 0x100000802 is not aligned to 4 bytes"],
  ])("%s at %d", async (part, address, logged) => {
    await expectUncovered((vm) => {
      vm.transmitRing()[part] = address;
    }, logged);
  });

  test("started before there was any memory", async () => {
    const vm = await rig.connected("vm");
    await vm.negotiate();
    vm.startRing(vm.transmitRing());
    await vm.wire.ended();
    expect(rig.warnings.join()).toContain("vring 1 is not in the memory table");
  });
});

test("nothing of all this is left", async () => {
  await until("no connection", () => rig.api.port("vm").details.connected === false);
  const large = [...holdings().mappings].filter(([name]) => name.includes("memory-test") || name.includes("front-end"));
  expect(large).toEqual([]);
});
