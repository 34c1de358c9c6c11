// linux/virtio_pci.h (linux-libc-dev 6.1): a modern virtio device on PCI. Its vendor capabilities say in which BAR each of its
// structures lies (virtio 1.2, 4.1.4); PCI ids are of 4.1.2.

/** Kinds of structures, the `cfg_type` of a capability. */
export const VIRTIO_PCI_CAP_COMMON_CFG = 1;
export const VIRTIO_PCI_CAP_NOTIFY_CFG = 2;
export const VIRTIO_PCI_CAP_ISR_CFG = 3;
export const VIRTIO_PCI_CAP_DEVICE_CFG = 4;
export const VIRTIO_PCI_CAP_PCI_CFG = 5;

export const VIRTIO_PCI_ISR_CONFIG = 0x2;
/** A queue, or the configuration, that interrupts nobody. */
export const VIRTIO_MSI_NO_VECTOR = 0xffff;

export const struct_virtio_pci_cap = {
  size: 16,
  fields: {
    cap_vndr: [0, 1],
    cap_next: [1, 1],
    cap_len: [2, 1],
    cfg_type: [3, 1],
    bar: [4, 1],
    id: [5, 1],
    offset: [8, 4],
    length: [12, 4],
  },
} as const;

export const struct_virtio_pci_notify_cap = { size: 20, fields: { notify_off_multiplier: [16, 4] } } as const;

export const struct_virtio_pci_common_cfg = {
  size: 56,
  fields: {
    device_feature_select: [0, 4],
    device_feature: [4, 4],
    guest_feature_select: [8, 4],
    guest_feature: [12, 4],
    msix_config: [16, 2],
    num_queues: [18, 2],
    device_status: [20, 1],
    config_generation: [21, 1],
    queue_select: [22, 2],
    queue_size: [24, 2],
    queue_msix_vector: [26, 2],
    queue_enable: [28, 2],
    queue_notify_off: [30, 2],
    queue_desc_lo: [32, 4],
    queue_desc_hi: [36, 4],
    queue_avail_lo: [40, 4],
    queue_avail_hi: [44, 4],
    queue_used_lo: [48, 4],
    queue_used_hi: [52, 4],
  },
} as const;
