// VFIO: devices given to user space, behind an IOMMU. The older door is container and group (/dev/vfio/vfio, /dev/vfio/GROUP) with
// the type1 IOMMU, the newer one a character device for each device (/dev/vfio/devices/vfioN) bound to an iommufd.
// From linux/vfio.h; what Debian 12's lacks (the newer door, some features) test/uapi declares. Structs that are sent or
// filled by an ioctl begin with `argsz`, their size; a capability chain's offsets count from the first byte of the struct.
// (Newer headers pad struct_vfio_device_info to 24 bytes.)

// container and group
export const VFIO_API_VERSION = 0x0;
export const VFIO_TYPE1_IOMMU = 0x1;
export const VFIO_TYPE1v2_IOMMU = 0x3;
export const VFIO_NOIOMMU_IOMMU = 0x8;
export const VFIO_UNMAP_ALL = 0x9;
export const VFIO_TYPE = 0x3b;
export const VFIO_BASE = 0x64;
export const VFIO_GET_API_VERSION = 0x3b64;
export const VFIO_CHECK_EXTENSION = 0x3b65;
export const VFIO_SET_IOMMU = 0x3b66;
export const VFIO_GROUP_FLAGS_VIABLE = 0x1;
export const VFIO_GROUP_FLAGS_CONTAINER_SET = 0x2;
export const VFIO_GROUP_GET_STATUS = 0x3b67;
export const VFIO_GROUP_SET_CONTAINER = 0x3b68;
export const VFIO_GROUP_UNSET_CONTAINER = 0x3b69;
export const VFIO_GROUP_GET_DEVICE_FD = 0x3b6a;

export const struct_vfio_info_cap_header = { size: 8, fields: { id: [0, 2], version: [2, 2], next: [4, 4] } } as const;

export const struct_vfio_group_status = { size: 8, fields: { argsz: [0, 4], flags: [4, 4] } } as const;

// device
export const VFIO_DEVICE_GET_INFO = 0x3b6b;
export const VFIO_DEVICE_FLAGS_RESET = 0x1;
export const VFIO_DEVICE_FLAGS_PCI = 0x2;
export const VFIO_DEVICE_FLAGS_CAPS = 0x80;
export const VFIO_DEVICE_GET_REGION_INFO = 0x3b6c;
export const VFIO_REGION_INFO_FLAG_READ = 0x1;
export const VFIO_REGION_INFO_FLAG_WRITE = 0x2;
export const VFIO_REGION_INFO_FLAG_MMAP = 0x4;
export const VFIO_REGION_INFO_FLAG_CAPS = 0x8;
export const VFIO_REGION_INFO_CAP_SPARSE_MMAP = 0x1;
export const VFIO_REGION_INFO_CAP_TYPE = 0x2;
export const VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 0x3;
export const VFIO_DEVICE_GET_IRQ_INFO = 0x3b6d;
export const VFIO_IRQ_INFO_EVENTFD = 0x1;
export const VFIO_IRQ_INFO_MASKABLE = 0x2;
export const VFIO_IRQ_INFO_AUTOMASKED = 0x4;
export const VFIO_IRQ_INFO_NORESIZE = 0x8;
export const VFIO_DEVICE_SET_IRQS = 0x3b6e;
export const VFIO_IRQ_SET_DATA_NONE = 0x1;
export const VFIO_IRQ_SET_DATA_BOOL = 0x2;
export const VFIO_IRQ_SET_DATA_EVENTFD = 0x4;
export const VFIO_IRQ_SET_ACTION_MASK = 0x8;
export const VFIO_IRQ_SET_ACTION_UNMASK = 0x10;
export const VFIO_IRQ_SET_ACTION_TRIGGER = 0x20;
export const VFIO_DEVICE_RESET = 0x3b6f;
export const VFIO_PCI_BAR0_REGION_INDEX = 0x0;
export const VFIO_PCI_BAR5_REGION_INDEX = 0x5;
export const VFIO_PCI_ROM_REGION_INDEX = 0x6;
export const VFIO_PCI_CONFIG_REGION_INDEX = 0x7;
export const VFIO_PCI_VGA_REGION_INDEX = 0x8;
export const VFIO_PCI_NUM_REGIONS = 0x9;
export const VFIO_PCI_INTX_IRQ_INDEX = 0x0;
export const VFIO_PCI_MSI_IRQ_INDEX = 0x1;
export const VFIO_PCI_MSIX_IRQ_INDEX = 0x2;
export const VFIO_PCI_ERR_IRQ_INDEX = 0x3;
export const VFIO_PCI_REQ_IRQ_INDEX = 0x4;
export const VFIO_PCI_NUM_IRQS = 0x5;

