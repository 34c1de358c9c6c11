// HOT
// Taking a burst of frames from a driver's transmit queue. How the buffers go back is in release.ts.
//
//   avail.idx ---acquire---> heads ---walkChain---> segments ---strip header---> batch frame i
//
// Every chain taken counts as received; one that breaks a rule is dropped under the rule's counter and given back with the
// others. Indices that leave no way on (2.7.6: idx ahead by more than the size, buffers not given back yet included; a head
// outside the table) break the ring.

import { acquire16 } from "../mem/access.ts";
import { type Batch, BURST, BURST_BYTES, MAX_FRAME, MAX_SEGMENTS, MIN_FRAME, type SegmentList } from "../mem/batch.ts";
import { copyBytes } from "../mem/copy.ts";
import {
  DROP_BAD_HEADER,
  DROP_OVERSIZED,
  DROP_RUNT,
  FAULT_AVAIL_HEAD,
  FAULT_AVAIL_INDEX,
  RX_BYTES,
  RX_FRAMES,
} from "../mem/counters.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import type { HeldQueue, Transmitters } from "../mem/held.ts";
import { FETCH_AVAIL, FETCH_STATUS, RING_BROKEN } from "../mem/lane-state.ts";
import type { WindowTable } from "../mem/window.ts";
import { CHAIN_FLAGS, walkChain } from "./chain.ts";
import { NET_HEADER_SIZE, readNetHeader } from "./net-header.ts";
import type { SplitRing } from "./split-ring.ts";

/** Below this a frame's first segment cannot be classified in place, and its start is copied to `pulled` memory. */
const PULL_SIZE = 64;
/** Private bytes per frame for what the driver scattered: the net header, then the frame's start. */
const PULL_STRIDE = PULL_SIZE + 16;
/** A lane's private window: a net header of `deliver`, then PULL_STRIDE bytes for each frame of a burst. */
const PULL_BASE = 64;
export const LANE_SCRATCH_SIZE = PULL_BASE + BURST * PULL_STRIDE;

const MIN_CHAIN = NET_HEADER_SIZE + MIN_FRAME;
const MAX_CHAIN = NET_HEADER_SIZE + MAX_FRAME;

/** What a lane needs to fetch from one ring; made once, its fields never change shape. */
export class Fetcher {
  /** Heads taken and not given back, in order. */
  readonly heads = new Int32Array(BURST);
  taken = 0;

  constructor(
    readonly ring: SplitRing,
    readonly memory: GuestMemory,
    readonly state: Int32Array,
    readonly counters: Float64Array,
    /** OFFLOAD_* forms this driver may send: the HOST_* side of the negotiation. */
    readonly sender: number,
    /** A window of LANE_SCRATCH_SIZE private bytes. */
    readonly scratch: number,
    /** Heads of earlier bursts that NICs still read. */
    readonly held: HeldQueue,
    readonly transmitters: Transmitters,
  ) {}
}

/**
 * Fetches up to BURST frames, about BURST_BYTES, into the empty `batch`. Returns how many. The common chain (one descriptor, in one window) is
 * handled in the loop itself: as a function of its own it costs a call per frame, which is a third of a fetch.
 */
export function fetchBurst(fetcher: Fetcher, batch: Batch): number {
  const ring = fetcher.ring;
  const state = fetcher.state;
  let next = state[FETCH_AVAIL];
  const pending = (acquire16(ring.avail, 1) - next) & 0xffff;
  if (pending === 0 || state[FETCH_STATUS] === RING_BROKEN) return 0;
  if (pending > ring.size - fetcher.held.count) return breakRing(fetcher, FAULT_AVAIL_INDEX);
  const { avail, desc, mask, size } = ring;
  const { counters, heads, memory, sender } = fetcher;
  const { first, length, pool, segments } = batch;
  const { window: segmentWindow, offset: segmentOffset, length: segmentLength } = pool;
  const views = memory.windows.view;
  let i = batch.count;
  let s = pool.count;
  let wanted = Math.min(pending, BURST);
  let taken = 0;
  let bytes = 0;
  for (; taken < wanted && bytes < BURST_BYTES; taken++) {
    const head = avail[2 + (next & mask)];
    if (head >= size) {
      breakRing(fetcher, FAULT_AVAIL_HEAD);
      break;
    }
    const entry = head << 2;
    const room = desc[entry + 2];
    const common = (desc[entry + 3] & CHAIN_FLAGS) === 0 && room >= MIN_CHAIN && room <= MAX_CHAIN && s < MAX_SEGMENTS;
    if (common && memory.find(desc[entry], desc[entry + 1], room) === room) {
      const window = memory.foundWindow;
      const offset = memory.foundOffset;
      length[i] = room - NET_HEADER_SIZE;
      first[i] = s;
      segments[i] = 1;
      segmentWindow[s] = window;
      segmentOffset[s] = offset + NET_HEADER_SIZE;
      segmentLength[s] = room - NET_HEADER_SIZE;
      if (readNetHeader(views[window], offset, batch, i, sender, false)) {
        s++;
        i++;
        bytes += room - NET_HEADER_SIZE;
      } else {
        counters[DROP_BAD_HEADER]++;
      }
    } else {
      batch.count = i;
      pool.count = s;
      const outcome = fetchChain(fetcher, batch, head);
      s = pool.count;
      if (outcome < 0) break;
      if (outcome > 0) {
        // A broken chain may have cost as much as a burst of good ones, so it ends this one: other ports are waiting.
        counters[outcome]++;
        wanted = taken + 1;
      } else {
        bytes += length[i++];
      }
    }
    heads[taken] = head;
    next = (next + 1) & 0xffff;
  }
  batch.count = i;
  pool.count = s;
  fetcher.taken = taken;
  state[FETCH_AVAIL] = next;
  counters[RX_FRAMES] += taken;
  counters[RX_BYTES] += bytes;
  return i;
}

