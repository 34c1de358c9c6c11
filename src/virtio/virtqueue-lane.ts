// HOT
// A queue pair of any virtio transport (vhost-user, VDUSE, memory) as a lane: the transport brings memory, ring
// addresses and eventfds; fetch, deliver and notify are the same for all.
//
//   fetch ring   = the driver's transmitq: frames into the switch     (Fetcher)
//   deliver ring = the driver's receiveq: frames out of the switch    (Deliverer)
//
// Either may be absent while the driver starts or stops them one at a time. Delivery may come from several workers; the
// lane's lock word then makes each burst exclusive. Construction and `close` are cold and in virtqueue-open.ts.
//
// Frames that a NIC reads in the driver's memory are held (mem/held.ts): until they are given back, the lane does not sleep.

import { lock, unlock } from "../mem/access.ts";
import type { Batch } from "../mem/batch.ts";
import { DROP_LINK_DOWN } from "../mem/counters.ts";
import type { GuestMemory } from "../mem/guest-memory.ts";
import {
  DELIVER_LOCK,
  DELIVER_STATUS,
  FETCH_AVAIL,
  FETCH_STATUS,
  RING_BROKEN,
  RING_RUNNING,
  RING_STOPPED,
} from "../mem/lane-state.ts";
import type { WindowTable } from "../mem/window.ts";
import { unmap } from "../sys/memory.ts";
import { type Deliverer, deliverBurst, hasBuffer } from "./deliver.ts";
import { type Fetcher, fetchBurst, LANE_SCRATCH_SIZE } from "./fetch.ts";
import { armKick, disarmKick } from "./notify.ts";
import { releaseBurst, releaseHeld } from "./release.ts";

export class VirtqueueLane {
  /** An eventfd's every write is a new edge: no read is needed to re-arm it. */
  readonly wakeEdge = true;
  readonly delivers: boolean;

  private readonly state: Int32Array;
  private readonly counters: Float64Array;
  private readonly shared: boolean;
  private readonly windows: WindowTable;

  constructor(
    readonly accepts: number,
    readonly wakeFd: number,
    private readonly fetcher: Fetcher | null,
    private readonly discard: boolean,
    private readonly deliverer: Deliverer | null,
    private readonly memory: GuestMemory,
    private readonly scratch: { address: number; window: number },
    context: { windows: WindowTable; state: Int32Array; counters: Float64Array; shared: boolean },
  ) {
    this.delivers = deliverer !== null;
    this.state = context.state;
    this.counters = context.counters;
    this.shared = context.shared;
    this.windows = context.windows;
  }

  fetch(batch: Batch): number {
    if (this.fetcher === null) return 0;
    const count = fetchBurst(this.fetcher, batch);
    if (!this.discard) return count;
    this.counters[DROP_LINK_DOWN] += count;
    return 0;
  }

  release(batch: Batch): void {
    const fetcher = this.fetcher;
    if (fetcher === null) return;
    if ((batch.anyHeld | fetcher.held.count) === 0) releaseBurst(fetcher);
    else releaseHeld(fetcher, batch);
  }

  deliver(batch: Batch, list: Int32Array, count: number): number {
    const deliverer = this.deliverer;
    if (deliverer === null) {
      this.counters[DROP_LINK_DOWN] += count;
      return 0;
    }
    if (!this.shared) return deliverBurst(deliverer, batch, list, count);
    lock(this.state, DELIVER_LOCK);
    const delivered = deliverBurst(deliverer, batch, list, count);
    unlock(this.state, DELIVER_LOCK);
    return delivered;
  }

  hasRoom(): boolean {
    return this.deliverer === null || hasBuffer(this.deliverer);
  }

  arm(): boolean {
    const fetcher = this.fetcher;
    if (fetcher === null) return false;
    // Nobody says when a NIC is done.
    if (fetcher.held.count > 0) return true;
    if (this.state[FETCH_STATUS] === RING_BROKEN) return false;
    // No descriptor to kick: the driver wants to be polled (vhost-user's VHOST_USER_VRING_NOFD_MASK).
    if (this.wakeFd < 0) return true;
    return armKick(fetcher.ring, this.state[FETCH_AVAIL]);
  }

  disarm(): void {
    if (this.fetcher !== null) disarmKick(this.fetcher.ring);
  }

  /** Gives the windows back. The rings' states stay, and what is held of them, for whoever opens the lane again. */
  close(): void {
    if (this.fetcher !== null) markStopped(this.state, FETCH_STATUS);
    if (this.deliverer !== null) markStopped(this.state, DELIVER_STATUS);
    this.memory.clear();
    this.windows.remove(this.scratch.window);
    unmap(this.scratch.address, LANE_SCRATCH_SIZE);
  }
}

/** A broken ring stays broken until the driver resets it. */
function markStopped(state: Int32Array, status: number): void {
  if (state[status] === RING_RUNNING) state[status] = RING_STOPPED;
}
