// The control queue of a virtio-net device (virtio 1.2, 5.1.6.5), for transports that hand it over: the driver waits for each
// command's answer, often without sleeping.
//
//   chain:  class u8 | command u8 | data ...        the device reads
//           ack u8                                  the device writes, last byte of the chain's writable part
//
// A chain that is no command is given back unanswered, and counted: the driver reads its own ack byte then. Cold; the thread
// that opened it.

import { acquire16, publish16 } from "../mem/access.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import {
  VIRTIO_NET_CTRL_MAC,
  VIRTIO_NET_CTRL_MAC_ADDR_SET,
  VIRTIO_NET_CTRL_MAC_TABLE_SET,
  VIRTIO_NET_CTRL_MQ,
  VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
  VIRTIO_NET_CTRL_RX,
  VIRTIO_NET_CTRL_RX_NOBCAST,
  VIRTIO_NET_ERR,
  VIRTIO_NET_OK,
} from "../uapi/virtio_net.ts";
import { VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE } from "../uapi/virtio_ring.ts";
import type { SplitRing } from "./split-ring.ts";

/** A MAC table of 256 + 256 addresses and their counts, and some; no command is longer. */
const MAX_COMMAND_BYTES = 4096;

export type NetCommand =
  /** How many queue pairs the driver uses from now on. */
  | { type: "pairs"; count: number }
  | { type: "mac"; bytes: Uint8Array }
  | { type: "mac-table"; bytes: Uint8Array }
  /** One of the receive filters (promiscuous, all multicast, ...), by its command number. */
  | { type: "rx"; mode: number; on: boolean };

/** Carries a command out; false answers VIRTIO_NET_ERR. */
export type NetCommandHandler = (command: NetCommand) => boolean | Promise<boolean>;

interface Chain {
  data: Uint8Array;
  /** The ack byte, or null where the chain has no room for one. */
  ack: { view: DataView; offset: number } | null;
}

export class ControlQueue {
  /** Chains that were no command. */
  malformed = 0;

  /** Goes on at ring index `next`, which is used.idx of whoever served the ring before. */
  constructor(
    private readonly ring: SplitRing,
    private readonly memory: GuestMemory,
    private next: number,
  ) {}

  /** Carries out what is there, in order; returns how many buffers were completed: then the driver wants a call. */
  async serve(handle: NetCommandHandler): Promise<number> {
    const { ring } = this;
    let completed = 0;
    // The driver fills as fast as we empty; one ring's worth is enough for one turn.
    while (completed < ring.size && acquire16(ring.avail, 1) !== this.next) {
      const slot = this.next & ring.mask;
      const head = ring.avail[2 + slot];
      const chain = head < ring.size ? this.walk(head) : null;
      const command = chain === null ? null : readNetCommand(chain.data);
      if (chain?.ack == null) this.malformed++;
      else
        chain.ack.view.setUint8(
          chain.ack.offset,
          (await this.outcome(command, handle)) ? VIRTIO_NET_OK : VIRTIO_NET_ERR,
        );
      ring.usedRing[slot << 1] = head;
      ring.usedRing[(slot << 1) + 1] = chain?.ack == null ? 0 : 1;
      this.next = (this.next + 1) & 0xffff;
      publish16(ring.used, 1, this.next);
      completed++;
    }
    // The next command is announced by a kick.
    if (ring.eventIdx) publish16(ring.used, ring.availEvent, this.next);
    return completed;
  }

  private async outcome(command: NetCommand | null, handle: NetCommandHandler): Promise<boolean> {
    if (command === null) {
      this.malformed++;
      return false;
    }
    try {
      return await handle(command);
    } catch {
      // The handler says why. The driver waits for an answer, and this turn's end is waited for before the memory goes.
      return false;
    }
  }

  /** Gathers a chain: everything readable, then the ack. Null for one that breaks the rules (2.7.5). */
  private walk(head: number): Chain | null {
    let table = this.tableOf(this.ring.desc.buffer as ArrayBuffer, this.ring.desc.byteOffset, this.ring.size);
    let index = head;
    let indirect = false;
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    let ack: Chain["ack"] = null;
    for (let ttl = this.ring.size; ttl > 0; ttl--) {
      if (index >= table.count) return null;
      const at = index * 16;
      const { view } = table;
      const lo = view.getInt32(at, true);
      const hi = view.getInt32(at + 4, true);
      const length = view.getUint32(at + 8, true);
      const flags = view.getUint16(at + 12, true);
      if ((flags & VRING_DESC_F_INDIRECT) !== 0) {
        if (indirect || length === 0 || length % 16 !== 0 || length > MAX_COMMAND_BYTES) return null;
        if (this.memory.find(lo, hi, length) !== length) return null;
        const window = this.memory.windows.view[this.memory.foundWindow];
        table = this.tableOf(window.buffer as ArrayBuffer, window.byteOffset + this.memory.foundOffset, length / 16);
        indirect = true;
        index = 0;
        continue;
      }
      if (length === 0 || length > MAX_COMMAND_BYTES) return null;
      if (this.memory.find(lo, hi, length) !== length) return null;
      const { foundWindow, foundOffset } = this.memory;
      if ((flags & VRING_DESC_F_WRITE) !== 0) {
        ack = { view: this.memory.windows.view[foundWindow], offset: foundOffset + length - 1 };
      } else {
        bytes += length;
        if (ack !== null || bytes > MAX_COMMAND_BYTES) return null;
        pieces.push(this.memory.windows.u8[foundWindow].slice(foundOffset, foundOffset + length));
      }
      if ((flags & VRING_DESC_F_NEXT) === 0) return { data: Buffer.concat(pieces), ack };
      index = view.getUint16(at + 14, true);
    }
    return null;
  }

  private tableOf(buffer: ArrayBuffer, offset: number, count: number): { view: DataView; count: number } {
    return { view: new DataView(buffer, offset, count * 16), count };
  }
}

/** A command's readable bytes, read; null for one that this device does not know. Pure. */
export function readNetCommand(data: Uint8Array): NetCommand | null {
  if (data.length < 2) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const [kind, command] = data;
  const payload = data.length - 2;
  const u16 = () => view.getUint16(2, true);
  switch (kind) {
    case VIRTIO_NET_CTRL_RX:
      if (command > VIRTIO_NET_CTRL_RX_NOBCAST || payload !== 1) return null;
      return { type: "rx", mode: command, on: data[2] !== 0 };
    case VIRTIO_NET_CTRL_MAC:
      if (command === VIRTIO_NET_CTRL_MAC_ADDR_SET && payload === 6) return { type: "mac", bytes: data.slice(2) };
      return command === VIRTIO_NET_CTRL_MAC_TABLE_SET ? { type: "mac-table", bytes: data.slice(2) } : null;
    case VIRTIO_NET_CTRL_MQ:
      return command === VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET && payload === 2 ? { type: "pairs", count: u16() } : null;
    default:
      return null;
  }
}
