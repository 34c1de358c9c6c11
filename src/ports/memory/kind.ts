// The memory port kind: a virtio-net device in this process's own memory, driven by the built-in driver (driver.ts). It goes
// the same way through the switch as a VM's device, needs no privilege, and works on any machine; programs that embed the
// switch, tests, the demo and benches use it. In `ringyard up` nobody drives it, so it takes frames until its ring is full.
// Control thread only.

import { RingyardError } from "../../core/errors.ts";
import { MAX_FRAME } from "../../mem/batch.ts";
import { VIRTIO_NET_F_MRG_RXBUF } from "../../uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../uapi/virtio_ring.ts";
import { deviceFeatures, featureNames, hasFeature } from "../../virtio/features.ts";
import type {
  OptionProblem,
  Port,
  PortDetails,
  PortHost,
  PortKind,
  PortOptions,
  PortProbe,
  PortSpec,
} from "../port.ts";
import { powerOfTwo } from "../power-of-two.ts";
import { MemoryDriver } from "./driver.ts";

const DEFAULT_SIZE = 256;
/** Longest frame without offloads, where no MTU asks for more: buffers are small in cache. With any offload a frame may be a super-frame. */
const PLAIN_FRAME = 2048 - 12;

export const memory: PortKind = {
  kind: "memory",
  summary: "a device in this process, for embedding programs, tests and benches",
  targetForm: "NAME",
  options: {
    size: powerOfTwo(2, 32_768).optional(),
  },
  checkOptions,
  probe: (): PortProbe => ({ available: true }),
  open,
};

function checkOptions({ queues = 1 }: PortOptions): OptionProblem | undefined {
  if (queues === 1) return undefined;
  return { option: "queues", message: "a memory port has one queue pair", next: "leave queues out" };
}

async function open(spec: PortSpec, host: PortHost): Promise<Port> {
  const wrong = checkOptions(spec.options);
  if (wrong !== undefined) throw new RingyardError("UNSUPPORTED", wrong.message, wrong.next);
  // The built-in driver handles plain frames unless told otherwise.
  const offload = spec.options.offload ?? [];
  const features = deviceFeatures({ offload, mac: false, mtu: false, pairs: 1 });
  // A receive buffer holds any frame whole, so there is nothing to merge.
  features.lo = (features.lo & ~(1 << VIRTIO_NET_F_MRG_RXBUF)) >>> 0;
  const size = (spec.options.size as number | undefined) ?? DEFAULT_SIZE;
  const maxFrame = offload.length > 0 ? MAX_FRAME : Math.max(PLAIN_FRAME, (spec.options.mtu ?? 0) + 22);
  const eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
  const driver = new MemoryDriver(spec.target, { size, maxFrame, eventIdx });
  try {
    await host.openLane(0, {
      driver: "virtqueue",
      featuresLo: features.lo,
      featuresHi: features.hi,
      regions: [driver.region],
      deliver: driver.receiveRing,
      fetch: driver.transmitRing,
    });
  } catch (error) {
    driver.close();
    throw error;
  }
  host.setCarrier(true);
  return {
    details: (): PortDetails => ({
      driver: "built-in",
      queueSizes: [String(size)],
      features: featureNames(features),
    }),
    async close(): Promise<void> {
      host.setCarrier(false);
      await host.closeLane(0);
      driver.close();
    },
  };
}
