// Building a lane of a virtio NIC in the worker that will run it: views of the queues, windows over their buffers, registers
// for the kicks (pair.ts is the lane itself, hot). The control thread has prepared the queues (nic.ts) and keeps the memory
// until after the lane. Cold.

import { DELIVER_STATUS, FETCH_STATUS, RING_BROKEN, RING_RUNNING } from "../../../mem/lane-state.ts";
import type { WindowTable } from "../../../mem/window.ts";
import { VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_MRG_RXBUF } from "../../../uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../uapi/virtio_ring.ts";
import { BROKEN, type Doorbell, DriverQueue } from "../../../virtio/driver-queue.ts";
import { Receiver } from "../../../virtio/driver-receive.ts";
import { Transmitter } from "../../../virtio/driver-transmit.ts";
import { hasFeature, receiverForms, senderForms } from "../../../virtio/features.ts";
import type { LaneConfig, LaneContext } from "../../port.ts";
import { openRegisters } from "../registers.ts";
import { VirtioNicPair } from "./pair.ts";

export type VirtioNicLaneConfig = Extract<LaneConfig, { driver: "virtio-nic" }>;

/** For a lane that copies everything. */
const NO_IOVA = new Float64Array(0);

/** The LaneFactory of driver "virtio-nic". Throws RingyardError LIMIT, having kept nothing. */
export function openVirtioNicLane(
  config: VirtioNicLaneConfig,
  context: LaneContext,
  doorbell: Doorbell = openRegisters(config.registers),
): VirtioNicPair {
  const { windows, state, counters, shared, owner, zeroCopy } = context;
  const features = { lo: config.featuresLo, hi: config.featuresHi };
  const eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
  const transmit = new DriverQueue(config.transmit, eventIdx);
  const transmitter = new Transmitter(
    transmit,
    windows,
    buffersOf(transmit, windows),
    state,
    counters,
    doorbell,
    config.maxFrame,
    zeroCopy?.self ?? 0,
    zeroCopy?.iova ?? NO_IOVA,
  );
  let receiver: Receiver | null = null;
  if (owner) {
    try {
      const receive = new DriverQueue(config.receive, eventIdx);
      const window = buffersOf(receive, windows);
      const dataValid = hasFeature(features, VIRTIO_NET_F_GUEST_CSUM);
      const mergeable = hasFeature(features, VIRTIO_NET_F_MRG_RXBUF);
      const sender = receiverForms(features);
      receiver = new Receiver(receive, windows, window, state, counters, doorbell, sender, dataValid, mergeable);
    } catch (error) {
      windows.remove(transmitter.window);
      throw error;
    }
    state[FETCH_STATUS] = statusOf(receiver.queue);
    state[DELIVER_STATUS] = statusOf(transmit);
  }
  return new VirtioNicPair(senderForms(features), owner ? config.wakeFd : -1, receiver, transmitter, shared);
}

function buffersOf(queue: DriverQueue, windows: WindowTable): number {
  return windows.add(queue.buffersAddress, queue.size * queue.chunk);
}

function statusOf(queue: DriverQueue): number {
  return queue.books[BROKEN] === 0 ? RING_RUNNING : RING_BROKEN;
}