export const struct_vfio_device_info = {
  size: 20,
  fields: { argsz: [0, 4], flags: [4, 4], num_regions: [8, 4], num_irqs: [12, 4], cap_offset: [16, 4] },
} as const;

export const struct_vfio_region_info = {
  size: 32,
  fields: { argsz: [0, 4], flags: [4, 4], index: [8, 4], cap_offset: [12, 4], size: [16, 8], offset: [24, 8] },
} as const;

export const struct_vfio_region_info_cap_sparse_mmap = {
  size: 16,
  fields: { header: [0, 8], nr_areas: [8, 4] },
} as const;

export const struct_vfio_region_sparse_mmap_area = { size: 16, fields: { offset: [0, 8], size: [8, 8] } } as const;

export const struct_vfio_irq_info = {
  size: 16,
  fields: { argsz: [0, 4], flags: [4, 4], index: [8, 4], count: [12, 4] },
} as const;

export const struct_vfio_irq_set = {
  size: 20,
  fields: { argsz: [0, 4], flags: [4, 4], index: [8, 4], start: [12, 4], count: [16, 4] },
} as const;

// reset of a slot or bus, with all devices on it
export const VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = 0x3b70;
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 0x1;
export const VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 0x2;
export const VFIO_PCI_DEVID_OWNED = 0x0;
export const VFIO_PCI_DEVID_NOT_OWNED = -1;
export const VFIO_DEVICE_PCI_HOT_RESET = 0x3b71;

export const struct_vfio_pci_dependent_device = {
  size: 8,
  fields: { group_id: [0, 4], segment: [4, 2], bus: [6, 1], devfn: [7, 1] },
} as const;

export const struct_vfio_pci_hot_reset_info = {
  size: 12,
  fields: { argsz: [0, 4], flags: [4, 4], count: [8, 4] },
} as const;

export const struct_vfio_pci_hot_reset = { size: 12, fields: { argsz: [0, 4], flags: [4, 4], count: [8, 4] } } as const;

// features of a device
export const VFIO_DEVICE_FEATURE = 0x3b75;
export const VFIO_DEVICE_FEATURE_MASK = 0xffff;
export const VFIO_DEVICE_FEATURE_GET = 0x10000;
export const VFIO_DEVICE_FEATURE_SET = 0x20000;
export const VFIO_DEVICE_FEATURE_PROBE = 0x40000;
export const VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0x0;
export const VFIO_DEVICE_FEATURE_MIGRATION = 0x1;
export const VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 0x2;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 0x3;
export const VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 0x4;
export const VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 0x5;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 0x6;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 0x7;
export const VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 0x8;
export const VFIO_DEVICE_FEATURE_BUS_MASTER = 0xa;
export const VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0x0;
export const VFIO_DEVICE_FEATURE_SET_MASTER = 0x1;

export const struct_vfio_device_feature = { size: 8, fields: { argsz: [0, 4], flags: [4, 4] } } as const;

export const struct_vfio_device_feature_bus_master = { size: 4, fields: { op: [0, 4] } } as const;

