// HOT
// A queue pair of a virtio NIC as a lane: receiveq and transmitq as src/virtio's driver side has them, and the vector that
// wakes the worker. Built, with what it holds, by lane.ts.
//
//   fetch, release, arm    the owner's alone       deliver, reap    any worker's, under the lane's lock

import { acquire32, lock, unlock } from "../../../mem/access.ts";
import type { Batch } from "../../../mem/batch.ts";
import {
  DELIVER_LOCK,
  DELIVER_STATUS,
  FETCH_STATUS,
  RING_BROKEN,
  RING_RUNNING,
  RING_STOPPED,
  TX_POSTED,
  TX_REAPED,
} from "../../../mem/lane-state.ts";
import { armCall, disarmCall } from "../../../virtio/driver-notify.ts";
import { LAST_USED } from "../../../virtio/driver-queue.ts";
import { type Receiver, receiveBurst, releaseReceived } from "../../../virtio/driver-receive.ts";
import { reap, type Transmitter, transmitBurst } from "../../../virtio/driver-transmit.ts";
import type { Lane } from "../../port.ts";

export class VirtioNicPair implements Lane {
  readonly delivers = true;
  /** An eventfd's every write is a new edge. */
  readonly wakeEdge = true;
  private readonly state: Int32Array;

  constructor(
    readonly accepts: number,
    readonly wakeFd: number,
    /** Null in a worker that only delivers. */
    private readonly receiver: Receiver | null,
    private readonly transmitter: Transmitter,
    private readonly shared: boolean,
  ) {
    this.state = transmitter.state;
  }

  fetch(batch: Batch): number {
    return this.receiver === null ? 0 : receiveBurst(this.receiver, batch);
  }

  release(_batch: Batch): void {
    if (this.receiver !== null) releaseReceived(this.receiver);
  }

  deliver(batch: Batch, list: Int32Array, count: number): number {
    if (!this.shared) return transmitBurst(this.transmitter, batch, list, count);
    lock(this.state, DELIVER_LOCK);
    const delivered = transmitBurst(this.transmitter, batch, list, count);
    unlock(this.state, DELIVER_LOCK);
    return delivered;
  }

  reap(): void {
    const { shared, state } = this;
    if (acquire32(state, TX_REAPED) === acquire32(state, TX_POSTED) || state[DELIVER_STATUS] === RING_BROKEN) return;
    if (shared) lock(state, DELIVER_LOCK);
    reap(this.transmitter);
    if (shared) unlock(state, DELIVER_LOCK);
  }

  arm(): boolean {
    const receiver = this.receiver;
    if (receiver === null || this.state[FETCH_STATUS] === RING_BROKEN) return false;
    // No vector: whoever sleeps would not be woken.
    if (this.wakeFd < 0) return true;
    return armCall(receiver.queue.ring, receiver.queue.books[LAST_USED]);
  }

  disarm(): void {
    if (this.receiver !== null) disarmCall(this.receiver.queue.ring);
  }

  /** Gives the windows back. The queues go on where they are, for whoever opens the lane again. Cold. */
  close(): void {
    const { receiver, state, transmitter } = this;
    if (receiver !== null) {
      if (state[FETCH_STATUS] === RING_RUNNING) state[FETCH_STATUS] = RING_STOPPED;
      if (state[DELIVER_STATUS] === RING_RUNNING) state[DELIVER_STATUS] = RING_STOPPED;
      receiver.windows.remove(receiver.window);
    }
    transmitter.windows.remove(transmitter.window);
  }
}
