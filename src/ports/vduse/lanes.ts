// The queue pairs of a VDUSE device as lanes: what the kernel says of each ring, its kick eventfd, and where it stands.
//
//   queue 2p   the driver's receiveq of pair p: delivered into       queue 2p + 1   its transmitq: fetched from
//
// Where a ring stands is used.idx: completion is in order, so it is right after a reset, and after another process, too.
// Control thread only.

import {
  DELIVER_NEXT,
  DELIVER_STATUS,
  FETCH_AVAIL,
  FETCH_STATUS,
  FETCH_USED,
  RING_STOPPED,
} from "../../mem/lane-state.ts";
import { closeFd, eventFd, signal } from "../../sys/fd.ts";
import { viewOf } from "../../sys/memory.ts";
import type { Features } from "../../virtio/features.ts";
import type { RingConfig } from "../../virtio/virtqueue-open.ts";
import type { PortHost } from "../port.ts";
import type { VduseDevice } from "./device.ts";
import type { Iotlb } from "./iotlb.ts";

export class Lanes {
  /** Queues that SET_VQ_READY (Linux 7.3) has stopped while the driver runs. */
  readonly stoppedQueues = new Set<number>();
  /** One eventfd per queue, from DRIVER_OK to the reset. */
  readonly kicks: number[] = [];
  private readonly openPairs = new Set<number>();
  /** Those of them that the workers have: frames pass. */
  private readonly servedPairs = new Set<number>();
  /** Queues opened since the reset: one that its driver broke stays broken, whatever happens to the memory. */
  private readonly begun = new Set<number>();

  constructor(
    private readonly device: VduseDevice,
    private readonly iotlb: Iotlb,
    private readonly host: PortHost,
  ) {}

  get open(): boolean {
    return this.servedPairs.size > 0;
  }

  /** Gives the kernel the kick eventfds of `count` queues; it has dropped those of before the last reset. */
  setKicks(count: number): void {
    for (let queue = 0; queue < count; queue++) {
      this.kicks[queue] ??= eventFd();
      this.device.setKick(queue, this.kicks[queue]);
    }
  }

  /** Opens pair `pair`; one that its driver has not set up stays closed. */
  async openPair(pair: number, features: Features): Promise<void> {
    const deliver = this.ring(pair * 2);
    const fetch = this.ring(pair * 2 + 1);
    if (deliver === null && fetch === null) return;
    const state = this.host.laneState(pair);
    if (deliver !== null) state[DELIVER_NEXT] = this.ringIndex(deliver.used);
    if (fetch !== null) state[FETCH_AVAIL] = state[FETCH_USED] = this.ringIndex(fetch.used);
    this.begin(pair * 2, deliver, state, DELIVER_STATUS);
    this.begin(pair * 2 + 1, fetch, state, FETCH_STATUS);
    this.openPairs.add(pair);
    // First: a worker fetches as soon as it has the lane, and frames of a port without carrier are dropped.
    this.host.setCarrier(true);
    await this.host.openLane(pair, {
      driver: "virtqueue",
      featuresLo: features.lo,
      featuresHi: features.hi,
      regions: this.iotlb.config,
      deliver,
      fetch,
    });
    this.servedPairs.add(pair);
    // Whoever served the rings before may have ended between completing buffers and saying so, and a kick may have been his.
    for (const queue of [pair * 2, pair * 2 + 1]) {
      signal(this.kicks[queue]);
      this.device.injectIrq(queue);
    }
  }

  private begin(queue: number, ring: RingConfig | null, state: Int32Array, status: number): void {
    if (ring === null) this.begun.delete(queue);
    else if (!this.begun.has(queue)) {
      this.begun.add(queue);
      state[status] = RING_STOPPED;
    }
  }

  /** When this resolves, no worker touches the rings any more. */
  async close(): Promise<void> {
    for (const pair of [...this.openPairs]) await this.closePair(pair);
  }

  async closePair(pair: number): Promise<void> {
    this.servedPairs.delete(pair);
    if (this.openPairs.delete(pair)) await this.host.closeLane(pair);
  }

  /** After `close`: the kernel has dropped its side of the kicks at the reset, or will with the device. */
  dropKicks(): void {
    for (const kick of this.kicks.splice(0)) closeFd(kick);
    this.stoppedQueues.clear();
    this.begun.clear();
  }

  /** A ring as its driver has set it up, or null. */
  ring(queue: number): RingConfig | null {
    const { size, desc, avail, used, ready } = this.device.queue(queue);
    if (!ready || size === 0 || this.stoppedQueues.has(queue)) return null;
    const kickFd = this.kicks[queue];
    return { size, desc, avail, used, kickFd, callFd: this.device.fd, callQueue: queue, enabled: true };
  }

  /** Whether the driver has ever offered a buffer in the receive queue of `pair`. */
  inUse(pair: number): boolean {
    const ring = this.ring(pair * 2);
    return ring !== null && this.ringIndex(ring.avail) !== 0;
  }

  /** idx of the avail or used ring at this address, or 0 where no memory is mapped. */
  ringIndex(ring: number): number {
    const address = this.iotlb.address(ring, 4);
    if (address === undefined || address % 4 !== 0) return 0;
    return Atomics.load(new Uint16Array(viewOf(address, 0, 4)), 1);
  }
}
