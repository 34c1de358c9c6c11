// Frames that NICs read in a VM's memory, in a whole switch: real vhost-user sessions and workers, fake NICs (fake-nic.ts) that
// send when they are told to, or never. What each test ends with is checked for all: no NIC reads memory that has gone, memory
// leaves the NICs' address space before it leaves the process, no frame changed while it was read, rx + copies = tx + drops.

import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acquire32 } from "../../src/mem/access.ts";
import { FETCH_AVAIL, HELD, TX_POSTED, TX_REAPED } from "../../src/mem/lane-state.ts";
import { memoryDriver } from "../../src/ports/memory/driver.ts";
import * as vu from "../../src/uapi/vhost_user.ts";
import { BROADCAST, frame, mac } from "../support/frames.ts";
import { FrontEnd, type FrontEndOptions } from "../support/frontend.ts";
import { u64s } from "../support/frontend-wire.ts";
import { type FakeNic, FakeSpace, type NicSwitch, useNicSwitch } from "../support/nic-switch.ts";
import { until } from "../support/until.ts";

const VM = mac(0xb1);
const WIRE = mac(0xc1);
const WIRE2 = mac(0xc2);
const LEFT = mac(0xa1);
const HUNDRED = 100;

const start = useNicSwitch();
const scratch = mkdtempSync(join(tmpdir(), "ringyard-zero-copy-"));
const frontEnds: FrontEnd[] = [];
afterEach(() => {
  for (const frontEnd of frontEnds.splice(0)) frontEnd.close();
});
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

let sockets = 0;

/** A VM on a port `vm`, running. */
async function addVm(it: NicSwitch, name = "vm", options: FrontEndOptions = {}): Promise<FrontEnd> {
  const path = join(scratch, `${sockets++}.sock`);
  await it.add(name, `vhost-user:${path}`, VM);
  return await connect(path, options);
}

async function connect(path: string, options: FrontEndOptions = {}): Promise<FrontEnd> {
  const vm = new FrontEnd(path, options);
  frontEnds.push(vm);
  await vm.connect();
  await vm.start();
  return vm;
}

/** The VM's process is gone: its socket, and its memory as far as it was its own. */
function kill(vm: FrontEnd): void {
  frontEnds.splice(frontEnds.indexOf(vm), 1);
  vm.close();
}

async function gone(it: NicSwitch, name = "vm"): Promise<void> {
  await until("the port to be idle", () => it.counts(name).details.connected === false, { everyMs: 1 });
}

function send(vm: FrontEnd, count: number, to = WIRE): void {
  for (let n = 0; n < count; n++) expect(vm.send(frame(to, VM, HUNDRED + n, n))).toBe(true);
}

/** How many of its buffers a VM has got back. */
function returned(vm: FrontEnd): number {
  return vm.transmitRing().ring.used[1];
}

async function held(nic: FakeNic, count: number): Promise<void> {
  const context = () => `${nic.ring.waiting} are`;
  await until(`${count} frames held`, () => nic.ring.waiting === count, { everyMs: 1, timeoutMs: 3000, context });
}

async function back(vm: FrontEnd, count: number): Promise<void> {
  await until(`${count} buffers back`, () => returned(vm) === count, {
    everyMs: 1,
    timeoutMs: 3000,
    context: () => `${returned(vm)} are`,
  });
}

/** A switch whose NIC holds so many frames of its VM. */
async function holding(frames: number) {
  const it = start();
  const space = new FakeSpace();
  const nic = await it.addNic("nic", WIRE, space);
  const vm = await addVm(it);
  send(vm, frames);
  await held(nic, frames);
  return { it, space, nic, vm };
}

test.each([1, 2, 3])("a NIC reads frames where they lie, with %i workers", async (workers) => {
  const it = start(workers);
  const nic = await it.addNic("nic", WIRE, new FakeSpace());
  const vm = await addVm(it);
  send(vm, 10);
  await held(nic, 10);
  expect(returned(vm)).toBe(0);
  nic.ring.permit(4);
  await back(vm, 4);
  nic.ring.permit(6);
  await back(vm, 10);
  // As many as the VM's ring has, and more, while the NIC sends at its own pace.
  let sent = 10;
  await until("500 frames", () => {
    nic.ring.permit(20);
    while (sent < 500 && vm.send(frame(WIRE, VM, HUNDRED, sent & 0xff))) sent++;
    return sent === 500;
  });
  nic.ring.permit(500);
  await back(vm, 500);
  const counts = it.counts("nic");
  expect(counts.txZeroCopy).toBe(500);
  expect(counts.txCopied).toBeUndefined();
  expect(it.counts("vm").details.zeroCopy).toStartWith("yes");
});

