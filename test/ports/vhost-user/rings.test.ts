// The life of a vring (QEMU docs/interop/vhost-user.rst, "Ring states"): started, enabled, disabled, stopped, reset, and
// started again where it was; and the descriptors it is started with.

import { describe, expect, test } from "bun:test";
import { clearSignal, closeFd, eventFd, signal } from "../../../src/sys/fd.ts";
import { libc } from "../../../src/sys/libc.ts";
import * as vu from "../../../src/uapi/vhost_user.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../../src/uapi/virtio_net.ts";
import { frame } from "../../support/frames.ts";
import type { FrontEnd } from "../../support/frontend.ts";
import { openPath } from "../../support/frontend-memory.ts";
import { u32s, u64s } from "../../support/frontend-wire.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { until } from "../../support/until.ts";
import { LEFT, useVhostRig, VM } from "./rig.ts";

const rig = useVhostRig({ vm: "" });
const fifo = `${rig.scratch}/fifo`;
Bun.spawnSync(["mkfifo", fifo]);
const drops = () => rig.api.port("vm").drops;

/** Waits until this many frames of the front end have been dropped for this reason since `before`. */
async function dropped(reason: string, before: number, count: number): Promise<void> {
  await until(`${count} frames dropped as ${reason}`, () => (drops()[reason] ?? 0) >= before + count, { everyMs: 1 });
  expect(drops()[reason]).toBe(before + count);
}

describe("a descriptor that is no eventfd", () => {
  const others: Record<string, () => { fd: number; close: () => void }> = {
    "a regular file": () => openPath(process.execPath, "r"),
    "a directory": () => openPath("/tmp", "r"),
    "/dev/null": () => openPath("/dev/null", "r+"),
    "a socket": () => {
      const fd = libc.socket(1, 1, 0);
      return { fd, close: () => closeFd(fd) };
    },
    "an epoll set": () => {
      const fd = libc.epoll_create1(0);
      return { fd, close: () => closeFd(fd) };
    },
    // What writes to it is killed by SIGPIPE.
    "a pipe without a reader": () => {
      const both = openPath(fifo, "r+");
      const writer = openPath(fifo, "w");
      both.close();
      return writer;
    },
  };
  for (const [name, open] of Object.entries(others)) {
    test(name, async () => {
      for (const request of [vu.VHOST_USER_SET_VRING_KICK, vu.VHOST_USER_SET_VRING_CALL, vu.VHOST_USER_SET_VRING_ERR]) {
        const before = holdings();
        const vm = await rig.connected("vm");
        await vm.settled();
        const counted = rig.error("vm", "protocol");
        const { fd, close } = open();
        vm.wire.send(request, u64s(1), { fds: [fd] });
        await vm.wire.ended();
        close();
        await rig.drop(vm, "vm");
        expect(rig.error("vm", "protocol")).toBe(counted + 1);
        expect(rig.warnings.splice(0).join()).toContain("vring 1: the descriptor is no eventfd");
        expect(heldDifference(before, holdings())).toEqual([]);
      }
      await rig.expectUsable("vm");
    });
  }
});

test("a call descriptor that is full and would block holds up nobody", async () => {
  const full = eventFd();
  libc.fcntl(full, 4, 0); // F_SETFL without O_NONBLOCK
  const page = new BigUint64Array([2n ** 64n - 2n]);
  expect(await Bun.write(Bun.file(full), page)).toBe(8);
  const vm = await rig.connected("vm");
  closeFd(vm.rings[0].callFd);
  vm.rings[0].callFd = full;
  await vm.start();
  await rig.passes(vm);
  await rig.passes(vm);
  await rig.othersPass();
});

test("a call descriptor is called, and another one can take its place", async () => {
  const vm = await rig.started("vm");
  const { callFd, index } = vm.receiveRing();
  // A new descriptor is called at once, since buffers may have come back before.
  expect(clearSignal(callFd)).toBe(true);
  // A frame shows before it is announced.
  await rig.passes(vm);
  await until("the call", () => clearSignal(callFd), { everyMs: 1 });
  const other = eventFd();
  expect(await vm.wire.ack(vu.VHOST_USER_SET_VRING_CALL, u64s(index), [other])).toBe(0);
  expect(clearSignal(other)).toBe(true);
  await rig.passes(vm);
  await until("the call", () => clearSignal(other), { everyMs: 1 });
  // A frame is counted after its call: once all is counted, no call is still to come.
  await rig.memory.settled();
  expect(clearSignal(callFd)).toBe(false);
  expect(await vm.wire.ack(vu.VHOST_USER_SET_VRING_CALL, u64s(index | 0x100))).toBe(0);
  await rig.passes(vm);
  await rig.memory.settled();
  expect([clearSignal(callFd), clearSignal(other)]).toEqual([false, false]);
  closeFd(other);
});

