// The character device /dev/vhost-vdpa-N as linux/vhost.h and linux/vhost_types.h declare it, names verbatim: what QEMU and
// DPDK speak to a device on the vDPA bus, and tests in their place. vhost-vdpa.test.ts asks the C compiler.

export const VHOST_GET_FEATURES = 0x8008af00;
export const VHOST_SET_FEATURES = 0x4008af00;
export const VHOST_SET_OWNER = 0xaf01;
export const VHOST_SET_VRING_NUM = 0x4008af10;
export const VHOST_SET_VRING_ADDR = 0x4028af11;
export const VHOST_SET_VRING_BASE = 0x4008af12;
export const VHOST_GET_VRING_BASE = 0xc008af12;
export const VHOST_SET_VRING_KICK = 0x4008af20;
export const VHOST_SET_VRING_CALL = 0x4008af21;
export const VHOST_SET_BACKEND_FEATURES = 0x4008af25;
export const VHOST_GET_BACKEND_FEATURES = 0x8008af26;
export const VHOST_VDPA_GET_DEVICE_ID = 0x8004af70;
export const VHOST_VDPA_GET_STATUS = 0x8001af71;
export const VHOST_VDPA_SET_STATUS = 0x4001af72;
export const VHOST_VDPA_GET_CONFIG = 0x8008af73;
export const VHOST_VDPA_SET_VRING_ENABLE = 0x4008af75;
export const VHOST_VDPA_GET_VRING_NUM = 0x8002af76;
export const VHOST_VDPA_SET_CONFIG_CALL = 0x4004af77;
export const VHOST_VDPA_GET_VQS_COUNT = 0x8004af80;
export const VHOST_VDPA_GET_CONFIG_SIZE = 0x8004af79;
export const VHOST_VDPA_GET_IOVA_RANGE = 0x8010af78;
export const VHOST_IOTLB_UPDATE = 0x2;
export const VHOST_IOTLB_INVALIDATE = 0x3;
export const VHOST_IOTLB_BATCH_BEGIN = 0x5;
export const VHOST_IOTLB_BATCH_END = 0x6;
export const VHOST_IOTLB_MSG_V2 = 0x2;
export const VHOST_ACCESS_RO = 0x1;
export const VHOST_ACCESS_RW = 0x3;
export const VHOST_BACKEND_F_IOTLB_MSG_V2 = 0x1;
export const VHOST_BACKEND_F_IOTLB_BATCH = 0x2;

export const struct_vhost_vring_state = {
  size: 8,
  fields: {
    index: [0, 4],
    num: [4, 4],
  },
} as const;

export const struct_vhost_vring_file = {
  size: 8,
  fields: {
    index: [0, 4],
    fd: [4, 4],
  },
} as const;

export const struct_vhost_vring_addr = {
  size: 40,
  fields: {
    index: [0, 4],
    flags: [4, 4],
    desc_user_addr: [8, 8],
    used_user_addr: [16, 8],
    avail_user_addr: [24, 8],
  },
} as const;

export const struct_vhost_msg_v2 = {
  size: 72,
  fields: {
    type: [0, 4],
    asid: [4, 4],
    "iotlb.iova": [8, 8],
    "iotlb.size": [16, 8],
    "iotlb.uaddr": [24, 8],
    "iotlb.perm": [32, 1],
    "iotlb.type": [33, 1],
  },
} as const;

export const struct_vhost_vdpa_config = {
  size: 8,
  fields: {
    off: [0, 4],
    len: [4, 4],
  },
} as const;

export const struct_vhost_vdpa_iova_range = {
  size: 16,
  fields: {
    first: [0, 8],
    last: [8, 8],
  },
} as const;
