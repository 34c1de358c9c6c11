// Building a virtqueue lane from its configuration, in the worker that will run it. Cold.
//
// Where a ring goes on: the state words hold the next index. The control thread sets them before it opens a lane anew (from
// used.idx, the recovery point: completion is in order), and a lane that is only rebuilt continues where it was.

import { GuestMemory } from "../mem/guest-memory.ts";
import { abandonQueue, continueQueue, HeldQueue, Transmitters, type ZeroCopy } from "../mem/held.ts";
import {
  CALL_QUEUE,
  DELIVER_CALL,
  DELIVER_STATUS,
  FETCH_CALL,
  FETCH_STATUS,
  RING_BROKEN,
  RING_RUNNING,
} from "../mem/lane-state.ts";
import type { WindowTable } from "../mem/window.ts";
import { mapAnonymous, unmap } from "../sys/memory.ts";
import { VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MRG_RXBUF } from "../uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../uapi/virtio_ring.ts";
import { Deliverer } from "./deliver.ts";
import { type Features, hasFeature, receiverForms, senderForms } from "./features.ts";
import { Fetcher, LANE_SCRATCH_SIZE } from "./fetch.ts";
import { openSplitRing, type SplitRing } from "./split-ring.ts";
import { VirtqueueLane } from "./virtqueue-lane.ts";

/** A mapping that a worker must see: `address` as returned by mmap in this process, `guest` where the driver says it is. */
export interface RegionConfig {
  guest: number;
  size: number;
  address: number;
}

/** Where one ring lies, in the driver's addresses, and how it is signalled. */
export interface RingConfig {
  size: number;
  desc: number;
  avail: number;
  used: number;
  kickFd: number;
  /** An eventfd; or, with `callQueue`, a VDUSE device. */
  callFd: number;
  /** The queue whose interrupt the VDUSE device `callFd` is asked to inject. */
  callQueue?: number;
  /** A ring that is started but disabled: what the driver sends is discarded, nothing is delivered (vhost-user). */
  enabled: boolean;
}

/** Plain data: it crosses the mailbox. */
export interface VirtqueueConfig {
  /** Negotiated virtio feature bits, low and high word. */
  featuresLo: number;
  featuresHi: number;
  regions: RegionConfig[];
  /** The driver's receiveq (we deliver into it) and transmitq (we fetch from it); null where not started. */
  deliver: RingConfig | null;
  fetch: RingConfig | null;
}

export interface VirtqueueContext {
  windows: WindowTable;
  state: Int32Array;
  counters: Float64Array;
  shared: boolean;
  owner: boolean;
  /** Absent where there are no NICs: tests of one lane. */
  zeroCopy?: ZeroCopy;
}

/** Nobody to wait for. */
const NO_TRANSMITTERS = new Transmitters(new Int32Array(0));

/** Builds the lane. Throws RingyardError for memory or rings that cannot be used, having kept nothing. */
export function openVirtqueueLane(config: VirtqueueConfig, context: VirtqueueContext): VirtqueueLane {
  const { windows, state, counters } = context;
  const features = { lo: config.featuresLo, hi: config.featuresHi };
  const memory = new GuestMemory(windows);
  const scratchAddress = mapAnonymous(LANE_SCRATCH_SIZE);
  const scratch = windows.add(scratchAddress, LANE_SCRATCH_SIZE);
  try {
    for (const region of config.regions) memory.add(region.guest, region.size, region.address);
    const open = (ring: RingConfig): SplitRing =>
      openSplitRing(memory, { ...ring, eventIdx: hasFeature(features, VIRTIO_RING_F_EVENT_IDX) });
    const fetcher =
      config.fetch === null || !context.owner
        ? null
        : openFetcher(open(config.fetch), memory, features, scratch, context);
    if (fetcher === null && context.owner && context.zeroCopy !== undefined) {
      abandonQueue(context.zeroCopy.transmitters, context.zeroCopy.self - 1, state);
    }
    const deliverer =
      config.deliver === null || !config.deliver.enabled
        ? null
        : new Deliverer(
            open(config.deliver),
            memory,
            state,
            counters,
            hasFeature(features, VIRTIO_NET_F_MRG_RXBUF),
            hasFeature(features, VIRTIO_NET_F_GUEST_CSUM),
            scratch,
          );
    if (config.fetch !== null) setCall(state, FETCH_CALL, config.fetch);
    if (config.deliver !== null) setCall(state, DELIVER_CALL, config.deliver);
    if (fetcher !== null) markRunning(state, FETCH_STATUS);
    if (deliverer !== null) markRunning(state, DELIVER_STATUS);
    const kickFd = fetcher === null || config.fetch === null ? -1 : config.fetch.kickFd;
    const discard = config.fetch !== null && !config.fetch.enabled;
    const accepts = receiverForms(features);
    const privatePage = { address: scratchAddress, window: scratch };
    return new VirtqueueLane(accepts, kickFd, fetcher, discard, deliverer, memory, privatePage, context);
  } catch (error) {
    memory.clear();
    windows.remove(scratch);
    unmap(scratchAddress, LANE_SCRATCH_SIZE);
    throw error;
  }
}

function openFetcher(
  ring: SplitRing,
  memory: GuestMemory,
  features: Features,
  scratch: number,
  { state, counters, zeroCopy }: VirtqueueContext,
): Fetcher {
  const transmitters = zeroCopy?.transmitters ?? NO_TRANSMITTERS;
  const held =
    zeroCopy === undefined
      ? new HeldQueue(ring.size)
      : continueQueue(transmitters, zeroCopy.self - 1, ring.size, state);
  return new Fetcher(ring, memory, state, counters, senderForms(features), scratch, held, transmitters);
}

function setCall(state: Int32Array, call: number, { callFd, callQueue }: RingConfig): void {
  state[call + CALL_QUEUE] = callQueue === undefined ? 0 : callQueue + 1;
  state[call] = callFd;
}

function markRunning(state: Int32Array, status: number): void {
  if (state[status] !== RING_BROKEN) state[status] = RING_RUNNING;
}
