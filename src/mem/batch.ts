// A burst of frames on its way through a worker: a structure of parallel Int32Arrays, one slot per frame, plus a pool of
// segments, each a piece of a frame in some window. Fetch fills it, classify writes verdicts, deliver reads it.
//
//   frame i:  length | first, segments ----> segment s: window | offset | length
//                                                (`segments[i]` of them, consecutive)
//             flags, gsoType, gsoSize, csumStart, csumOffset (virtio-net header, validated, without the hdr_len hint)
//             heldBy, ticket: written by the NIC lane that reads the frame in its sender's memory (held.ts)
//
// All frames of a batch come from one lane. A worker has one batch that it fetches into, and others for what it makes of those
// frames; preallocated, nothing here allocates after start.

/** Frames in one burst. */
export const BURST = 64;
/** A burst ends behind the frame that makes it so many bytes: four super-frames, or 64 frames of 4 KiB. Other lanes are waiting. */
export const BURST_BYTES = 256 << 10;
/**
 * Slots of a batch whose frames may go out in other forms: BURST + i is frame i as it was received (dataplane/rules/header-arena.ts),
 * and from 2 * BURST on are copies that are cut short (dataplane/bridge/mirror.ts).
 */
export const BURST_FORMS = 3 * BURST;
/** Segment pool: a burst of frames of 17 pages (Linux MAX_SKB_FRAGS) and some; a burst ends early when it runs low. */
export const MAX_SEGMENTS = 2048;
/** Longest frame: a 64 KiB super-frame (65535 bytes of IP) with Ethernet and two VLAN tags. */
export const MAX_FRAME = 65535 + 14 + 8;
/** Shortest frame worth looking at: an Ethernet header. */
export const MIN_FRAME = 14;

// Forms a frame may need its receiver to accept; a lane's `accepts` is a set of them.
export const OFFLOAD_CSUM = 1 << 0;
export const OFFLOAD_TSO4 = 1 << 1;
export const OFFLOAD_TSO6 = 1 << 2;
export const OFFLOAD_ECN = 1 << 3;
/**
 * UDP segmentation over IPv4 and IPv6: one form, since the header's gso_type does not say which it is, and whoever knew would
 * have had to look behind VLAN tags. A receiver of one of the two only gets segments.
 */
export const OFFLOAD_USO = 1 << 4;
export const OFFLOAD_ALL = OFFLOAD_CSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_ECN | OFFLOAD_USO;
/** Forms of super-frames: what a receiver that lacks it gets in segments. */
export const OFFLOAD_SEGMENTATION = OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_USO;

/** Pieces of frames or buffers: window, offset, length. Grows at `count` up to its capacity, never allocates. */
export class SegmentList {
  count = 0;
  /** Bytes in the segments of the chain walked last. */
  bytes = 0;
  readonly window: Int32Array;
  readonly offset: Int32Array;
  readonly length: Int32Array;

  constructor(capacity: number) {
    this.window = new Int32Array(capacity);
    this.offset = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
  }
}

export class Batch {
  count = 0;
  /** OR of all frames' `needs`: 0 lets deliver skip every offload check. */
  anyNeeds = 0;
  /** 1 where any frame is held, else 0: then `heldBy` is all 0. */
  anyHeld = 0;

  /** Bytes of the frame, without the virtio-net header. */
  readonly length: Int32Array;
  readonly first: Int32Array;
  readonly segments: Int32Array;
  /** OFFLOAD_* bits this frame's form requires of a receiver. */
  readonly needs: Int32Array;
  /** virtio_net_hdr flags, with only the bits a receiver may be told. */
  readonly flags: Int32Array;
  readonly gsoType: Int32Array;
  readonly gsoSize: Int32Array;
  readonly csumStart: Int32Array;
  readonly csumOffset: Int32Array;
  /** Output port, or a negative verdict (see dataplane/verdict.ts). */
  readonly verdict: Int32Array;
  /** Who reads the frame after `deliver` has returned: 0 nobody, else 1 + the index of a NIC's lane. */
  readonly heldBy: Int32Array;
  /** What that lane's TX_REAPED has to reach before the frame's buffer may be given back. */
  readonly ticket: Int32Array;

  /** All frames' segments; frame i has `segments[i]` of them from `first[i]` on: at least one, and in sum `length[i]` bytes. */
  readonly pool: SegmentList;

  /** Slots for frames and segments. With `of`, the same frames as those of another batch, but segments of their own. */
  constructor(frames = BURST, segments = MAX_SEGMENTS, of?: Batch) {
    this.length = of?.length ?? new Int32Array(frames);
    this.first = new Int32Array(frames);
    this.segments = new Int32Array(frames);
    this.needs = of?.needs ?? new Int32Array(frames);
    this.flags = of?.flags ?? new Int32Array(frames);
    this.gsoType = of?.gsoType ?? new Int32Array(frames);
    this.gsoSize = of?.gsoSize ?? new Int32Array(frames);
    this.csumStart = of?.csumStart ?? new Int32Array(frames);
    this.csumOffset = of?.csumOffset ?? new Int32Array(frames);
    this.verdict = of?.verdict ?? new Int32Array(frames);
    this.heldBy = of?.heldBy ?? new Int32Array(frames);
    this.ticket = of?.ticket ?? new Int32Array(frames);
    this.pool = new SegmentList(segments);
  }

  /** Empties the batch; the arrays keep stale values. */
  reset(): void {
    this.count = 0;
    this.pool.count = 0;
    this.anyNeeds = 0;
    if (this.anyHeld !== 0) {
      this.anyHeld = 0;
      this.heldBy.fill(0);
    }
  }
}