test("a ring without a kick descriptor is polled", async () => {
  const vm = await rig.started("vm");
  const { index } = vm.transmitRing();
  expect(await vm.wire.ack(vu.VHOST_USER_SET_VRING_KICK, u64s(index | 0x100))).toBe(0);
  const { ring } = vm.transmitRing();
  ring.avail[0] = 0;
  for (let n = 0; n < 3; n++) await rig.passes(vm);
});

test("what is sent on a disabled ring is discarded and counted; enabled again it passes", async () => {
  const vm = await rig.started("vm");
  await rig.passes(vm);
  vm.enable(vm.transmitRing(), false);
  await vm.settled();
  const before = drops().link_down ?? 0;
  for (let n = 0; n < 3; n++) vm.send(frame(LEFT, VM));
  await dropped("link_down", before, 3);
  // The buffers came back.
  await until("three buffers back", () => {
    vm.transmitRing().ring.takeUsed();
    return vm.transmitRing().ring.available === vm.size;
  });
  // The other way is open still.
  rig.memory.send("left", frame(VM, LEFT, 70));
  expect(await vm.receive()).toEqual(frame(VM, LEFT, 70));
  vm.enable(vm.transmitRing(), true);
  await vm.settled();
  await rig.passes(vm);
});

test("what is sent to a disabled receive ring is counted as link_down", async () => {
  const vm = await rig.started("vm");
  await rig.passes(vm);
  vm.enable(vm.receiveRing(), false);
  await vm.settled();
  const before = drops().link_down ?? 0;
  for (let n = 0; n < 3; n++) rig.memory.send("left", frame(VM, LEFT));
  await dropped("link_down", before, 3);
  expect(vm.poll()).toBeNull();
  vm.enable(vm.receiveRing(), true);
  await vm.settled();
  await rig.passes(vm);
});

test("a ring that was started and not yet enabled keeps what lies in it", async () => {
  const vm = await rig.connected("vm");
  await vm.negotiate();
  vm.setMemory();
  vm.send(frame(LEFT, VM, 71));
  const { index, kickFd } = vm.transmitRing();
  vm.startRing(vm.receiveRing());
  vm.wire.send(vu.VHOST_USER_SET_VRING_NUM, u32s(index, vm.size));
  vm.wire.send(vu.VHOST_USER_SET_VRING_ADDR, vm.ringAddress(vm.transmitRing()));
  vm.wire.send(vu.VHOST_USER_SET_VRING_KICK, u64s(index), { fds: [kickFd] });
  await vm.settled();
  await rig.othersPass();
  vm.enable(vm.transmitRing(), true);
  expect(await rig.memory.receive("left", 1)).toEqual([frame(LEFT, VM, 71)]);
});

test("without PROTOCOL_FEATURES negotiated a ring is enabled by its kick", async () => {
  const vm = await rig.connected("vm");
  await vm.negotiate();
  vm.wire.send(vu.VHOST_USER_SET_FEATURES, u64s(1n << 32n));
  vm.setMemory();
  for (const it of vm.rings) {
    vm.wire.send(vu.VHOST_USER_SET_VRING_NUM, u32s(it.index, vm.size));
    vm.wire.send(vu.VHOST_USER_SET_VRING_ADDR, vm.ringAddress(it));
    vm.wire.send(vu.VHOST_USER_SET_VRING_KICK, u64s(it.index), { fds: [it.kickFd] });
  }
  await vm.settled();
  await rig.passes(vm);
});

test("GET_VRING_BASE stops a ring and names the next index; started again it goes on there", async () => {
  const vm = await rig.started("vm");
  for (let n = 0; n < 5; n++) await rig.passes(vm);
  expect(await vm.stopRing(vm.transmitRing())).toBe(5);
  vm.send(frame(LEFT, VM, 99));
  signal(vm.transmitRing().kickFd);
  await rig.othersPass();
  expect(await vm.stopRing(vm.receiveRing())).toBe(5);
  expect(rig.api.port("vm").carrier).toBe(false);
  for (const it of vm.rings) vm.startRing(it);
  expect(await rig.memory.receive("left", 1)).toEqual([frame(LEFT, VM, 99)]);
  await vm.settled();
  await rig.passes(vm);
  expect(await vm.stopRing(vm.transmitRing())).toBe(7);
});

