// Scripts for the vhost-user fuzzer: what a front end does on one connection after the other, as plain data, so that a
// script that was found can be kept as a file. Most messages are nearly right, and most scripts set a device up first:
// a connection that ends at its first message shows little.
//
//   start | send a message, whole or in two parts | frames | scribble over a ring | settle | hang up

import * as vu from "../../src/uapi/vhost_user.ts";
import type { FrontEnd, FrontEndOptions } from "../support/frontend.ts";
import { u32s, u64s } from "../support/frontend-wire.ts";
import type { Random } from "./random.ts";

/** What a passed descriptor is. */
export const FD_KINDS = ["event", "memory", "ram", "readonly", "socket", "epoll", "directory"] as const;
export type FdKind = (typeof FD_KINDS)[number];

export type Step =
  | { do: "start" }
  | { do: "send"; request: number; flags: number; payload: string; fds: FdKind[]; size?: number; cut?: number }
  | { do: "frames"; count: number }
  | { do: "scribble"; ring: number; part: "desc" | "avail" | "used"; at: number; bytes: string }
  | { do: "settle" }
  | { do: "hangup" };

export const DEVICE: FrontEndOptions = {
  size: 16,
  pairs: 2,
  regions: [
    { guest: 2 ** 32, size: 1 << 20 },
    { guest: 2 ** 32 + (1 << 20), size: 1 << 16, offset: 4096 },
  ],
};

const KNOWN = [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 25, 34, 36, 37, 38, 39, 40];

export function makeScript(random: Random, vm: FrontEnd): Step[] {
  const steps: Step[] = random.once(5) ? [] : [{ do: "start" }, { do: "frames", count: 1 + random.below(4) }];
  for (let n = 1 + random.below(12); n > 0; n--) {
    const step = makeStep(random, vm);
    steps.push(step);
    // What is said twice replaces what was said before.
    if (random.once(4)) steps.push(step);
  }
  return steps;
}

