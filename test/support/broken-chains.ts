// What a hostile driver may try with one chain, by the counter that tells of it: for drivers on any transport (FrontEnd, VdpaGuest).
// The rules themselves are tested one by one in test/virtio. Main thread of a test process.

import { signal } from "../../src/sys/fd.ts";
import type { DriverRing } from "../../src/virtio/driver-ring.ts";
import { BROADCAST, frame, type Mac, netHeader } from "./frames.ts";
import type { GuestRam } from "./frontend-memory.ts";

/** A queue whose descriptors a test writes by hand. */
export interface BareQueue {
  ring: DriverRing;
  kickFd: number;
  /** Guest address of memory that chains may name. */
  buffers: number;
}

export interface BareDriver {
  ram: GuestRam;
  send(frame: Uint8Array, header?: Uint8Array): boolean;
}

/** Publishes a descriptor written by hand, as the only one of its chain or the first. */
export function push(it: BareQueue, address: number | bigint, length: number, flags: number, next = 0): void {
  const { desc } = it.ring;
  desc.setBigUint64(0, BigInt(address), true);
  desc.setUint32(8, length, true);
  desc.setUint16(12, flags, true);
  desc.setUint16(14, next, true);
  it.ring.push(0);
  it.ring.publish();
  signal(it.kickFd);
}

/** Each sends one frame against the rules; `own` is the driver's address, `other` one behind another port. */
export function brokenChains(own: Mac, other: Mac): Record<string, (vm: BareDriver, it: BareQueue) => void> {
  return {
    desc_loop: (_vm, it) => push(it, it.buffers, 60, 1, 0),
    desc_index: (_vm, it) => push(it, it.buffers, 60, 1, 64),
    desc_address: (_vm, it) => push(it, 2n ** 63n, 60, 0),
    desc_length: (_vm, it) => push(it, it.buffers, 0xffffffff, 0),
    desc_direction: (_vm, it) => push(it, it.buffers, 60, 2),
    desc_nested: (vm, it) => {
      vm.ram.view(it.buffers, 16).set([4, 0], 12);
      push(it, it.buffers, 16, 4);
    },
    desc_indirect: (_vm, it) => push(it, it.buffers, 15, 4),
    runt: (_vm, it) => push(it, it.buffers, 12 + 13, 0),
    oversized: (vm, it) => push(it, vm.ram.regions[0].guest, 12 + 65535 + 14 + 8 + 1, 0),
    bad_header: (vm) => vm.send(frame(other, own), netHeader({ flags: 1, csumStart: 60, csumOffset: 16 })),
    bad_source: (vm) => vm.send(frame(other, BROADCAST)),
    reserved: (vm) => vm.send(frame([0x01, 0x80, 0xc2, 0, 0, 0x0e], own)),
  };
}