test("GET_VRING_BASE of a ring that never started is answered", async () => {
  const vm = await rig.connected("vm");
  expect(await vm.stopRing(vm.transmitRing())).toBeGreaterThanOrEqual(0);
});

describe("a reset", () => {
  const resets: Record<string, (vm: FrontEnd) => void> = {
    RESET_DEVICE: ({ wire }) => void wire.send(vu.VHOST_USER_RESET_DEVICE),
    RESET_OWNER: ({ wire }) => void wire.send(vu.VHOST_USER_RESET_OWNER),
    "SET_STATUS 0": ({ wire }) => void wire.send(vu.VHOST_USER_SET_STATUS, u64s(0)),
  };
  for (const [name, reset] of Object.entries(resets)) {
    test(`${name} stops the rings; the driver starts anew with empty ones`, async () => {
      const vm = await rig.started("vm");
      vm.wire.send(vu.VHOST_USER_SET_STATUS, u64s(15));
      for (let n = 0; n < 3; n++) await rig.passes(vm);
      expect(await vm.wire.get(vu.VHOST_USER_GET_STATUS)).toBe(15n);
      reset(vm);
      expect(await vm.wire.get(vu.VHOST_USER_GET_STATUS)).toBe(0n);
      expect(rig.api.port("vm").carrier).toBe(false);
      vm.send(frame(LEFT, VM));
      await rig.othersPass();
      vm.resetRings();
      for (const it of vm.rings) vm.startRing(it);
      await vm.settled();
      for (let n = 0; n < 3; n++) await rig.passes(vm);
      expect(vm.transmitRing().ring.used[1]).toBe(3);
    });
  }

  test("a status that is not 0 resets nothing", async () => {
    const vm = await rig.started("vm");
    for (const status of [1, 3, 11, 15]) vm.wire.send(vu.VHOST_USER_SET_STATUS, u64s(status));
    await vm.settled();
    await rig.passes(vm);
  });
});

test("features that change while rings run are taken over", async () => {
  const vm = await rig.started("vm", { features: [VIRTIO_NET_F_MRG_RXBUF] });
  await rig.passes(vm);
  vm.wire.send(vu.VHOST_USER_SET_FEATURES, u64s((1n << 32n) | (1n << 30n)));
  await vm.settled();
  expect(rig.api.port("vm").details.features).toEqual(["VERSION_1", "PROTOCOL_FEATURES"]);
  await rig.passes(vm);
});

test("a driver whose header is the legacy one is not served, which is counted, and served when it is not", async () => {
  const vm = await rig.connected("vm");
  await vm.negotiate();
  const counted = rig.error("vm", "legacy_header");
  vm.wire.send(vu.VHOST_USER_SET_FEATURES, u64s(1n << 30n));
  vm.setMemory();
  for (const it of vm.rings) vm.startRing(it);
  vm.send(frame(LEFT, VM, 72));
  await vm.settled();
  expect(rig.error("vm", "legacy_header")).toBe(counted + 1);
  expect(rig.api.port("vm").carrier).toBe(false);
  await rig.othersPass();
  vm.wire.send(vu.VHOST_USER_SET_FEATURES, u64s((1n << 30n) | (1n << BigInt(VIRTIO_NET_F_MRG_RXBUF))));
  expect(await rig.memory.receive("left", 1)).toEqual([frame(LEFT, VM, 72)]);
  await vm.settled();
  await rig.passes(vm);
});

test("a burst of changes to a running ring keeps every frame", async () => {
  const vm = await rig.started("vm");
  let sent = 0;
  const arrived: number[] = [];
  for (let round = 0; round < 20; round++) {
    for (let n = 0; n < 3; n++) vm.send(frame(LEFT, VM, 60 + (sent++ % 1000)));
    const it = vm.transmitRing();
    vm.wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(it.index), { fds: [it.callFd] });
    vm.wire.send(vu.VHOST_USER_SET_VRING_KICK, u64s(it.index), { fds: [it.kickFd] });
    vm.setMemory();
    await vm.settled();
    arrived.push(...(await rig.memory.receive("left", 3)).map(({ length }) => length));
  }
  expect(arrived).toEqual(Array.from({ length: 60 }, (_, n) => 60 + n));
});