// the newer door
export const VFIO_DEVICE_BIND_IOMMUFD = 0x3b76;
export const VFIO_DEVICE_BIND_FLAG_TOKEN = 0x1;
export const VFIO_DEVICE_ATTACH_IOMMUFD_PT = 0x3b77;
export const VFIO_DEVICE_ATTACH_PASID = 0x1;
export const VFIO_DEVICE_DETACH_IOMMUFD_PT = 0x3b78;
export const VFIO_DEVICE_DETACH_PASID = 0x1;

export const struct_vfio_device_bind_iommufd = {
  size: 24,
  fields: { argsz: [0, 4], flags: [4, 4], iommufd: [8, 4], out_devid: [12, 4], token_uuid_ptr: [16, 8] },
} as const;

export const struct_vfio_device_attach_iommufd_pt = {
  size: 16,
  fields: { argsz: [0, 4], flags: [4, 4], pt_id: [8, 4], pasid: [12, 4] },
} as const;

export const struct_vfio_device_detach_iommufd_pt = {
  size: 12,
  fields: { argsz: [0, 4], flags: [4, 4], pasid: [8, 4] },
} as const;

// type1 IOMMU
export const VFIO_IOMMU_GET_INFO = 0x3b70;
export const VFIO_IOMMU_INFO_PGSIZES = 0x1;
export const VFIO_IOMMU_INFO_CAPS = 0x2;
export const VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 0x1;
export const VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 0x2;
export const VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 0x3;
export const VFIO_IOMMU_MAP_DMA = 0x3b71;
export const VFIO_DMA_MAP_FLAG_READ = 0x1;
export const VFIO_DMA_MAP_FLAG_WRITE = 0x2;
export const VFIO_DMA_MAP_FLAG_VADDR = 0x4;
export const VFIO_IOMMU_UNMAP_DMA = 0x3b72;
export const VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 0x1;
export const VFIO_DMA_UNMAP_FLAG_ALL = 0x2;
export const VFIO_DMA_UNMAP_FLAG_VADDR = 0x4;
export const VFIO_IOMMU_DIRTY_PAGES = 0x3b75;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 0x1;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 0x2;
export const VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 0x4;

export const struct_vfio_iommu_type1_info = {
  size: 24,
  fields: { argsz: [0, 4], flags: [4, 4], iova_pgsizes: [8, 8], cap_offset: [16, 4] },
} as const;

export const struct_vfio_iova_range = { size: 16, fields: { start: [0, 8], end: [8, 8] } } as const;

export const struct_vfio_iommu_type1_info_cap_iova_range = {
  size: 16,
  fields: { header: [0, 8], nr_iovas: [8, 4], reserved: [12, 4] },
} as const;

export const struct_vfio_iommu_type1_info_cap_migration = {
  size: 32,
  fields: { header: [0, 8], flags: [8, 4], pgsize_bitmap: [16, 8], max_dirty_bitmap_size: [24, 8] },
} as const;

export const struct_vfio_iommu_type1_info_dma_avail = { size: 12, fields: { header: [0, 8], avail: [8, 4] } } as const;

export const struct_vfio_iommu_type1_dma_map = {
  size: 32,
  fields: { argsz: [0, 4], flags: [4, 4], vaddr: [8, 8], iova: [16, 8], size: [24, 8] },
} as const;

export const struct_vfio_iommu_type1_dma_unmap = {
  size: 24,
  fields: { argsz: [0, 4], flags: [4, 4], iova: [8, 8], size: [16, 8] },
} as const;

export const struct_vfio_bitmap = { size: 24, fields: { pgsize: [0, 8], size: [8, 8], data: [16, 8] } } as const;

export const struct_vfio_iommu_type1_dirty_bitmap = { size: 8, fields: { argsz: [0, 4], flags: [4, 4] } } as const;

export const struct_vfio_iommu_type1_dirty_bitmap_get = {
  size: 40,
  fields: { iova: [0, 8], size: [8, 8], "bitmap.pgsize": [16, 8], "bitmap.size": [24, 8], "bitmap.data": [32, 8] },
} as const;
