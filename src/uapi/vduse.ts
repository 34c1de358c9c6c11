// VDUSE, vDPA devices in user space: ioctls of /dev/vduse/control and of /dev/vduse/NAME, messages (the uapi header vduse as of
// Linux 7.3; systems have older ones, so test/uapi declares it for the compiler). Needs linux/types.h.

export const VDUSE_BASE = 0x81;
export const VDUSE_API_VERSION = 0x0;
export const VDUSE_API_VERSION_1 = 0x1;
export const VDUSE_GET_API_VERSION = 0x80088100;
export const VDUSE_SET_API_VERSION = 0x40088101;
export const VDUSE_NAME_MAX = 0x100;
export const VDUSE_CREATE_DEV = 0x41508102;
export const VDUSE_DESTROY_DEV = 0x41008103;
export const VDUSE_ACCESS_RO = 0x1;
export const VDUSE_ACCESS_WO = 0x2;
export const VDUSE_ACCESS_RW = 0x3;
export const VDUSE_IOTLB_GET_FD = 0xc0208110;
export const VDUSE_DEV_GET_FEATURES = 0x80088111;
export const VDUSE_DEV_SET_CONFIG = 0x40088112;
export const VDUSE_DEV_INJECT_CONFIG_IRQ = 0x8113;
export const VDUSE_VQ_SETUP = 0x40208114;
export const VDUSE_VQ_GET_INFO = 0xc0308115;
export const VDUSE_EVENTFD_DEASSIGN = -1;
export const VDUSE_VQ_SETUP_KICKFD = 0x40088116;
export const VDUSE_VQ_INJECT_IRQ = 0x40048117;
export const VDUSE_IOTLB_REG_UMEM = 0x40308118;
export const VDUSE_IOTLB_DEREG_UMEM = 0x40308119;
export const VDUSE_IOVA_CAP_UMEM = 0x1;
export const VDUSE_IOTLB_GET_INFO = 0xc030811a;
export const VDUSE_IOTLB_GET_FD2 = 0xc050811b;
export const VDUSE_F_QUEUE_READY = 0x0;
export const VDUSE_F_SUSPEND = 0x1;
export const VDUSE_GET_FEATURES = 0x80088104;
export const VDUSE_SET_FEATURES = 0x40088105;
export const VDUSE_REQ_RESULT_OK = 0x0;
export const VDUSE_REQ_RESULT_FAILED = 0x1;
export const VDUSE_GET_VQ_STATE = 0x0;
export const VDUSE_SET_STATUS = 0x1;
export const VDUSE_UPDATE_IOTLB = 0x2;
export const VDUSE_SET_VQ_GROUP_ASID = 0x3;
export const VDUSE_SET_VQ_READY = 0x4;
export const VDUSE_SUSPEND = 0x5;

export const struct_vduse_dev_config = {
  size: 336,
  fields: {
    name: [0, 256],
    vendor_id: [256, 4],
    device_id: [260, 4],
    features: [264, 8],
    vq_num: [272, 4],
    vq_align: [276, 4],
    ngroups: [280, 4],
    nas: [284, 4],
    reserved: [288, 44],
    config_size: [332, 4],
  },
} as const;

export const struct_vduse_iotlb_entry = {
  size: 32,
  fields: {
    offset: [0, 8],
    start: [8, 8],
    last: [16, 8],
    perm: [24, 1],
  },
} as const;

export const struct_vduse_config_data = {
  size: 8,
  fields: {
    offset: [0, 4],
    length: [4, 4],
  },
} as const;

export const struct_vduse_vq_config = {
  size: 32,
  fields: {
    index: [0, 4],
    max_size: [4, 2],
    reserved1: [6, 2],
    group: [8, 4],
    reserved2: [12, 20],
  },
} as const;

export const struct_vduse_vq_group_asid = {
  size: 8,
  fields: {
    group: [0, 4],
    asid: [4, 4],
  },
} as const;

export const struct_vduse_vq_info = {
  size: 48,
  fields: {
    index: [0, 4],
    num: [4, 4],
    desc_addr: [8, 8],
    driver_addr: [16, 8],
    device_addr: [24, 8],
    "split.avail_index": [32, 2],
    "packed.last_avail_counter": [32, 2],
    "packed.last_avail_idx": [34, 2],
    "packed.last_used_counter": [36, 2],
    "packed.last_used_idx": [38, 2],
    ready: [40, 1],
  },
} as const;

export const struct_vduse_vq_eventfd = {
  size: 8,
  fields: {
    index: [0, 4],
    fd: [4, 4],
  },
} as const;

export const struct_vduse_iova_umem = {
  size: 48,
  fields: {
    uaddr: [0, 8],
    iova: [8, 8],
    size: [16, 8],
    asid: [24, 4],
    reserved: [28, 20],
  },
} as const;

export const struct_vduse_iova_info = {
  size: 48,
  fields: {
    start: [0, 8],
    last: [8, 8],
    capability: [16, 8],
    asid: [24, 4],
    reserved: [28, 20],
  },
} as const;

export const struct_vduse_iotlb_entry_v2 = {
  size: 80,
  fields: {
    offset: [0, 8],
    start: [8, 8],
    last: [16, 8],
    perm: [24, 1],
    padding: [25, 7],
    asid: [32, 4],
    reserved: [36, 44],
  },
} as const;

export const struct_vduse_dev_request = {
  size: 152,
  fields: {
    type: [0, 4],
    request_id: [4, 4],
    reserved: [8, 16],
    "vq_state.index": [24, 4],
    "s.status": [24, 1],
    "iova.start": [24, 8],
    "iova.last": [32, 8],
    "iova_v2.start": [24, 8],
    "iova_v2.last": [32, 8],
    "iova_v2.asid": [40, 4],
    "vq_group_asid.group": [24, 4],
    "vq_group_asid.asid": [28, 4],
    "vq_ready.num": [24, 4],
    "vq_ready.ready": [28, 4],
  },
} as const;

export const struct_vduse_dev_response = {
  size: 152,
  fields: {
    request_id: [0, 4],
    result: [4, 4],
    reserved: [8, 16],
    "vq_state.index": [24, 4],
    "vq_state.split.avail_index": [28, 2],
    "vq_state.packed.last_avail_counter": [28, 2],
    "vq_state.packed.last_avail_idx": [30, 2],
    "vq_state.packed.last_used_counter": [32, 2],
    "vq_state.packed.last_used_idx": [34, 2],
  },
} as const;