test("a NIC that comes after the VM reaches its memory, and one that goes lets go of it", async () => {
  const it = start();
  const vm = await addVm(it);
  expect(it.counts("vm").details.zeroCopy).toBeUndefined();
  const space = new FakeSpace();
  const nic = await it.addNic("nic", WIRE, space);
  send(vm, 5);
  await held(nic, 5);
  // Gone with all that it had: the buffers come back, and the memory is mapped no more.
  await it.remove("nic");
  await back(vm, 5);
  expect([space.maps.size, "zeroCopy" in it.counts("vm").details]).toEqual([0, false]);
  const next = await it.addNic("nic", WIRE, space);
  send(vm, 2);
  await held(next, 2);
  next.ring.permit(2);
  await back(vm, 7);
});

test("frames to others wait behind a held one, but reach their port at once", async () => {
  const it = start();
  await it.add("left", "memory:zero-copy-left", LEFT);
  const nic = await it.addNic("nic", WIRE, new FakeSpace());
  const vm = await addVm(it);
  send(vm, 1);
  send(vm, 3, LEFT);
  const left = memoryDriver("zero-copy-left");
  let arrived = 0;
  await until("the others", () => {
    while (left.receive() !== null) arrived++;
    return arrived === 3;
  });
  expect(returned(vm)).toBe(0);
  nic.ring.permit(1);
  await back(vm, 4);
});

test("one NIC of several holds a flooded frame, the others copy it", async () => {
  const it = start();
  const space = new FakeSpace();
  const nics = [
    await it.addNic("n1", WIRE, space),
    await it.addNic("n2", WIRE2, space),
    await it.addNic("n3", LEFT, space),
  ];
  const vm = await addVm(it);
  send(vm, 4, BROADCAST);
  await until("the flood", () => it.counts("n3").txFrames === 4, { everyMs: 1 });
  expect(nics.map(({ ring }) => ring.waiting)).toEqual([4, 0, 0]);
  expect(["n1", "n2", "n3"].map((name) => it.counts(name).txCopied ?? 0)).toEqual([0, 4, 4]);
  for (const { ring } of nics) ring.permit(9);
  await back(vm, 4);
});

test("two NICs out of step: buffers come back in the order of the ring", async () => {
  const it = start(2);
  const space = new FakeSpace();
  const slow = await it.addNic("slow", WIRE, space);
  const fast = await it.addNic("fast", WIRE2, space);
  fast.ring.permit(1000);
  const vm = await addVm(it);
  for (let n = 0; n < 8; n++) send(vm, 1, n % 2 === 0 ? WIRE : WIRE2);
  await held(slow, 4);
  expect(returned(vm)).toBe(0);
  for (let n = 1; n <= 4; n++) {
    slow.ring.permit(1);
    await back(vm, n * 2);
  }
  expect(fast.ring.waiting).toBe(0);
});

test("a NIC behind another door copies", async () => {
  const it = start();
  const nic = await it.addNic("nic", WIRE, new FakeSpace("type1"));
  await it.addNic("other", WIRE2, new FakeSpace("iommufd"));
  const vm = await addVm(it);
  send(vm, 3, WIRE2);
  await back(vm, 3);
  expect(it.counts("other").txCopied).toBe(3);
  expect(it.counts("other").details.zeroCopy).toBe("no: another NIC is behind type1");
  expect(it.warnings).toEqual(["frames are copied: another NIC is behind type1, this one behind iommufd"]);
  send(vm, 1);
  await held(nic, 1);
  nic.ring.permit(1);
});

test("memory that cannot be mapped is copied, which is said once", async () => {
  const it = start();
  const space = new FakeSpace();
  space.limit = 0;
  await it.addNic("nic", WIRE, space);
  const regions = [2 ** 32, 2 ** 33].map((guest) => ({ guest, size: 1 << 21 }));
  const vm = await addVm(it, "vm", { regions });
  send(vm, 3);
  await back(vm, 3);
  expect(it.counts("nic").txCopied).toBe(3);
  expect(it.warnings).toEqual(["memory is not mapped for the NICs, frames are copied: too little locked memory"]);
  expect(it.counts("vm").details.zeroCopy).toMatch(/^0 MiB of \d+ MiB: too little locked memory$/);
});

test("a VM that is killed is waited for: its memory goes when the NIC has read its frames", async () => {
  const { it, space, nic, vm } = await holding(6);
  kill(vm);
  await until("the session to end", () => it.dispatcher.isOpen(1, 0) === false, { everyMs: 1 });
  expect(space.maps.size).toBe(1);
  nic.ring.permit(6);
  await gone(it);
  expect([nic.resets, nic.ring.waiting, space.maps.size]).toEqual([0, 0, 0]);
});

test("and where the NIC never sends them, it is reset first", async () => {
  const { it, space, nic, vm } = await holding(6);
  let proceed = () => {};
  nic.resetBusy = new Promise((resolve) => {
    proceed = resolve;
  });
  kill(vm);
  await until("the reset", () => nic.resets === 1, { everyMs: 1 });
  // As long as the reset takes, the memory stays.
  expect([space.maps.size, it.counts("vm").details.connected]).toEqual([1, true]);
  proceed();
  await gone(it);
  expect([nic.resets, space.maps.size]).toEqual([1, 0]);
  expect(it.warnings.at(-1)).toContain("resetting it, since a sender's memory goes");
  // Both go on.
  const again = await connect(vm.path);
  send(again, 2);
  await held(nic, 2);
  nic.ring.permit(2);
  await back(again, 2);
});

