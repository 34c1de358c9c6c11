// The vhost-user protocol (QEMU docs/interop/vhost-user.rst, as of QEMU 9): message types, flags, payload layouts. No kernel
// header declares it; the golden layouts are compiled from declarations written from the same document.

export const VHOST_USER_GET_FEATURES = 1;
export const VHOST_USER_SET_FEATURES = 2;
export const VHOST_USER_SET_OWNER = 3;
export const VHOST_USER_RESET_OWNER = 4;
export const VHOST_USER_SET_MEM_TABLE = 5;
export const VHOST_USER_SET_LOG_BASE = 6;
export const VHOST_USER_SET_LOG_FD = 7;
export const VHOST_USER_SET_VRING_NUM = 8;
export const VHOST_USER_SET_VRING_ADDR = 9;
export const VHOST_USER_SET_VRING_BASE = 10;
export const VHOST_USER_GET_VRING_BASE = 11;
export const VHOST_USER_SET_VRING_KICK = 12;
export const VHOST_USER_SET_VRING_CALL = 13;
export const VHOST_USER_SET_VRING_ERR = 14;
export const VHOST_USER_GET_PROTOCOL_FEATURES = 15;
export const VHOST_USER_SET_PROTOCOL_FEATURES = 16;
export const VHOST_USER_GET_QUEUE_NUM = 17;
export const VHOST_USER_SET_VRING_ENABLE = 18;
export const VHOST_USER_SEND_RARP = 19;
export const VHOST_USER_NET_SET_MTU = 20;
export const VHOST_USER_SET_BACKEND_REQ_FD = 21;
export const VHOST_USER_IOTLB_MSG = 22;
export const VHOST_USER_SET_VRING_ENDIAN = 23;
export const VHOST_USER_GET_CONFIG = 24;
export const VHOST_USER_SET_CONFIG = 25;
export const VHOST_USER_GET_INFLIGHT_FD = 31;
export const VHOST_USER_SET_INFLIGHT_FD = 32;
export const VHOST_USER_RESET_DEVICE = 34;
export const VHOST_USER_GET_MAX_MEM_SLOTS = 36;
export const VHOST_USER_ADD_MEM_REG = 37;
export const VHOST_USER_REM_MEM_REG = 38;
export const VHOST_USER_SET_STATUS = 39;
export const VHOST_USER_GET_STATUS = 40;

/** Back end to front end, on the channel of SET_BACKEND_REQ_FD. */
export const VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2;

export const VHOST_USER_VERSION = 1;
export const VHOST_USER_VERSION_MASK = 3;
export const VHOST_USER_REPLY_MASK = 4;
export const VHOST_USER_NEED_REPLY_MASK = 8;
export const VHOST_USER_VRING_IDX_MASK = 0xff;
export const VHOST_USER_VRING_NOFD_MASK = 0x100;

/** Feature bit by which both sides agree to speak protocol features. */
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;

export const VHOST_USER_PROTOCOL_F_MQ = 0;
export const VHOST_USER_PROTOCOL_F_REPLY_ACK = 3;
export const VHOST_USER_PROTOCOL_F_NET_MTU = 4;
export const VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5;
export const VHOST_USER_PROTOCOL_F_CONFIG = 9;
export const VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12;
export const VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13;
export const VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15;
export const VHOST_USER_PROTOCOL_F_STATUS = 16;

/** Regions in one SET_MEM_TABLE message ("at most 8", VHOST_MEMORY_BASELINE_NREGIONS). */
export const VHOST_MEMORY_BASELINE_NREGIONS = 8;
export const VHOST_USER_CONFIG_SPACE_MAX = 256;

export const struct_vhost_user_header = {
  size: 12,
  fields: { request: [0, 4], flags: [4, 4], size: [8, 4] },
} as const;

export const struct_vhost_user_memory_region = {
  size: 32,
  fields: { guest_addr: [0, 8], size: [8, 8], user_addr: [16, 8], mmap_offset: [24, 8] },
} as const;

export const struct_vhost_vring_state = { size: 8, fields: { index: [0, 4], num: [4, 4] } } as const;

export const struct_vhost_vring_addr = {
  size: 40,
  fields: { index: [0, 4], flags: [4, 4], desc: [8, 8], used: [16, 8], avail: [24, 8], log: [32, 8] },
} as const;

/** Header of a GET_CONFIG or SET_CONFIG payload; `size` bytes of device configuration follow. */
export const struct_vhost_user_config = { size: 12, fields: { offset: [0, 4], size: [4, 4], flags: [8, 4] } } as const;

export const struct_vhost_user_inflight = {
  size: 24,
  fields: { mmap_size: [0, 8], mmap_offset: [8, 8], num_queues: [16, 2], queue_size: [18, 2] },
} as const;
