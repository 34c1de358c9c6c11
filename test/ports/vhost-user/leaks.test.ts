// Whatever ends a connection, and wherever it ends, the process holds afterwards what it held before: descriptors of every
// kind, mappings of every file.

import { expect, test } from "bun:test";
import { eventFd, signal } from "../../../src/sys/fd.ts";
import * as vu from "../../../src/uapi/vhost_user.ts";
import type { FrontEnd } from "../../support/frontend.ts";
import { message, u32s, u64s } from "../../support/frontend-wire.ts";
import { heldDifference, holdings } from "../../support/leaks.ts";
import { sized } from "../../support/scale.ts";
import { useVhostRig } from "./rig.ts";

const rig = useVhostRig({ vm: "queues=4" });
const CYCLES = sized(15, 1000);

/** How a front end that was forwarding ends. */
const ends: Record<string, (vm: FrontEnd) => unknown> = {
  "a hang-up": (vm) => vm.disconnect(),
  "an unknown request": ({ wire }) => wire.send(99, u64s(0)),
  "a payload cut short": (vm) => {
    vm.wire.raw(message(vu.VHOST_USER_SET_VRING_CALL, u64s(0)).subarray(0, 15), [vm.rings[0].callFd]);
    vm.disconnect();
  },
  "nine descriptors": ({ wire, rings }) => {
    wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(0), { fds: new Array(9).fill(rings[0].callFd) });
  },
  "more descriptors than are taken": ({ wire, rings }) => {
    wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(0), { fds: new Array(40).fill(rings[0].callFd) });
  },
  "a bad region behind a good one": ({ wire, ram }) => {
    const { guest, size, user, fd } = ram.regions[0];
    const table = Buffer.concat([u32s(2, 0), u64s(guest, size, user, 0, guest + size, 4096, user + size, 2 ** 40)]);
    wire.send(vu.VHOST_USER_SET_MEM_TABLE, table, { fds: [fd, fd] });
  },
  "a ring that moves outside the memory": (vm) => {
    vm.rings[3].desc += 2 ** 40;
    vm.wire.send(vu.VHOST_USER_SET_VRING_ADDR, vm.ringAddress(vm.rings[3]));
  },
  "a ring that is misaligned": (vm) => {
    vm.rings[0].used += 2;
    vm.wire.send(vu.VHOST_USER_SET_VRING_ADDR, vm.ringAddress(vm.rings[0]));
  },
  "a broken ring": (vm) => {
    vm.transmitRing().ring.avail[1] += 0x8000;
    signal(vm.transmitRing().kickFd);
    vm.wire.send(99, u64s(0));
  },
  "replies that nobody reads": (vm) => {
    for (let n = 0; n < 3000; n++) vm.wire.send(vu.VHOST_USER_GET_FEATURES);
    vm.disconnect();
  },
};

async function cycle(end: (vm: FrontEnd) => unknown): Promise<void> {
  const vm = await rig.started("vm", { pairs: 2 });
  await rig.passes(vm);
  await end(vm);
  await rig.drop(vm, "vm");
}

for (const [name, end] of Object.entries(ends)) {
  test(`nothing leaks by ${name}`, async () => {
    for (let n = 0; n < 2; n++) await cycle(end);
    const before = holdings();
    for (let n = 0; n < CYCLES; n++) await cycle(end);
    expect(heldDifference(before, holdings())).toEqual([]);
    await rig.expectUsable("vm");
  }, 120_000);
}

test("nothing leaks by a hang-up after any number of messages", async () => {
  const steps: ((vm: FrontEnd) => unknown)[] = [
    (vm) => vm.negotiate(),
    (vm) => vm.setMemory(),
    ({ wire }) => wire.send(vu.VHOST_USER_SET_VRING_ERR, u64s(1), { fds: [spare] }),
    ({ wire }) => wire.send(vu.VHOST_USER_SET_VRING_CALL, u64s(1), { fds: [spare] }),
    ({ wire }) => wire.send(vu.VHOST_USER_SET_VRING_KICK, u64s(1), { fds: [spare] }),
    (vm) => vm.startRing(vm.rings[1]),
    (vm) => vm.startRing(vm.rings[0]),
    (vm) => vm.setMemory(),
    (vm) => vm.startRing(vm.rings[1]),
    ({ wire }) => wire.send(vu.VHOST_USER_RESET_DEVICE),
    (vm) => vm.startRing(vm.rings[1]),
  ];
  const spare = eventFd();
  const before = holdings();
  for (let round = 0; round < Math.ceil(CYCLES / 10); round++) {
    for (let count = 0; count <= steps.length; count++) {
      for (const settle of [true, false]) {
        const vm = await rig.connected("vm");
        for (const step of steps.slice(0, count)) await step(vm);
        if (settle) await vm.settled();
        await rig.drop(vm, "vm");
      }
    }
  }
  expect(heldDifference(before, holdings())).toEqual([]);
  await rig.expectUsable("vm");
}, 120_000);

test("nothing leaks by a port that comes and goes with its front end", async () => {
  const cycleOfPort = async () => {
    await rig.add("brief");
    const vm = await rig.started("brief", { pairs: 2 });
    await rig.passes(vm);
    await rig.api.removePort("brief");
    await vm.wire.ended();
    rig.frontEnds.delete(vm);
    vm.close();
  };
  await cycleOfPort();
  const before = holdings();
  for (let n = 0; n < CYCLES; n++) await cycleOfPort();
  expect(heldDifference(before, holdings())).toEqual([]);
}, 120_000);
