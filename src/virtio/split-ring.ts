// A split virtqueue as the device sees it (virtio 1.2, 2.7), over a driver's memory:
//
//   desc   size x { addr u64 | len u32 | flags u16 | next u16 }            driver writes, 16-byte aligned
//   avail  flags u16 | idx u16 | ring[size] u16 | used_event u16            driver writes, 2-byte aligned
//   used   flags u16 | idx u16 | ring[size] { id u32 | len u32 } | avail_event u16   device writes, 4-byte aligned
//
// `openSplitRing` finds and checks the three parts once; afterwards hot code (chain.ts, fetch.ts, deliver.ts, notify.ts)
// works on the views and the shared state words. One object per ring and worker thread.

import { RingyardError } from "../core/errors.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import { VIRTQUEUE_MAX_SIZE } from "../uapi/virtio_ring.ts";

/** What `openSplitRing` needs of the negotiation. */
export interface SplitRingConfig {
  size: number;
  desc: number;
  avail: number;
  used: number;
  eventIdx: boolean;
}

export class SplitRing {
  readonly mask: number;
  /** Descriptor table as words: 4 per descriptor: addr low, addr high, len, flags | next << 16. */
  readonly desc: Int32Array;
  /** Halfwords: 0 flags, 1 idx, 2.. ring, then used_event. */
  readonly avail: Uint16Array;
  /** Halfwords of the same ring: 0 flags, 1 idx, ..., then avail_event. */
  readonly used: Uint16Array;
  /** Words from used.ring[0]: id, len pairs. */
  readonly usedRing: Int32Array;
  readonly size: number;
  readonly eventIdx: boolean;
  /** Halfword index of used_event in `avail`, of avail_event in `used`. */
  readonly usedEvent: number;
  readonly availEvent: number;

  constructor(config: SplitRingConfig, desc: RingPart, avail: RingPart, used: RingPart) {
    this.size = config.size;
    this.mask = config.size - 1;
    this.eventIdx = config.eventIdx;
    this.desc = new Int32Array(desc.buffer, desc.offset, config.size * 4);
    this.usedEvent = config.size + 2;
    this.availEvent = config.size * 4 + 2;
    const tail = config.eventIdx ? 1 : 0;
    this.avail = new Uint16Array(avail.buffer, avail.offset, 2 + config.size + tail);
    this.used = new Uint16Array(used.buffer, used.offset, 2 + config.size * 4 + tail);
    this.usedRing = new Int32Array(used.buffer, used.offset + 4, config.size * 2);
  }
}

interface RingPart {
  buffer: ArrayBuffer;
  offset: number;
}

/**
 * Opens a ring in `memory`. Throws RingyardError PROTOCOL naming the part for a size that is no power of two up to 32768,
 * a misaligned part, or one that the driver's memory does not cover (2.7, 2.7.5, 2.7.6, 2.7.8).
 */
export function openSplitRing(memory: GuestMemory, config: SplitRingConfig): SplitRing {
  const { size } = config;
  if (size < 1 || size > VIRTQUEUE_MAX_SIZE || (size & (size - 1)) !== 0) {
    throw new RingyardError("PROTOCOL", `queue size ${size} is not a power of two up to ${VIRTQUEUE_MAX_SIZE}`);
  }
  const tail = config.eventIdx ? 2 : 0;
  return new SplitRing(
    config,
    findPart(memory, "descriptor table", config.desc, size * 16, 16),
    findPart(memory, "avail ring", config.avail, 4 + size * 2 + tail, 2),
    findPart(memory, "used ring", config.used, 4 + size * 8 + tail, 4),
  );
}

function findPart(memory: GuestMemory, name: string, address: number, size: number, alignment: number): RingPart {
  if (address % alignment !== 0) {
    throw new RingyardError("PROTOCOL", `${name} at 0x${address.toString(16)} is not aligned to ${alignment} bytes`);
  }
  const found = memory.locate(address, size);
  if (found !== size) {
    throw new RingyardError("PROTOCOL", `${name} at 0x${address.toString(16)} (${size} bytes) is not in shared memory`);
  }
  const view = memory.windows.view[memory.foundWindow];
  return { buffer: view.buffer as ArrayBuffer, offset: view.byteOffset + memory.foundOffset };
}
