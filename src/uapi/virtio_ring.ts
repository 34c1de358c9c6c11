// linux/virtio_ring.h (linux-libc-dev 6.1): the split virtqueue. Struct tables are { size, fields: name -> [offset, size] };
// `npm run uapi` checks them against the C compiler.

export const VRING_DESC_F_NEXT = 1;
export const VRING_DESC_F_WRITE = 2;
export const VRING_DESC_F_INDIRECT = 4;
export const VRING_USED_F_NO_NOTIFY = 1;
export const VRING_AVAIL_F_NO_INTERRUPT = 1;
export const VIRTIO_RING_F_INDIRECT_DESC = 28;
export const VIRTIO_RING_F_EVENT_IDX = 29;

export const struct_vring_desc = {
  size: 16,
  fields: { addr: [0, 8], len: [8, 4], flags: [12, 2], next: [14, 2] },
} as const;

export const struct_vring_used_elem = { size: 8, fields: { id: [0, 4], len: [4, 4] } } as const;

/** Virtio 1.2, 2.7: Queue Size is a power of two of at most 32768. */
export const VIRTQUEUE_MAX_SIZE = 32768;
