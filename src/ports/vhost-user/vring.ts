// One vring of a vhost-user connection, as its messages have set it up so far, and when it counts as started.
//
//   SET_VRING_NUM, _ADDR, _BASE -> SET_VRING_KICK: started -> SET_VRING_ENABLE: enabled -> GET_VRING_BASE: stopped
//
// (QEMU docs/interop/vhost-user.rst, "Ring states".) Even indices are the driver's receive queues, odd ones its transmit
// queues. Control thread only.

import { closeFd } from "../../sys/fd.ts";
import { viewOf } from "../../sys/memory.ts";
import type { RingConfig } from "../../virtio/virtqueue-open.ts";
import type { MemoryTable } from "./memory.ts";

export class Vring {
  size = 0;
  /** Front end's addresses, as SET_VRING_ADDR gave them; undefined until then. */
  address: { desc: number; used: number; avail: number } | undefined;
  kickFd = -1;
  callFd = -1;
  errFd = -1;
  started = false;
  /**
   * What SET_VRING_ENABLE said last. A disabled ring's frames are discarded; until the first word they wait, since a front
   * end that comes back kicks its rings before it enables them, with frames in them.
   */
  enabled: boolean | undefined;
  /** Whether the lane's state words hold this ring's place; false until the first look at used.idx after a start. */
  resumed = false;

  /** Started, enabled or disabled, and told where it lies. */
  get ready(): boolean {
    return this.started && this.enabled !== undefined && this.address !== undefined && this.size > 0;
  }

  /** Swaps a descriptor in; the old one comes back, to be closed when no worker uses it any more. */
  replace(which: "kickFd" | "callFd" | "errFd", fd: number): number {
    const old = this[which];
    this[which] = fd;
    return old;
  }

  /** The ring in guest addresses; undefined where it is not ready or not in the memory table. */
  config(memory: MemoryTable): RingConfig | undefined {
    if (!this.ready || this.address === undefined || this.enabled === undefined) return undefined;
    const desc = memory.guestAddress(this.address.desc);
    const avail = memory.guestAddress(this.address.avail);
    const used = memory.guestAddress(this.address.used);
    if (desc === undefined || avail === undefined || used === undefined) return undefined;
    return { size: this.size, desc, avail, used, kickFd: this.kickFd, callFd: this.callFd, enabled: this.enabled };
  }

  /** Where the ring stands by its own account: used.idx, or 0 where it is nowhere to be seen. */
  place(memory: MemoryTable): number {
    const used = this.address === undefined ? undefined : memory.guestAddress(this.address.used);
    return used === undefined ? 0 : (usedIndex(memory, used) ?? 0);
  }

  /** Closes the ring's descriptors. No worker may use them any more. */
  close(): void {
    for (const fd of [this.kickFd, this.callFd, this.errFd]) closeFd(fd);
    this.kickFd = this.callFd = this.errFd = -1;
  }
}

/** used.idx of a ring in mapped memory: the point where completion stopped, whoever served the ring before. */
export function usedIndex(memory: MemoryTable, used: number): number | undefined {
  const address = memory.address(used, 4);
  // A misaligned ring is refused when its lane opens; an atomic load of it would be a fault on arm64.
  if (address === undefined || address % 4 !== 0) return undefined;
  return Atomics.load(new Uint16Array(viewOf(address, 0, 4)), 1);
}