function makeStep(random: Random, vm: FrontEnd): Step {
  switch (random.below(12)) {
    case 0:
      return { do: "start" };
    case 1:
      return { do: "frames", count: 1 + random.below(20) };
    case 2:
      return { do: "settle" };
    case 3:
      return { do: "hangup" };
    case 4:
      return {
        do: "scribble",
        ring: random.below(4),
        part: random.pick(["desc", "avail", "used"]),
        at: random.below(64),
        bytes: hex(random.bytes(1 + random.below(16))),
      };
    default:
      return makeMessage(random, vm);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function makeMessage(random: Random, vm: FrontEnd): Step {
  const request = random.once(25) ? random.next() & random.pick([63, 0xffffffff]) : random.pick(KNOWN);
  let payload = goodPayload(random, vm, request);
  const fds = goodFds(random, request, payload);
  if (random.once(3)) payload = damage(random, payload);
  if (random.once(8)) for (let n = random.pick([1, 1, 2, 8, 9, 32]); n > 0; n--) fds.push(random.pick(FD_KINDS));
  if (random.once(12)) fds.pop();
  if (random.once(12) && fds.length > 0) fds[0] = random.pick(FD_KINDS);
  const flags = random.once(20) ? random.next() & 15 : random.pick([1, 9]);
  const step: Step = { do: "send", request: request >>> 0, flags, payload: hex(payload), fds };
  if (random.once(25)) step.size = random.pick([0, 1, payload.length + 1, 1024, 1025, 2 ** 31, 2 ** 32 - 1]);
  if (random.once(6)) step.cut = 1 + random.below(11 + payload.length);
  return step;
}

/** A payload that the request may have, in the state that a device is in after `start`. */
function goodPayload(random: Random, vm: FrontEnd, request: number): Uint8Array {
  const index = random.once(15) ? random.pick([4, 7, 255, 256, 0xffffffff]) : random.below(4);
  switch (request) {
    case vu.VHOST_USER_SET_FEATURES:
      return u64s(random.pick([0x140000000n, 0x170000000n, 0x140008000n, 0x40000000n, BigInt(random.next())]));
    case vu.VHOST_USER_SET_PROTOCOL_FEATURES:
      return u64s(random.pick([0, 8, 0x1a209, random.next()]));
    case vu.VHOST_USER_SET_MEM_TABLE:
      return memoryTable(random, vm);
    case vu.VHOST_USER_SET_VRING_NUM:
      return u32s(index, random.pick([16, 16, 16, 1, 2, 256, 32768, 0, 3, 65536]));
    case vu.VHOST_USER_SET_VRING_ADDR:
      return vm.ringAddress(vm.rings[index % vm.rings.length]);
    case vu.VHOST_USER_SET_VRING_BASE:
    case vu.VHOST_USER_GET_VRING_BASE:
    case vu.VHOST_USER_SET_VRING_ENABLE:
      return u32s(index, random.below(2));
    case vu.VHOST_USER_SET_VRING_KICK:
    case vu.VHOST_USER_SET_VRING_CALL:
    case vu.VHOST_USER_SET_VRING_ERR:
      return u64s((index & 0xff) | (random.once(6) ? 0x100 : 0));
    case vu.VHOST_USER_GET_CONFIG:
    case vu.VHOST_USER_SET_CONFIG:
      return Buffer.concat([u32s(random.below(20), 8, 0), new Uint8Array(8)]);
    case vu.VHOST_USER_ADD_MEM_REG:
    case vu.VHOST_USER_REM_MEM_REG:
      return Buffer.concat([u64s(0), region(random, vm)]);
    case vu.VHOST_USER_SET_STATUS:
      return u64s(random.pick([0, 1, 3, 11, 15, 0x80]));
    default:
      return new Uint8Array(random.pick([0, 0, 8]));
  }
}

function region(random: Random, vm: FrontEnd): Uint8Array {
  const { guest, size, user, offset } = random.pick(vm.ram.regions);
  const shift = random.once(3) ? random.pick([-4096, 4, 4096, 1 << 20, 2 ** 30, 2 ** 40]) : 0;
  const grown = random.once(8) ? random.pick([0, 1, size / 2, size * 2, 2 ** 40]) : size;
  return u64s(guest + shift, grown, user + shift, random.once(8) ? random.pick([1, 4096, 2 ** 40]) : offset);
}

function memoryTable(random: Random, vm: FrontEnd): Uint8Array {
  if (random.once(2)) return vm.memoryTable();
  const regions = Array.from({ length: random.below(9) }, () => region(random, vm));
  return Buffer.concat([u32s(random.once(10) ? random.below(10) : regions.length, 0), ...regions]);
}

function goodFds(random: Random, request: number, payload: Uint8Array): FdKind[] {
  switch (request) {
    case vu.VHOST_USER_SET_MEM_TABLE:
      return new Array<FdKind>((payload.length - 8) >> 5).fill(random.pick(["ram", "ram", "memory"]));
    case vu.VHOST_USER_ADD_MEM_REG:
      return [random.pick(["ram", "ram", "memory"])];
    case vu.VHOST_USER_SET_VRING_KICK:
    case vu.VHOST_USER_SET_VRING_CALL:
    case vu.VHOST_USER_SET_VRING_ERR:
      return payload[1] === 1 ? [] : ["event"];
    default:
      return [];
  }
}

function damage(random: Random, payload: Uint8Array): Uint8Array {
  switch (random.below(4)) {
    case 0:
      return payload.slice(0, random.below(payload.length + 1));
    case 1:
      return Buffer.concat([payload, random.bytes(random.pick([1, 4, 8, 300]))]);
    case 2:
      return random.bytes(payload.length);
    default: {
      const bytes = payload.slice();
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.pick([0, 1, 0x7f, 0x80, 0xff]);
      return bytes;
    }
  }
}
