// What a VDUSE port offers its driver: features and queues. Fixed when the device is made. Pure.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as net from "../../uapi/virtio_net.ts";
import { deviceFeatures, type Features, featureSet } from "../../virtio/features.ts";
import type { PortOptions } from "../port.ts";

/** Queues of a device: pairs, and perhaps a control queue behind them. */
export interface Queues {
  pairs: number;
  controlQueue: boolean;
}

/** Bits that only a device with a control queue may offer (virtio 1.2, 5.1.3.1). */
const NEED_CONTROL_QUEUE = featureSet([
  net.VIRTIO_NET_F_CTRL_VQ,
  net.VIRTIO_NET_F_CTRL_RX,
  net.VIRTIO_NET_F_CTRL_VLAN,
  net.VIRTIO_NET_F_CTRL_MAC_ADDR,
  net.VIRTIO_NET_F_GUEST_ANNOUNCE,
  net.VIRTIO_NET_F_MQ,
]);

/** What ours understands (virtio/net-ctrl.ts). */
const CONTROL_QUEUE = featureSet([
  net.VIRTIO_NET_F_CTRL_VQ,
  net.VIRTIO_NET_F_CTRL_RX,
  net.VIRTIO_NET_F_CTRL_MAC_ADDR,
  net.VIRTIO_NET_F_MQ,
]);

/** What to ask the kernel for, best first: today's refuse every network device a control queue, and so more pairs than one. */
export function queueChoices(options: PortOptions): Queues[] {
  const one = { pairs: 1, controlQueue: false };
  const { queues = 1 } = options;
  return queues > 1 ? [{ pairs: queues, controlQueue: true }, one] : [one];
}

export function vduseFeatures(options: PortOptions, { pairs, controlQueue }: Queues): Features {
  const all = deviceFeatures({ offload: options.offload, mac: true, mtu: options.mtu !== undefined, pairs });
  const platform = featureSet([net.VIRTIO_F_ACCESS_PLATFORM]);
  const control = controlQueue ? CONTROL_QUEUE : { lo: 0, hi: 0 };
  return {
    lo: ((all.lo & ~NEED_CONTROL_QUEUE.lo) | control.lo | platform.lo) >>> 0,
    hi: ((all.hi & ~NEED_CONTROL_QUEUE.hi) | control.hi | platform.hi) >>> 0,
  };
}

/** The MAC of a port that was given none: the same each time on this machine, so that a restart changes nothing. */
export function stableMac(name: string, machine = machineId()): string {
  const digest = createHash("sha256").update(`${machine}\0${name}`).digest();
  return ["02", ...[...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, "0"))].join(":");
}

function machineId(): string {
  try {
    return readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    return "";
  }
}
