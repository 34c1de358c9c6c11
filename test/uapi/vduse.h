/*
 * VDUSE as Linux 7.3 declares it in include/uapi/linux/vduse.h: a second declaration beside src/uapi/vduse.ts, of layouts and
 * numbers only, since the headers of most systems are older (API version 1 came with 7.0) and would clash with it.
 */
#include <linux/ioctl.h>
#include <linux/types.h>

#define VDUSE_BASE 0x81
#define VDUSE_NAME_MAX 256

/* /dev/vduse/control */

#define VDUSE_API_VERSION 0
#define VDUSE_API_VERSION_1 1

struct vduse_dev_config {
	char name[VDUSE_NAME_MAX];
	__u32 vendor_id;
	__u32 device_id;
	__u64 features;
	__u32 vq_num;
	__u32 vq_align;
	__u32 ngroups; /* API version 1 */
	__u32 nas; /* API version 1 */
	__u32 reserved[11];
	__u32 config_size;
	__u8 config[];
};

#define VDUSE_GET_API_VERSION _IOR(VDUSE_BASE, 0x00, __u64)
#define VDUSE_SET_API_VERSION _IOW(VDUSE_BASE, 0x01, __u64)
#define VDUSE_CREATE_DEV _IOW(VDUSE_BASE, 0x02, struct vduse_dev_config)
#define VDUSE_DESTROY_DEV _IOW(VDUSE_BASE, 0x03, char[VDUSE_NAME_MAX])
#define VDUSE_GET_FEATURES _IOR(VDUSE_BASE, 0x04, __u64)
#define VDUSE_SET_FEATURES _IOW(VDUSE_BASE, 0x05, __u64)

/* Bit numbers in what the last two carry */
#define VDUSE_F_QUEUE_READY 0
#define VDUSE_F_SUSPEND 1

/* /dev/vduse/NAME: memory */

#define VDUSE_ACCESS_RO 0x1
#define VDUSE_ACCESS_WO 0x2
#define VDUSE_ACCESS_RW 0x3

struct vduse_iotlb_entry {
	__u64 offset;
	__u64 start;
	__u64 last;
	__u8 perm;
};

/* The kernel's struct repeats version 0's members in place of embedding it */
struct vduse_iotlb_entry_v2 {
	__u64 offset;
	__u64 start;
	__u64 last;
	__u8 perm;
	__u8 padding[7];
	__u32 asid;
	__u32 reserved[11];
};

struct vduse_iova_umem {
	__u64 uaddr;
	__u64 iova;
	__u64 size;
	__u32 asid;
	__u32 reserved[5];
};

#define VDUSE_IOVA_CAP_UMEM (1 << 0)

struct vduse_iova_info {
	__u64 start;
	__u64 last;
	__u64 capability;
	__u32 asid;
	__u32 reserved[5];
};

#define VDUSE_IOTLB_GET_FD _IOWR(VDUSE_BASE, 0x10, struct vduse_iotlb_entry)
#define VDUSE_IOTLB_REG_UMEM _IOW(VDUSE_BASE, 0x18, struct vduse_iova_umem)
#define VDUSE_IOTLB_DEREG_UMEM _IOW(VDUSE_BASE, 0x19, struct vduse_iova_umem)
#define VDUSE_IOTLB_GET_INFO _IOWR(VDUSE_BASE, 0x1a, struct vduse_iova_info)
#define VDUSE_IOTLB_GET_FD2 _IOWR(VDUSE_BASE, 0x1b, struct vduse_iotlb_entry_v2)

/* /dev/vduse/NAME: configuration and queues */

struct vduse_config_data {
	__u32 offset;
	__u32 length;
	__u8 buffer[];
};

struct vduse_vq_config {
	__u32 index;
	__u16 max_size;
	__u16 reserved1;
	__u32 group;
	__u16 reserved2[10];
};

struct vduse_vq_state_split {
	__u16 avail_index;
};

struct vduse_vq_state_packed {
	__u16 last_avail_counter;
	__u16 last_avail_idx;
	__u16 last_used_counter;
	__u16 last_used_idx;
};

struct vduse_vq_group_asid {
	__u32 group;
	__u32 asid;
};

struct vduse_vq_info {
	__u32 index;
	__u32 num;
	__u64 desc_addr;
	__u64 driver_addr;
	__u64 device_addr;
	union {
		struct vduse_vq_state_split split;
		struct vduse_vq_state_packed packed;
	};
	__u8 ready;
};

#define VDUSE_EVENTFD_DEASSIGN -1

struct vduse_vq_eventfd {
	__u32 index;
	int fd;
};

#define VDUSE_DEV_GET_FEATURES _IOR(VDUSE_BASE, 0x11, __u64)
#define VDUSE_DEV_SET_CONFIG _IOW(VDUSE_BASE, 0x12, struct vduse_config_data)
#define VDUSE_DEV_INJECT_CONFIG_IRQ _IO(VDUSE_BASE, 0x13)
#define VDUSE_VQ_SETUP _IOW(VDUSE_BASE, 0x14, struct vduse_vq_config)
#define VDUSE_VQ_GET_INFO _IOWR(VDUSE_BASE, 0x15, struct vduse_vq_info)
#define VDUSE_VQ_SETUP_KICKFD _IOW(VDUSE_BASE, 0x16, struct vduse_vq_eventfd)
#define VDUSE_VQ_INJECT_IRQ _IOW(VDUSE_BASE, 0x17, __u32)

/* read(2) and write(2) on /dev/vduse/NAME */

enum vduse_req_type {
	VDUSE_GET_VQ_STATE,
	VDUSE_SET_STATUS,
	VDUSE_UPDATE_IOTLB,
	VDUSE_SET_VQ_GROUP_ASID, /* API version 1 */
	VDUSE_SET_VQ_READY, /* VDUSE_F_QUEUE_READY */
	VDUSE_SUSPEND, /* VDUSE_F_SUSPEND */
};

struct vduse_vq_state {
	__u32 index;
	union {
		struct vduse_vq_state_split split;
		struct vduse_vq_state_packed packed;
	};
};

struct vduse_dev_status {
	__u8 status;
};

struct vduse_iova_range {
	__u64 start;
	__u64 last;
};

struct vduse_iova_range_v2 {
	__u64 start;
	__u64 last;
	__u32 asid;
	__u32 padding;
};

struct vduse_vq_ready {
	__u32 num;
	__u32 ready;
};

struct vduse_dev_request {
	__u32 type;
	__u32 request_id;
	__u32 reserved[4];
	union {
		struct vduse_vq_state vq_state;
		struct vduse_dev_status s;
		struct vduse_iova_range iova;
		struct vduse_iova_range_v2 iova_v2;
		struct vduse_vq_group_asid vq_group_asid;
		struct vduse_vq_ready vq_ready;
		__u32 padding[32];
	};
};

#define VDUSE_REQ_RESULT_OK 0x00
#define VDUSE_REQ_RESULT_FAILED 0x01

struct vduse_dev_response {
	__u32 request_id;
	__u32 result;
	__u32 reserved[4];
	union {
		struct vduse_vq_state vq_state;
		__u32 padding[32];
	};
};
