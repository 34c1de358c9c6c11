// Which virtio features ringyard offers, and what a negotiation means for a lane. Feature words are two 32-bit halves, as
// everywhere: `lo` bits 0..31, `hi` bits 32..63. Cold; control thread and workers.

import { OFFLOAD_CSUM, OFFLOAD_ECN, OFFLOAD_TSO4, OFFLOAD_TSO6, OFFLOAD_USO } from "../mem/batch.ts";
import * as net from "../uapi/virtio_net.ts";
import * as ring from "../uapi/virtio_ring.ts";

const FEATURE = /^VIRTIO_(?:NET_|RING_)?F_(\w+)$/;

/** Feature bits by name, as `port show` prints a negotiation: all that src/uapi has, without their prefixes. */
export const FEATURE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries({ ...net, ...ring }).flatMap(([name, bit]) => {
    const feature = FEATURE.exec(name)?.[1];
    return typeof bit === "number" && feature !== undefined ? [[bit, feature]] : [];
  }),
);

/** A 64-bit feature word. */
export interface Features {
  lo: number;
  hi: number;
}

export function featureSet(bits: readonly number[]): Features {
  let lo = 0;
  let hi = 0;
  for (const bit of bits) {
    if (bit < 32) lo |= 1 << bit;
    else hi |= 1 << (bit - 32);
  }
  return { lo: lo >>> 0, hi: hi >>> 0 };
}

export function hasFeature(features: Features, bit: number): boolean {
  return ((bit < 32 ? features.lo >>> bit : features.hi >>> (bit - 32)) & 1) === 1;
}

export function featureNames(features: Features): string[] {
  return Object.entries(FEATURE_NAMES)
    .filter(([bit]) => hasFeature(features, Number(bit)))
    .map(([, name]) => name);
}

/** The offload features of each form: what a driver may send (HOST_*) and accept (GUEST_*, where there are two, both). */
const OFFLOADS: readonly { name: string; form: number; host: number; guest: readonly number[] }[] = [
  { name: "csum", form: OFFLOAD_CSUM, host: net.VIRTIO_NET_F_CSUM, guest: [net.VIRTIO_NET_F_GUEST_CSUM] },
  { name: "tso4", form: OFFLOAD_TSO4, host: net.VIRTIO_NET_F_HOST_TSO4, guest: [net.VIRTIO_NET_F_GUEST_TSO4] },
  { name: "tso6", form: OFFLOAD_TSO6, host: net.VIRTIO_NET_F_HOST_TSO6, guest: [net.VIRTIO_NET_F_GUEST_TSO6] },
  { name: "ecn", form: OFFLOAD_ECN, host: net.VIRTIO_NET_F_HOST_ECN, guest: [net.VIRTIO_NET_F_GUEST_ECN] },
  {
    name: "uso",
    form: OFFLOAD_USO,
    host: net.VIRTIO_NET_F_HOST_USO,
    guest: [net.VIRTIO_NET_F_GUEST_USO4, net.VIRTIO_NET_F_GUEST_USO6],
  },
];

/** Names of offloads that the `offload` option takes. */
export const OFFLOAD_NAMES: readonly string[] = OFFLOADS.map((offload) => offload.name);

/** The words of an OFFLOAD_* set. */
export function offloadNames(forms: number): string[] {
  return OFFLOADS.filter((o) => (forms & o.form) !== 0).map((o) => o.name);
}

/** OFFLOAD_* set of offload names; all of them where the option is absent. */
export function offloadForms(names: readonly string[] | undefined): number {
  return OFFLOADS.filter((o) => names === undefined || names.includes(o.name)).reduce((set, o) => set | o.form, 0);
}

/**
 * What ringyard's virtio-net devices offer, VERSION_1 included. `offload` limits the offloads; TSO and USO need
 * their checksum feature (virtio 1.3, 5.1.3.1). `mtu` and `mac` are offered where configured.
 */
export function deviceFeatures(options: {
  offload?: readonly string[];
  mac: boolean;
  mtu: boolean;
  pairs: number;
}): Features {
  const bits: number[] = [
    net.VIRTIO_F_VERSION_1,
    ring.VIRTIO_RING_F_INDIRECT_DESC,
    ring.VIRTIO_RING_F_EVENT_IDX,
    net.VIRTIO_NET_F_MRG_RXBUF,
    net.VIRTIO_NET_F_STATUS,
    // The control queue is the front end's on vhost-user: these bits let it offer one to its guest.
    net.VIRTIO_NET_F_CTRL_VQ,
    net.VIRTIO_NET_F_CTRL_RX,
    net.VIRTIO_NET_F_CTRL_VLAN,
    net.VIRTIO_NET_F_CTRL_MAC_ADDR,
    net.VIRTIO_NET_F_GUEST_ANNOUNCE,
  ];
  if (options.mac) bits.push(net.VIRTIO_NET_F_MAC);
  if (options.mtu) bits.push(net.VIRTIO_NET_F_MTU);
  if (options.pairs > 1) bits.push(net.VIRTIO_NET_F_MQ);
  const forms = offloadForms(options.offload);
  for (const { form, host, guest } of OFFLOADS) {
    if ((forms & form) !== 0 && (forms & OFFLOAD_CSUM) !== 0) bits.push(host, ...guest);
  }
  return featureSet(bits);
}

/** OFFLOAD_* forms that the driver may send us. */
export function senderForms(features: Features): number {
  return OFFLOADS.reduce((set, o) => (hasFeature(features, o.host) ? set | o.form : set), 0);
}

/** OFFLOAD_* forms that the driver accepts from us. */
export function receiverForms(features: Features): number {
  return OFFLOADS.reduce((set, o) => (o.guest.every((bit) => hasFeature(features, bit)) ? set | o.form : set), 0);
}
