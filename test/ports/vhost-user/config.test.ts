// The device configuration that a front end reads (virtio 1.2, 5.1.4), and the features it is offered.

import { expect, test } from "bun:test";
import * as vu from "../../../src/uapi/vhost_user.ts";
import { u32s } from "../../support/frontend-wire.ts";
import { useVhostRig } from "./rig.ts";

const rig = useVhostRig({
  full: "mac=02:11:22:33:44:55&mtu=9000&queues=4",
  bare: "queues=1&offload=csum",
});

/** A GET_CONFIG request, and what it reads. */
async function read(
  wire: { call: typeof rig.frontEnd.prototype.wire.call },
  offset: number,
  size: number,
  room = size,
) {
  const payload = Buffer.concat([u32s(offset, size, 0), new Uint8Array(room)]);
  const reply = await wire.call(vu.VHOST_USER_GET_CONFIG, payload);
  return [...new Uint8Array(reply.buffer, reply.byteOffset, reply.byteLength)];
}

const SPACE = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55, 1, 0, 4, 0, 9000 & 0xff, 9000 >> 8];

test("MAC, status, queue pairs and MTU stand where the specification has them", async () => {
  const { wire } = await rig.connected("full");
  const reply = await read(wire, 0, 12);
  expect(reply).toEqual([...u32s(0, 12, 0), ...SPACE]);
  expect((await read(wire, 6, 4)).slice(12)).toEqual([1, 0, 4, 0]);
  const all = (await read(wire, 0, 256)).slice(12);
  expect([all.length, ...all.slice(0, 12)]).toEqual([256, ...SPACE]);
  expect(all.slice(24).every((byte) => byte === 0)).toBe(true);
});

test("what lies outside the space, or the request, is answered by nothing", async () => {
  const { wire } = await rig.connected("full");
  for (const [offset, size, room] of [
    [0, 257, 256],
    [1, 256, 256],
    [256, 1, 1],
    [0xffffffff, 1, 1],
    [1, 0xffffffff, 4],
    [0, 12, 11],
  ]) {
    expect(await read(wire, offset, size, room)).toEqual([]);
  }
  expect((await read(wire, 255, 1)).slice(12)).toEqual([0]);
});

test("a driver cannot write the space", async () => {
  const vm = await rig.connected("full");
  await vm.negotiate();
  const payload = Buffer.concat([u32s(0, 6, 0), new Uint8Array(6).fill(0xff)]);
  expect(await vm.wire.ack(vu.VHOST_USER_SET_CONFIG, payload)).toBe(0);
  expect((await read(vm.wire, 0, 12)).slice(12)).toEqual(SPACE);
});

/** Bit numbers of a feature word. */
function bits(word: bigint): number[] {
  return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (word >> BigInt(bit)) % 2n === 1n);
}

test("features follow the port's options", async () => {
  const full = await rig.connected("full");
  const common = [15, 16, 17, 18, 19, 21, 23, 28, 29, 30, 32];
  const offloads = [0, 1, 7, 8, 9, 11, 12, 13, 54, 55, 56];
  const offered = bits(await full.wire.get(vu.VHOST_USER_GET_FEATURES));
  expect(offered).toEqual([...common, ...offloads, 3, 5, 22].sort((a, b) => a - b));
  expect(await full.wire.get(vu.VHOST_USER_GET_QUEUE_NUM)).toBe(4n);
  const bare = await rig.connected("bare");
  expect(bits(await bare.wire.get(vu.VHOST_USER_GET_FEATURES))).toEqual([...common, 0, 1].sort((a, b) => a - b));
  expect(await bare.wire.get(vu.VHOST_USER_GET_QUEUE_NUM)).toBe(1n);
  expect(bits(await bare.wire.get(vu.VHOST_USER_GET_PROTOCOL_FEATURES))).toEqual([0, 3, 9, 13, 15, 16]);
});