function breakRing(fetcher: Fetcher, fault: number): number {
  fetcher.state[FETCH_STATUS] = RING_BROKEN;
  fetcher.counters[fault]++;
  return 0;
}

/** Any chain, into slot batch.count. Returns 0, a DROP_* counter, or -1: the segment pool is used up. */
function fetchChain(fetcher: Fetcher, batch: Batch, head: number): number {
  const segments = batch.pool;
  const i = batch.count;
  const first = segments.count;
  const outcome = walkChain(fetcher.ring, fetcher.memory, head, 0, segments);
  if (outcome !== 0) {
    // A chain that does not fit behind others gets the whole pool next time; alone, it is too long.
    return i > 0 && segments.window.length - first < fetcher.ring.size ? -1 : outcome;
  }
  const length = segments.bytes - NET_HEADER_SIZE;
  if (length < MIN_FRAME) {
    segments.count = first;
    return DROP_RUNT;
  }
  if (length > MAX_FRAME) {
    segments.count = first;
    return DROP_OVERSIZED;
  }
  batch.length[i] = length;
  batch.first[i] = first;
  const windows = fetcher.memory.windows;
  let sound: boolean;
  if (segments.length[first] >= NET_HEADER_SIZE + MIN_FRAME) {
    const window = segments.window[first];
    const offset = segments.offset[first];
    sound = readNetHeader(windows.view[window], offset, batch, i, fetcher.sender, false);
    segments.offset[first] = offset + NET_HEADER_SIZE;
    segments.length[first] -= NET_HEADER_SIZE;
  } else {
    sound = fetchScattered(fetcher, windows, batch, i, first);
  }
  if (!sound) {
    segments.count = first;
    return DROP_BAD_HEADER;
  }
  batch.segments[i] = segments.count - batch.first[i];
  return 0;
}

/**
 * Any other framing (2.7.4.2: a device makes no assumption): the header in pieces or of its own, then the frame's start in
 * pieces. Header and start are gathered in private memory.
 */
function fetchScattered(fetcher: Fetcher, windows: WindowTable, batch: Batch, i: number, first: number): boolean {
  const segments = batch.pool;
  const base = PULL_BASE + i * PULL_STRIDE;
  let at = takeBytes(windows, segments, first, fetcher.scratch, base, NET_HEADER_SIZE);
  const view = windows.view[fetcher.scratch];
  if (!readNetHeader(view, base, batch, i, fetcher.sender, false)) return false;
  if (segments.length[at] < MIN_FRAME) {
    const length = batch.length[i];
    const pull = Math.min(length, PULL_SIZE);
    at = takeBytes(windows, segments, at, fetcher.scratch, base + 16, pull);
    // Taking at least 14 bytes from segments shorter than 14 empties at least one: its slot holds the pulled start.
    at--;
    segments.window[at] = fetcher.scratch;
    segments.offset[at] = base + 16;
    segments.length[at] = pull;
  }
  batch.first[i] = at;
  return true;
}

/** Moves `count` bytes from the segments from `s` on to the scratch window; returns the first segment not used up. */
function takeBytes(
  windows: WindowTable,
  segments: SegmentList,
  s: number,
  scratch: number,
  offset: number,
  count: number,
): number {
  let left = count;
  while (left > 0) {
    const length = segments.length[s];
    const piece = Math.min(length, left);
    copyBytes(windows, scratch, offset + count - left, segments.window[s], segments.offset[s], piece);
    segments.offset[s] += piece;
    segments.length[s] = length - piece;
    left -= piece;
    if (piece === length) s++;
  }
  return s;
}
