// The configuration space of a virtio-net device (virtio 1.2, 5.1.4), as every transport shows it to its driver. Cold.

import { parseMac } from "../core/mac.ts";
import { struct_virtio_net_config, VIRTIO_NET_S_LINK_UP } from "../uapi/virtio_net.ts";

export interface NetConfig {
  mac?: string;
  mtu?: number;
  pairs: number;
  linkUp: boolean;
}

/** struct virtio_net_config, little-endian; a field without its feature is zero. */
export function netConfigSpace({ mac, mtu, pairs, linkUp }: NetConfig): Uint8Array {
  const { size, fields } = struct_virtio_net_config;
  const space = new Uint8Array(size);
  const view = new DataView(space.buffer);
  if (mac !== undefined) {
    const { lo, hi } = parseMac(mac);
    view.setInt32(fields.mac[0], lo, true);
    view.setUint16(fields.mac[0] + 4, hi, true);
  }
  view.setUint16(fields.status[0], linkUp ? VIRTIO_NET_S_LINK_UP : 0, true);
  view.setUint16(fields.max_virtqueue_pairs[0], pairs, true);
  view.setUint16(fields.mtu[0], mtu ?? 0, true);
  return space;
}
