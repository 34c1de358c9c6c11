/*
 * vhost-user as QEMU's docs/interop/vhost-user.rst describes it. No kernel header declares the protocol; this is a second
 * declaration beside src/uapi/vhost_user.ts, written from the document's tables, so that the two check each other.
 * Numbers are in native byte order; payloads follow the 12-byte header without padding, a payload itself is laid out as C does.
 */
#include <stdint.h>

/* "Header" */
struct vhost_user_header {
	uint32_t request;
	uint32_t flags; /* bits 0-1: version, 0x01; bit 2: reply; bit 3: need_reply */
	uint32_t size;
};

#define VHOST_USER_VERSION_MASK (1 << 0 | 1 << 1)
#define VHOST_USER_VERSION 0x01
#define VHOST_USER_REPLY_MASK (1 << 2)
#define VHOST_USER_NEED_REPLY_MASK (1 << 3)

/* "A vring state description" */
struct vhost_vring_state {
	uint32_t index;
	uint32_t num;
};

/* "A vring address description"; its order is that of the kernel's struct, as in the document's "C structure" */
struct vhost_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

/* "Memory regions description" */
struct vhost_user_memory_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

#define VHOST_MEMORY_BASELINE_NREGIONS 8 /* region0 ... region7 */

struct vhost_user_memory {
	uint32_t num_regions;
	uint32_t padding;
	struct vhost_user_memory_region regions[VHOST_MEMORY_BASELINE_NREGIONS];
};

/* "Single memory region description" */
struct vhost_user_single_memory_region {
	uint64_t padding;
	struct vhost_user_memory_region region;
};

/* "Log description" */
struct vhost_user_log {
	uint64_t log_size;
	uint64_t log_offset;
};

/* "Virtio device config space", without its payload; QEMU's hw/virtio/vhost-user.c limits that to 256 bytes */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
};

#define VHOST_USER_MAX_CONFIG_SIZE 256
#define VHOST_USER_CONFIG_SPACE_MAX VHOST_USER_MAX_CONFIG_SIZE

/* "Inflight description" */
struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

/* "Inflight I/O tracking", DescStateSplit and QueueRegionSplit */
struct vhost_user_desc_state_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct vhost_user_queue_region_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct vhost_user_desc_state_split desc[];
};

/* Payload of SET_VRING_KICK, _CALL and _ERR: "Bits (0-7) contain the vring index. Bit 8 is the invalid FD flag." */
#define VHOST_USER_VRING_IDX_MASK 0xff
#define VHOST_USER_VRING_NOFD_MASK (1 << 8)

/* "Communication" */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* "Protocol features" */
enum {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_MTU = 4,
	VHOST_USER_PROTOCOL_F_NET_MTU = VHOST_USER_PROTOCOL_F_MTU, /* QEMU's own name */
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
};

/* "Front-end message types", in the order of their ids */
enum {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES,
	VHOST_USER_SET_OWNER,
	VHOST_USER_RESET_OWNER,
	VHOST_USER_SET_MEM_TABLE,
	VHOST_USER_SET_LOG_BASE,
	VHOST_USER_SET_LOG_FD,
	VHOST_USER_SET_VRING_NUM,
	VHOST_USER_SET_VRING_ADDR,
	VHOST_USER_SET_VRING_BASE,
	VHOST_USER_GET_VRING_BASE,
	VHOST_USER_SET_VRING_KICK,
	VHOST_USER_SET_VRING_CALL,
	VHOST_USER_SET_VRING_ERR,
	VHOST_USER_GET_PROTOCOL_FEATURES,
	VHOST_USER_SET_PROTOCOL_FEATURES,
	VHOST_USER_GET_QUEUE_NUM,
	VHOST_USER_SET_VRING_ENABLE,
	VHOST_USER_SEND_RARP,
	VHOST_USER_NET_SET_MTU,
	VHOST_USER_SET_BACKEND_REQ_FD,
	VHOST_USER_IOTLB_MSG,
	VHOST_USER_SET_VRING_ENDIAN,
	VHOST_USER_GET_CONFIG,
	VHOST_USER_SET_CONFIG,
	VHOST_USER_CREATE_CRYPTO_SESSION,
	VHOST_USER_CLOSE_CRYPTO_SESSION,
	VHOST_USER_POSTCOPY_ADVISE,
	VHOST_USER_POSTCOPY_LISTEN,
	VHOST_USER_POSTCOPY_END,
	VHOST_USER_GET_INFLIGHT_FD,
	VHOST_USER_SET_INFLIGHT_FD,
	VHOST_USER_GPU_SET_SOCKET,
	VHOST_USER_RESET_DEVICE,
	VHOST_USER_VRING_KICK,
	VHOST_USER_GET_MAX_MEM_SLOTS,
	VHOST_USER_ADD_MEM_REG,
	VHOST_USER_REM_MEM_REG,
	VHOST_USER_SET_STATUS,
	VHOST_USER_GET_STATUS,
};

/* "Back-end message types" */
enum {
	VHOST_USER_BACKEND_IOTLB_MSG = 1,
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
	VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG,
	VHOST_USER_BACKEND_VRING_CALL,
	VHOST_USER_BACKEND_VRING_ERR,
};