test("new memory under held frames: the old one goes when they are sent, and the rings go on", async () => {
  const { it, space, nic, vm } = await holding(6);
  vm.setMemory();
  nic.ring.permit(6);
  await vm.settled();
  await back(vm, 6);
  expect([space.maps.size, space.unmaps, nic.resets]).toEqual([1, 1, 0]);
  send(vm, 3);
  await held(nic, 3);
  nic.ring.permit(3);
  await back(vm, 9);
  expect(it.counts("nic").txZeroCopy).toBe(9);
});

test("new memory while the NIC stands still: it is reset, and the frames are sent again", async () => {
  const { nic, vm } = await holding(6);
  vm.setMemory();
  await vm.settled();
  expect(nic.resets).toBe(1);
  await held(nic, 6);
  nic.ring.permit(6);
  await back(vm, 6);
});

test.each([
  ["GET_VRING_BASE", async (vm: FrontEnd) => void (await vm.stopRing(vm.transmitRing()))],
  ["RESET_DEVICE", async (vm: FrontEnd) => vm.wire.send(vu.VHOST_USER_RESET_DEVICE)],
])("a driver that stops with %s while frames are held finds its ring where the device left it", async (name, stop) => {
  const { it, nic, vm } = await holding(6);
  nic.ring.permit(2);
  await back(vm, 2);
  if (name === "GET_VRING_BASE") {
    // The NIC stands still: what it has not read is not done.
    expect(await vm.stopRing(vm.transmitRing())).toBe(2);
  } else await stop(vm);
  await vm.settled();
  expect([returned(vm), acquire32(it.dispatcher.shared.laneState(8), HELD)]).toEqual([2, 0]);
  vm.startRing(vm.transmitRing());
  if (name === "RESET_DEVICE") vm.startRing(vm.receiveRing());
  await vm.settled();
  // Sent once more, beside those that the NIC still has.
  await held(nic, 8);
  nic.ring.permit(8);
  await back(vm, 6);
});

test("while nothing is fetched, buffers still come back", async () => {
  const { it, nic, vm } = await holding(4);
  await it.dispatcher.callAll({ op: "fetch", on: false });
  nic.ring.permit(4);
  await back(vm, 4);
  send(vm, 1);
  await it.dispatcher.callAll({ op: "fetch", on: true });
  await held(nic, 1);
  nic.ring.permit(1);
});

test("a NIC that stands still is reset after a while, and one that moves is not", async () => {
  const { it, nic, vm } = await holding(4);
  for (let s = 0; s < 10; s++) {
    await it.dma.watch(() => s * 1000);
    nic.ring.permit(1);
    await back(vm, s + 1);
    send(vm, 1);
    await held(nic, 4);
  }
  expect(nic.resets).toBe(0);
  for (let s = 10; s < 14; s++) await it.dma.watch(() => s * 1000);
  expect([nic.resets, it.warnings]).toEqual([1, ["the NIC has sent nothing for 3 s: resetting it"]]);
  await back(vm, 14);
});

test("memory slots come and go one by one", async () => {
  const it = start();
  const space = new FakeSpace();
  const nic = await it.addNic("nic", WIRE, space);
  const regions = [
    { guest: 2 ** 32, size: 1 << 21 },
    { guest: 2 ** 33, size: 1 << 20 },
  ];
  const vm = await addVm(it, "vm", { regions });
  expect([...space.maps.values()]).toEqual([1 << 21, 1 << 20]);
  const { guest, size, user, offset, fd } = vm.ram.regions[1];
  const slot = u64s(0, guest, size, user, offset);
  send(vm, 2);
  await held(nic, 2);
  vm.wire.send(vu.VHOST_USER_REM_MEM_REG, slot);
  nic.ring.permit(2);
  await vm.settled();
  expect([[...space.maps.values()], nic.resets]).toEqual([[1 << 21], 0]);
  vm.wire.send(vu.VHOST_USER_ADD_MEM_REG, slot, { fds: [fd] });
  await vm.settled();
  expect([...space.maps.values()]).toEqual([1 << 21, 1 << 20]);
  send(vm, 2);
  await held(nic, 2);
  nic.ring.permit(2);
  await back(vm, 4);
});

test("tickets go on from one port of an index to the next: who still waits for an old one waits for nothing", () => {
  const it = start();
  const state = it.dispatcher.shared.laneState(8);
  state.fill(77);
  state[TX_REAPED] = 70;
  it.dispatcher.resetPort(1);
  expect([state[TX_POSTED], state[TX_REAPED], state[FETCH_AVAIL], state[HELD]]).toEqual([77, 77, 0, 0]);
});
