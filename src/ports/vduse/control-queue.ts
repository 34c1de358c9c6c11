// The control queue of a VDUSE device, where the kernel lets one have it (none does today for network devices): served on the
// control thread, at each kick. What the driver asks for beyond queue pairs is granted without effect: a switch that learns
// sends a port only what is for it.

import { GuestMemory } from "../../mem/guest-memory.ts";
import { WindowTable } from "../../mem/window.ts";
import { clearSignal } from "../../sys/fd.ts";
import type { Reactor } from "../../sys/reactor.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../uapi/virtio_ring.ts";
import { type Features, hasFeature } from "../../virtio/features.ts";
import { ControlQueue, type NetCommandHandler } from "../../virtio/net-ctrl.ts";
import { openSplitRing } from "../../virtio/split-ring.ts";
import type { RegionConfig, RingConfig } from "../../virtio/virtqueue-open.ts";

export class ServedControlQueue {
  private readonly memory = new GuestMemory(new WindowTable());
  private readonly queue: ControlQueue;
  private readonly token: number;
  /** One turn at a time: two would answer the same command twice. */
  private last: Promise<void> = Promise.resolve();
  private closed = false;

  /** Serves the ring from index `next` on; `call` interrupts the driver. Throws RingyardError for a ring that cannot be. */
  constructor(
    ring: RingConfig,
    regions: readonly RegionConfig[],
    features: Features,
    next: number,
    private readonly reactor: Reactor,
    private readonly handle: NetCommandHandler,
    private readonly call: () => void,
  ) {
    for (const { guest, size, address } of regions) this.memory.add(guest, size, address);
    const eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    this.queue = new ControlQueue(openSplitRing(this.memory, { ...ring, eventIdx }), this.memory, next);
    this.token = reactor.watch(ring.kickFd, async () => {
      clearSignal(ring.kickFd);
      await this.serve();
    });
    void this.serve();
  }

  private serve(): Promise<void> {
    this.last = this.last.then(async () => {
      if (!this.closed && (await this.queue.serve(this.handle)) > 0) this.call();
    });
    return this.last;
  }

  /** Resolves when the ring is touched no more: its memory may go then. */
  async close(): Promise<void> {
    this.closed = true;
    this.reactor.unwatch(this.token);
    await this.last;
    this.memory.clear();
  }
}
