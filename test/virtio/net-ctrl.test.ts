// The control queue: commands as a driver sends them, and what a hostile one sends instead.

import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { GuestMemory } from "../../src/mem/guest-memory.ts";
import { WindowTable } from "../../src/mem/window.ts";
import { mapAnonymous, unmap, viewOf } from "../../src/sys/memory.ts";
import { VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../../src/uapi/virtio_ring.ts";
import { DriverRing, driverRingLayout } from "../../src/virtio/driver-ring.ts";
import { ControlQueue, type NetCommand, readNetCommand } from "../../src/virtio/net-ctrl.ts";
import { openSplitRing } from "../../src/virtio/split-ring.ts";

const SIZE = 8;
const BYTES = 1 << 16;
const GUEST = 2 ** 32;
const UNANSWERED = 0xee;
/** Where commands, acks and indirect tables go, behind the ring. */
const [DATA, ACK, TABLE] = [8192, 16384, 24576];

const address = mapAnonymous(BYTES);
const bytes = new Uint8Array(viewOf(address, 0, BYTES));
afterAll(() => unmap(address, BYTES));

let driver: DriverRing;
let queue: ControlQueue;
let seen: NetCommand[];
let verdict: boolean;

beforeEach(() => {
  bytes.fill(0);
  bytes[ACK] = UNANSWERED;
  const layout = driverRingLayout(SIZE, 0);
  driver = new DriverRing(bytes.buffer, layout, GUEST, true);
  const memory = new GuestMemory(new WindowTable());
  memory.add(GUEST, BYTES, address);
  const { desc, avail, used } = layout;
  const ring = { size: SIZE, desc: GUEST + desc, avail: GUEST + avail, used: GUEST + used, eventIdx: true };
  queue = new ControlQueue(openSplitRing(memory, ring), memory, 0);
  seen = [];
  verdict = true;
});

function serve(): Promise<number> {
  return queue.serve(async (command) => {
    seen.push(command);
    return verdict;
  });
}

/** Descriptors 0, 1, ... as [offset, length, flags, next], offered as one chain. */
function offer(...chain: [number, number, number, number][]): void {
  chain.forEach(([offset, length, flags, next], index) => {
    driver.writeDescriptor(index, offset, length, flags, next);
  });
  driver.push(0);
  driver.publish();
}

/** Class and command in one buffer, data in the next, then the ack: as Linux sends them. */
function send(kind: number, command: number, data: readonly number[]): void {
  bytes.set([kind, command], DATA);
  bytes.set(data, DATA + 64);
  offer(
    [DATA, 2, VRING_DESC_F_NEXT, 1],
    [DATA + 64, data.length, VRING_DESC_F_NEXT, 2],
    [ACK, 1, VRING_DESC_F_WRITE, 0],
  );
}

const used = () => [driver.used[1], new Int32Array(bytes.buffer, driver.layout.used + 4, 2)[1]];

describe("a command", () => {
  test.each([
    { name: "queue pairs", kind: 4, command: 0, data: [3, 0], wanted: { type: "pairs", count: 3 } },
    { name: "promiscuous", kind: 0, command: 0, data: [1], wanted: { type: "rx", mode: 0, on: true } },
    { name: "no broadcast", kind: 0, command: 5, data: [0], wanted: { type: "rx", mode: 5, on: false } },
  ])("$name is carried out, then answered", async ({ kind, command, data, wanted }) => {
    send(kind, command, data);
    expect(await serve()).toBe(1);
    expect(seen).toEqual([wanted as NetCommand]);
    expect(bytes[ACK]).toBe(0);
    expect(used()).toEqual([1, 1]);
  });

  test("that is refused is answered by an error", async () => {
    verdict = false;
    send(4, 0, [9, 0]);
    await serve();
    expect(bytes[ACK]).toBe(1);
  });

  test("that fails is answered by an error, and the next one is served", async () => {
    send(4, 0, [2, 0]);
    expect(await queue.serve(() => Promise.reject(new Error("the device is broken")))).toBe(1);
    expect([bytes[ACK], ...used()]).toEqual([1, 1, 1]);
    send(4, 0, [1, 0]);
    expect(await serve()).toBe(1);
    expect([bytes[ACK], seen.length]).toEqual([0, 1]);
  });

  test("in an indirect table, and with everything in one buffer", async () => {
    bytes.set([1, 1, 2, 0, 0, 0, 0, 7], DATA);
    const table = new DriverRing(bytes.buffer, { ...driver.layout, desc: TABLE }, GUEST, false);
    table.writeDescriptor(0, DATA, 8, VRING_DESC_F_NEXT, 1);
    table.writeDescriptor(1, ACK, 1, VRING_DESC_F_WRITE, 0);
    offer([TABLE, 32, VRING_DESC_F_INDIRECT, 0]);
    await serve();
    expect(seen).toEqual([{ type: "mac", bytes: Uint8Array.of(2, 0, 0, 0, 0, 7) }]);
    expect(bytes[ACK]).toBe(0);
  });

  test("is asked for by a kick again when all are served", async () => {
    send(4, 0, [1, 0]);
    await serve();
    expect(driver.used[2 + SIZE * 4]).toBe(1);
  });

  test.each([
    { name: "of an unknown class", kind: 99, command: 0, data: [1] },
    { name: "with too little data", kind: 4, command: 0, data: [1] },
    { name: "with too much", kind: 4, command: 0, data: [1, 0, 0] },
    { name: "with an unknown number", kind: 0, command: 6, data: [1] },
  ])("$name is answered by an error, and counted", async ({ kind, command, data }) => {
    send(kind, command, data);
    expect(await serve()).toBe(1);
    expect(seen).toEqual([]);
    expect([bytes[ACK], queue.malformed]).toEqual([1, 1]);
  });

  test("of fewer than two bytes is none", () => {
    expect(readNetCommand(Uint8Array.of(4))).toBeNull();
    expect(readNetCommand(new Uint8Array(0))).toBeNull();
  });
});

describe("a hostile chain is given back unanswered, and counted:", () => {
  const next = VRING_DESC_F_NEXT;
  test.each<[string, [number, number, number, number][]]>([
    ["one without an ack", [[DATA, 4, 0, 0]]],
    ["a loop", [[DATA, 4, next, 0]]],
    ["a next beyond the table", [[DATA, 4, next, 4000]]],
    [
      "a readable buffer after the ack",
      [
        [ACK, 1, VRING_DESC_F_WRITE | next, 1],
        [DATA, 4, 0, 0],
      ],
    ],
    [
      "an empty buffer",
      [
        [DATA, 0, next, 1],
        [ACK, 1, VRING_DESC_F_WRITE, 0],
      ],
    ],
    [
      "a buffer outside memory",
      [
        [BYTES, 4, next, 1],
        [ACK, 1, VRING_DESC_F_WRITE, 0],
      ],
    ],
    [
      "an ack outside memory",
      [
        [DATA, 4, next, 1],
        [BYTES - 1, 2, VRING_DESC_F_WRITE, 0],
      ],
    ],
    [
      "more bytes than any command has",
      [
        [0, 4096, next, 1],
        [0, 4096, next, 2],
        [ACK, 1, VRING_DESC_F_WRITE, 0],
      ],
    ],
    ["an indirect table of no whole descriptors", [[TABLE, 17, VRING_DESC_F_INDIRECT, 0]]],
    ["an indirect table outside memory", [[BYTES - 16, 32, VRING_DESC_F_INDIRECT, 0]]],
  ])("%s", async (_, chain) => {
    offer(...chain);
    expect(await serve()).toBe(1);
    expect(seen).toEqual([]);
    expect([bytes[ACK], queue.malformed]).toEqual([UNANSWERED, 1]);
    expect(used()).toEqual([1, 0]);
  });

  test("a nested indirect table", async () => {
    const table = new DriverRing(bytes.buffer, { ...driver.layout, desc: TABLE }, GUEST, false);
    table.writeDescriptor(0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
    offer([TABLE, 16, VRING_DESC_F_INDIRECT, 0]);
    await serve();
    expect(queue.malformed).toBe(1);
  });

  test("a head that is no descriptor", async () => {
    driver.push(SIZE + 3);
    driver.publish();
    expect(await serve()).toBe(1);
    expect(queue.malformed).toBe(1);
  });

  test("and an avail index that runs away ends after one ring", async () => {
    Atomics.store(driver.avail, 1, 0x8000);
    expect(await serve()).toBe(SIZE);
  });
});
