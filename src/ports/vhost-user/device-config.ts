// What a vhost-user port offers to any front end that connects: features, protocol features, and the virtio-net
// configuration space (virtio 1.2, 5.1.4). Fixed when the port is made.

import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
  VHOST_USER_PROTOCOL_F_STATUS,
} from "../../uapi/vhost_user.ts";
import { deviceFeatures, type Features } from "../../virtio/features.ts";
import { netConfigSpace } from "../../virtio/net-config.ts";
import type { PortOptions } from "../port.ts";

/**
 * INFLIGHT_SHMFD is not among them: completion is in order, so used.idx in the ring itself is the recovery point and a
 * front end has nothing else to keep for us.
 */
export const PROTOCOL_FEATURES: Readonly<Record<number, string>> = {
  [VHOST_USER_PROTOCOL_F_MQ]: "MQ",
  [VHOST_USER_PROTOCOL_F_REPLY_ACK]: "REPLY_ACK",
  [VHOST_USER_PROTOCOL_F_CONFIG]: "CONFIG",
  [VHOST_USER_PROTOCOL_F_RESET_DEVICE]: "RESET_DEVICE",
  [VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS]: "CONFIGURE_MEM_SLOTS",
  [VHOST_USER_PROTOCOL_F_STATUS]: "STATUS",
};

export const OFFERED_PROTOCOL_FEATURES = Object.keys(PROTOCOL_FEATURES).reduce(
  (set, bit) => set | (1 << Number(bit)),
  0,
);

/** Queue pairs offered where `queues` is not given: a front end uses as many as it likes. */
const DEFAULT_PAIRS = 8;

export interface DeviceConfig {
  path: string;
  pairs: number;
  features: Features;
  /** struct virtio_net_config. */
  space: Uint8Array;
}

export function deviceConfig(path: string, options: PortOptions): DeviceConfig {
  const pairs = options.queues ?? DEFAULT_PAIRS;
  const features = deviceFeatures({
    offload: options.offload,
    mac: options.mac !== undefined,
    mtu: options.mtu !== undefined,
    pairs,
  });
  features.lo = (features.lo | (1 << VHOST_USER_F_PROTOCOL_FEATURES)) >>> 0;
  const space = netConfigSpace({ mac: options.mac, mtu: options.mtu, pairs, linkUp: true });
  return { path, pairs, features, space };
}
