// Which features of a virtio-net device ringyard takes as its driver. Pure.
//
//   required   VERSION_1           the only layout of header and rings spoken here
//              ACCESS_PLATFORM     the device goes through the IOMMU; one without it takes IOVAs for physical addresses
//   taken      MAC MTU STATUS SPEED_DUPLEX MRG_RXBUF EVENT_IDX ORDER_PLATFORM (x86 orders stores as devices need it)
//              CTRL_VQ, and with it CTRL_RX CTRL_MAC_ADDR, MQ where several pairs are wanted
//              offloads, each way, as far as the port may use them and what they need is there (5.1.3.1)
//   left       INDIRECT_DESC: a frame of ours is one descriptor, and a table of its own would cost the device a read more;
//              IN_ORDER, RING_PACKED; CTRL_VLAN (without it no tag is filtered); GUEST_ANNOUNCE

import { RingyardError } from "../../../core/errors.ts";
import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from "../../../mem/batch.ts";
import * as net from "../../../uapi/virtio_net.ts";
import { VIRTIO_RING_F_EVENT_IDX } from "../../../uapi/virtio_ring.ts";
import { type Features, featureSet, hasFeature } from "../../../virtio/features.ts";

const REQUIRED: readonly [number, string, string][] = [
  [net.VIRTIO_F_VERSION_1, "VERSION_1", "with QEMU, start it with disable-modern=off"],
  [net.VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM", "it would go around the IOMMU; with QEMU, add iommu_platform=on"],
];
const TAKEN = [
  net.VIRTIO_NET_F_MAC,
  net.VIRTIO_NET_F_MTU,
  net.VIRTIO_NET_F_STATUS,
  net.VIRTIO_NET_F_SPEED_DUPLEX,
  net.VIRTIO_NET_F_MRG_RXBUF,
  VIRTIO_RING_F_EVENT_IDX,
  ...(process.arch === "x64" ? [net.VIRTIO_F_ORDER_PLATFORM] : []),
];
const OF_CONTROL = [net.VIRTIO_NET_F_CTRL_RX, net.VIRTIO_NET_F_CTRL_MAC_ADDR];

interface Offload {
  form: number;
  bits: readonly number[];
  /** Any of these has to be taken too. */
  needs: readonly number[];
}

/** What the device may be handed: frames to the wire. In the order of what they need. */
const HOST: readonly Offload[] = [
  { form: OFFLOAD_CSUM, bits: [net.VIRTIO_NET_F_CSUM], needs: [] },
  { form: OFFLOAD_TSO4, bits: [net.VIRTIO_NET_F_HOST_TSO4], needs: [net.VIRTIO_NET_F_CSUM] },
  { form: OFFLOAD_TSO6, bits: [net.VIRTIO_NET_F_HOST_TSO6], needs: [net.VIRTIO_NET_F_CSUM] },
  {
    form: OFFLOAD_ECN,
    bits: [net.VIRTIO_NET_F_HOST_ECN],
    needs: [net.VIRTIO_NET_F_HOST_TSO4, net.VIRTIO_NET_F_HOST_TSO6],
  },
  { form: OFFLOAD_USO, bits: [net.VIRTIO_NET_F_HOST_USO], needs: [net.VIRTIO_NET_F_CSUM] },
];

/** What it may hand us. Super-frames come in merged buffers only: 64 KiB for each frame would be the alternative. */
const GUEST: readonly Offload[] = [
  { form: OFFLOAD_CSUM, bits: [net.VIRTIO_NET_F_GUEST_CSUM], needs: [] },
  { form: OFFLOAD_TSO4, bits: [net.VIRTIO_NET_F_GUEST_TSO4], needs: [net.VIRTIO_NET_F_GUEST_CSUM] },
  { form: OFFLOAD_TSO6, bits: [net.VIRTIO_NET_F_GUEST_TSO6], needs: [net.VIRTIO_NET_F_GUEST_CSUM] },
  {
    form: OFFLOAD_ECN,
    bits: [net.VIRTIO_NET_F_GUEST_ECN],
    needs: [net.VIRTIO_NET_F_GUEST_TSO4, net.VIRTIO_NET_F_GUEST_TSO6],
  },
  // Both or none: a frame's header does not say which of the two it is.
  {
    form: OFFLOAD_USO,
    bits: [net.VIRTIO_NET_F_GUEST_USO4, net.VIRTIO_NET_F_GUEST_USO6],
    needs: [net.VIRTIO_NET_F_GUEST_CSUM],
  },
];

/** Chooses among what the device offers. Throws RingyardError UNSUPPORTED where it lacks what is required. */
export function negotiate(address: string, offered: Features, offload: number, pairs: number): Features {
  for (const [bit, name, next] of REQUIRED) {
    if (!hasFeature(offered, bit))
      throw new RingyardError("UNSUPPORTED", `NIC ${address} does not offer ${name}`, next);
  }
  const bits = REQUIRED.map(([bit]) => bit);
  const take = (wanted: readonly number[]) => bits.push(...wanted.filter((bit) => hasFeature(offered, bit)));
  take(TAKEN);
  if (hasFeature(offered, net.VIRTIO_NET_F_CTRL_VQ)) {
    take([net.VIRTIO_NET_F_CTRL_VQ, ...OF_CONTROL, ...(pairs > 1 ? [net.VIRTIO_NET_F_MQ] : [])]);
  }
  const forms = (list: readonly Offload[], allowed: number) => {
    for (const { form, bits: wanted, needs } of list) {
      if ((allowed & form) === 0 || !wanted.every((bit) => hasFeature(offered, bit))) continue;
      if (needs.length === 0 || needs.some((bit) => bits.includes(bit))) bits.push(...wanted);
    }
  };
  forms(HOST, offload);
  forms(GUEST, bits.includes(net.VIRTIO_NET_F_MRG_RXBUF) ? offload : offload & OFFLOAD_CSUM);
  return featureSet(bits);
}
